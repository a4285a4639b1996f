//! Shapes and text on a sheet, in pixels of a page, on any backend.

use std::convert::Infallible;

use plotters_backend::text_anchor::{HPos, Pos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
    FontFamily, FontStyle,
};

use super::super::plot::Ink;
use super::{DrawError, ZOOM, font, palette};

/// Whether it could be drawn.
pub(super) type Drawn = Result<(), DrawError>;
/// A place on the sheet: right, down.
pub(super) type At = (f64, f64);

/// Font size of labels, in pixels of a page.
pub(super) const LABEL_EM: f64 = 13.0;
/// Font size of titles.
const TITLE_EM: f64 = 16.0;
/// Lengths of a dash and of the gap after it.
const DASH: (f64, f64) = (7.0, 5.0);

/// Which point of a text stands at the place given.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    Left,
    Middle,
    Right,
}

/// A sheet.
pub(super) struct Canvas<'a, B: DrawingBackend> {
    backend: &'a mut B,
}

impl<'a, B: DrawingBackend> Canvas<'a, B> {
    pub(super) fn new(backend: &'a mut B) -> Self {
        Canvas { backend }
    }

    /// Completes the picture.
    pub(super) fn finish(self) -> Drawn {
        self.backend.present().map_err(undrawn)
    }

    pub(super) fn rect(&mut self, from: At, to: At, ink: Ink) -> Drawn {
        let drawn = self
            .backend
            .draw_rect(fine(from), fine(to), &Stroke::of(ink, 0.0), true);
        drawn.map_err(undrawn)
    }

    pub(super) fn dot(&mut self, at: At, radius: f64, ink: Ink) -> Drawn {
        let radius = (radius * ZOOM).round() as u32;
        let drawn = self
            .backend
            .draw_circle(fine(at), radius, &Stroke::of(ink, 0.0), true);
        drawn.map_err(undrawn)
    }

    pub(super) fn line(&mut self, points: &[At], width: f64, ink: Ink) -> Drawn {
        let path: Vec<BackendCoord> = points.iter().copied().map(fine).collect();
        let drawn = self.backend.draw_path(path, &Stroke::of(ink, width));
        drawn.map_err(undrawn)
    }

    /// A dashed line; backends know none, so its dashes are lines.
    pub(super) fn dashed(&mut self, points: &[At], width: f64, ink: Ink) -> Drawn {
        dashes(points)
            .iter()
            .try_for_each(|dash| self.line(dash, width, ink))
    }

    /// One line of text with its middle at the height of `at`.
    pub(super) fn text(&mut self, at: At, text: &str, anchor: Anchor, ink: Ink) -> Drawn {
        self.write(
            at,
            text,
            &Lettering {
                ink,
                em: LABEL_EM,
                bold: false,
                anchor,
            },
        )
    }

    /// The same in bold.
    pub(super) fn strong(&mut self, at: At, text: &str, ink: Ink) -> Drawn {
        let anchor = Anchor::Left;
        self.write(
            at,
            text,
            &Lettering {
                ink,
                em: LABEL_EM,
                bold: true,
                anchor,
            },
        )
    }

    /// The picture's title, shortened to what fits.
    pub(super) fn heading(&mut self, at: At, text: &str) -> Drawn {
        let lettering = Lettering {
            ink: Ink::Text,
            em: TITLE_EM,
            bold: true,
            anchor: Anchor::Left,
        };
        let room = super::WIDTH - at.0 * 2.0;
        self.write(at, &fitting(text, TITLE_EM, true, room), &lettering)
    }

    fn write(&mut self, at: At, text: &str, style: &Lettering) -> Drawn {
        let drawn = self.backend.draw_text(text, style, fine(at));
        drawn.map_err(undrawn)
    }
}

/// The width of a label.
pub(super) fn label_width(text: &str) -> f64 {
    font::width(text, LABEL_EM, false)
}

/// `text`, cut with "…" to what fits into `room`.
pub(super) fn fitting(text: &str, em: f64, bold: bool, room: f64) -> String {
    if font::width(text, em, bold) <= room {
        return text.to_owned();
    }
    let mut short: String = text.to_owned();
    while !short.is_empty() && font::width(&short, em, bold) + em > room {
        short.pop();
    }
    format!("{}…", short.trim_end())
}

/// Where the pieces of a dashed line begin and end: a dash starts at every multiple of the pattern's
/// length along the line.
fn dashes(points: &[At]) -> Vec<Vec<At>> {
    let period = DASH.0 + DASH.1;
    let mut pieces = Vec::new();
    let mut before = 0.0;
    for pair in points.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let length = (to.0 - from.0).hypot(to.1 - from.1);
        let along = |place: f64| {
            let share = (place - before) / length;
            (
                from.0 + (to.0 - from.0) * share,
                from.1 + (to.1 - from.1) * share,
            )
        };
        let first = (before / period).floor() as u32;
        let last = ((before + length) / period).floor() as u32;
        for nth in first..=last {
            let begin = (f64::from(nth) * period).max(before);
            let end = (f64::from(nth) * period + DASH.0).min(before + length);
            if begin < end {
                pieces.push(vec![along(begin), along(end)]);
            }
        }
        before += length;
    }
    pieces
}

fn fine(at: At) -> BackendCoord {
    ((at.0 * ZOOM).round() as i32, (at.1 * ZOOM).round() as i32)
}

fn undrawn<E: std::error::Error + Send + Sync>(error: DrawingErrorKind<E>) -> DrawError {
    DrawError(error.to_string())
}

fn color(ink: Ink) -> BackendColor {
    BackendColor {
        alpha: 1.0,
        rgb: palette::rgb(ink),
    }
}

struct Stroke {
    ink: Ink,
    width: u32,
}

impl Stroke {
    fn of(ink: Ink, width: f64) -> Stroke {
        Stroke {
            ink,
            width: (width * ZOOM).round() as u32,
        }
    }
}

impl BackendStyle for Stroke {
    fn color(&self) -> BackendColor {
        color(self.ink)
    }

    fn stroke_width(&self) -> u32 {
        self.width
    }
}

struct Lettering {
    ink: Ink,
    em: f64,
    bold: bool,
    anchor: Anchor,
}

/// plotters' font sizes are those of CSS times this.
pub(super) const PLOTTERS_EM: f64 = 1.24;

impl BackendTextStyle for Lettering {
    type FontError = Infallible;

    fn color(&self) -> BackendColor {
        color(self.ink)
    }

    fn size(&self) -> f64 {
        self.em * ZOOM * PLOTTERS_EM
    }

    fn style(&self) -> FontStyle {
        if self.bold {
            FontStyle::Bold
        } else {
            FontStyle::Normal
        }
    }

    fn family(&self) -> FontFamily<'_> {
        FontFamily::Name(font::FAMILY)
    }

    fn anchor(&self) -> Pos {
        let h_pos = match self.anchor {
            Anchor::Left => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::Right => HPos::Right,
        };
        Pos::new(h_pos, VPos::Center)
    }

    fn layout_box(&self, text: &str) -> Result<(BackendCoord, BackendCoord), Infallible> {
        let em = self.em * ZOOM;
        let width = font::width(text, em, self.bold);
        Ok(((0, 0), (width.ceil() as i32, em.ceil() as i32)))
    }

    /// Backends draw text themselves: SVG as text, [`super::Raster`] by its outlines.
    fn draw<E, F: FnMut(i32, i32, BackendColor) -> Result<(), E>>(
        &self,
        _text: &str,
        _pos: BackendCoord,
        _draw: F,
    ) -> Result<Result<(), E>, Infallible> {
        Ok(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_cover_a_line_in_pieces() {
        let pieces = dashes(&[(0.0, 0.0), (24.0, 0.0), (24.0, 12.0)]);
        assert_eq!(pieces.len(), 3);
        assert_eq!(pieces[1], [(12.0, 0.0), (19.0, 0.0)]);
        assert!(dashes(&[(1.0, 1.0), (1.0, 1.0)]).is_empty());
    }

    #[test]
    fn long_text_is_cut() {
        let cut = fitting(&"word ".repeat(50), 13.0, false, 200.0);
        assert!(cut.ends_with('…') && label_width(&cut) <= 200.0);
        assert_eq!(fitting("word", 13.0, false, 200.0), "word");
    }
}
