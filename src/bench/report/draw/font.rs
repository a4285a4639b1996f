//! The font that stands beside this file, so that plots need none of the machine's.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, OutlinedGlyph, PxScale, ScaleFont, point};

/// What browsers shall use for text in SVG: widths are those of the first two.
pub(super) const FAMILY: &str = "DejaVu Sans, Verdana, sans-serif";

static BOOK: LazyLock<FontRef<'static>> =
    LazyLock::new(|| load(include_bytes!("../font/DejaVuSans.ttf")));
static BOLD: LazyLock<FontRef<'static>> =
    LazyLock::new(|| load(include_bytes!("../font/DejaVuSans-Bold.ttf")));

fn load(bytes: &'static [u8]) -> FontRef<'static> {
    // The bytes are part of the program, and a test loads both.
    FontRef::try_from_slice(bytes).unwrap_or_else(|_| unreachable!("the font is a font"))
}

fn face(bold: bool) -> &'static FontRef<'static> {
    if bold { &BOLD } else { &BOOK }
}

/// `em` is the font size as CSS means it; the crate's scale is the line's height.
fn scale(font: &FontRef<'_>, em: f64) -> PxScale {
    let units = font.units_per_em().unwrap_or(2048.0);
    PxScale::from(em as f32 * font.height_unscaled() / units)
}

/// The width of `text` in the unit of `em`.
pub(super) fn width(text: &str, em: f64, bold: bool) -> f64 {
    let font = face(bold);
    let scaled = font.as_scaled(scale(font, em));
    let advance = |c: char| f64::from(scaled.h_advance(scaled.glyph_id(c)));
    text.chars().map(advance).sum()
}

/// The outlines of `text` whose baseline starts at `origin`.
pub(super) fn outlines(text: &str, em: f64, bold: bool, origin: (f64, f64)) -> Vec<OutlinedGlyph> {
    let font = face(bold);
    let scaled = font.as_scaled(scale(font, em));
    let mut x = origin.0 as f32;
    let glyphs = text.chars().map(|c| {
        let id = scaled.glyph_id(c);
        let glyph = id.with_scale_and_position(scaled.scale(), point(x, origin.1 as f32));
        x += scaled.h_advance(id);
        glyph
    });
    let glyphs: Vec<_> = glyphs.collect();
    glyphs
        .into_iter()
        .filter_map(|glyph| font.outline_glyph(glyph))
        .collect()
}

/// The height of a small x, as a share of the font size.
pub(super) const X_HEIGHT: f64 = 0.547;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_faces_hold_every_sign_that_plots_use() {
        for bold in [false, true] {
            assert!(width("iii", 10.0, bold) < width("MMM", 10.0, bold));
            for sign in "aZ09 µ×·–…≥≤≈,/%".chars() {
                assert_ne!(face(bold).glyph_id(sign).0, 0, "{sign}");
            }
        }
    }
}
