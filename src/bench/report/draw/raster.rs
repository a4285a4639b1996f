//! A backend of pixels: smooth edges, text by its outlines, PNG.

use std::convert::Infallible;

use ab_glyph_rasterizer::{Rasterizer, point};
use plotters_backend::text_anchor::HPos;
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
    FontStyle,
};

use super::canvas::PLOTTERS_EM;
use super::font;

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

/// Corners of the polygon that stands for a circle.
const CIRCLE_CORNERS: u32 = 32;

/// Red, green and blue of each pixel, white at first.
pub(super) struct Raster {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

impl Raster {
    pub(super) fn new(width: u32, height: u32) -> Raster {
        Raster {
            width,
            height,
            pixels: vec![0xFF; width as usize * height as usize * 3],
        }
    }

    /// As a PNG file.
    pub(super) fn encode(&self) -> Result<Vec<u8>, png::EncodingError> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, self.width, self.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::Default);
        encoder.set_filter(png::FilterType::Up);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.pixels)?;
        writer.finish()?;
        Ok(file)
    }

    /// Lays `color` over a pixel, covering this share of it.
    fn blend(&mut self, x: i32, y: i32, color: BackendColor, share: f32) {
        if x < 0 || y < 0 || x >= self.width as i32 || y >= self.height as i32 {
            return;
        }
        let at = (y as usize * self.width as usize + x as usize) * 3;
        let share = f64::from(share.clamp(0.0, 1.0)) * color.alpha;
        let (red, green, blue) = color.rgb;
        for (pixel, over) in self.pixels[at..at + 3].iter_mut().zip([red, green, blue]) {
            let mixed = f64::from(*pixel) * (1.0 - share) + f64::from(over) * share;
            *pixel = mixed.round() as u8;
        }
    }

    /// Fills the inside of `corners`.
    fn fill(&mut self, corners: &[(f64, f64)], color: BackendColor) {
        let edge = |pick: fn(&(f64, f64)) -> f64, fold: fn(f64, f64) -> f64| {
            corners.iter().map(pick).reduce(fold).unwrap_or(0.0)
        };
        let (left, top) = (
            edge(|at| at.0, f64::min).floor(),
            edge(|at| at.1, f64::min).floor(),
        );
        let width = edge(|at| at.0, f64::max) - left;
        let height = edge(|at| at.1, f64::max) - top;
        // Shapes lie within the sheet; one that does not is left out rather than made room for.
        if width > f64::from(self.width) + 64.0 || height > f64::from(self.height) + 64.0 {
            return;
        }
        let mut shape = Rasterizer::new(width as usize + 2, height as usize + 2);
        let corner = |at: &(f64, f64)| point((at.0 - left) as f32, (at.1 - top) as f32);
        for (nth, from) in corners.iter().enumerate() {
            let to = &corners[(nth + 1) % corners.len()];
            shape.draw_line(corner(from), corner(to));
        }
        shape.for_each_pixel_2d(|x, y, share| {
            if share > 0.0 {
                self.blend(left as i32 + x as i32, top as i32 + y as i32, color, share);
            }
        });
    }

    fn stroke(&mut self, from: (f64, f64), to: (f64, f64), width: f64, color: BackendColor) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = dx.hypot(dy);
        if length > 0.0 {
            let (x, y) = (-dy / length * width / 2.0, dx / length * width / 2.0);
            let corners = [
                (from.0 + x, from.1 + y),
                (to.0 + x, to.1 + y),
                (to.0 - x, to.1 - y),
                (from.0 - x, from.1 - y),
            ];
            self.fill(&corners, color);
        }
    }

    fn disc(&mut self, center: (f64, f64), radius: f64, color: BackendColor) {
        let corner = |nth: u32| {
            let (sin, cos) =
                (f64::from(nth) * std::f64::consts::TAU / f64::from(CIRCLE_CORNERS)).sin_cos();
            (center.0 + radius * cos, center.1 + radius * sin)
        };
        let corners: Vec<(f64, f64)> = (0..CIRCLE_CORNERS).map(corner).collect();
        self.fill(&corners, color);
    }
}

fn exact((x, y): BackendCoord) -> (f64, f64) {
    (f64::from(x), f64::from(y))
}

impl DrawingBackend for Raster {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, color: BackendColor) -> Drawn {
        self.blend(x, y, color, 1.0);
        Ok(())
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn {
        let path: Vec<(f64, f64)> = path.into_iter().map(exact).collect();
        let width = f64::from(style.stroke_width());
        for pair in path.windows(2) {
            self.stroke(pair[0], pair[1], width, style.color());
        }
        // Round joints; the ends stay flat.
        for joint in path.iter().skip(1).rev().skip(1) {
            self.disc(*joint, width / 2.0, style.color());
        }
        Ok(())
    }

    fn draw_circle<S: BackendStyle>(
        &mut self,
        center: BackendCoord,
        radius: u32,
        style: &S,
        _fill: bool,
    ) -> Drawn {
        self.disc(exact(center), f64::from(radius), style.color());
        Ok(())
    }

    /// Opaque, as all colours of plots are.
    fn draw_rect<S: BackendStyle>(
        &mut self,
        from: BackendCoord,
        to: BackendCoord,
        style: &S,
        _fill: bool,
    ) -> Drawn {
        let within = |place: i32, most: u32| place.clamp(0, most as i32) as usize;
        let (left, right) = (within(from.0, self.width), within(to.0, self.width));
        let (red, green, blue) = style.color().rgb;
        let row_bytes = self.width as usize * 3;
        for y in within(from.1, self.height)..within(to.1, self.height) {
            let row = &mut self.pixels[y * row_bytes..][..row_bytes];
            // Nothing where the right edge lies left of the left one.
            for pixel in row[left * 3..right.max(left) * 3].chunks_exact_mut(3) {
                pixel.copy_from_slice(&[red, green, blue]);
            }
        }
        Ok(())
    }

    /// Placed as a browser places plotters' SVG text that is anchored in the middle.
    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, at: BackendCoord) -> Drawn {
        let em = style.size() / PLOTTERS_EM;
        let bold = matches!(style.style(), FontStyle::Bold);
        let left = match style.anchor().h_pos {
            HPos::Left => 0.0,
            HPos::Center => font::width(text, em, bold) / 2.0,
            HPos::Right => font::width(text, em, bold),
        };
        let origin = (
            f64::from(at.0) - left,
            f64::from(at.1) + em * font::X_HEIGHT / 2.0,
        );
        for glyph in font::outlines(text, em, bold, origin) {
            let corner = glyph.px_bounds().min;
            glyph.draw(|x, y, share| {
                self.blend(
                    corner.x as i32 + x as i32,
                    corner.y as i32 + y as i32,
                    style.color(),
                    share,
                );
            });
        }
        Ok(())
    }
}
