//! Drawing plots: the same code for SVG and PNG, generic over plotters' `DrawingBackend`.
//!
//! Everything is laid out on a sheet [`WIDTH`] wide and drawn at twice that size, so that
//! coordinates, which backends take as whole numbers, are fine enough.

mod canvas;
mod font;
mod lines;
mod palette;
mod raster;
mod rows;

use plotters_backend::DrawingBackend;
use plotters_svg::SVGBackend;

pub(super) use palette::dark_css;

use super::plot::{Body, Ink, Plot};
use canvas::{Canvas, Drawn};
use raster::Raster;

/// Width of every plot, in pixels of a page.
const WIDTH: f64 = 900.0;
/// How much larger it is drawn.
const ZOOM: f64 = 2.0;
/// Room for the title.
const HEAD: f64 = 48.0;

/// Why a plot could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DrawError(String);

/// The plot as an SVG document.
pub(super) fn svg(plot: &Plot) -> Result<String, DrawError> {
    let mut text = String::new();
    let (width, height) = pixels(plot);
    let mut backend = SVGBackend::with_string(&mut text, (width, height));
    draw(plot, &mut backend)?;
    drop(backend);
    // The picture's size on a page; the view box keeps the finer coordinates.
    let fine = format!("width=\"{width}\" height=\"{height}\"");
    let page = format!("width=\"{WIDTH}\" height=\"{}\"", height_of(plot));
    Ok(text.replacen(&fine, &page, 1))
}

/// The plot as a PNG file.
pub(super) fn png(plot: &Plot) -> Result<Vec<u8>, DrawError> {
    let (width, height) = pixels(plot);
    let mut raster = Raster::new(width, height);
    draw(plot, &mut raster)?;
    raster
        .encode()
        .map_err(|error| DrawError(error.to_string()))
}

fn height_of(plot: &Plot) -> f64 {
    match &plot.body {
        Body::Lines(lines) => lines::height(lines),
        Body::Rows(rows) => rows::height(rows),
    }
}

fn pixels(plot: &Plot) -> (u32, u32) {
    // Both are small positive numbers.
    ((WIDTH * ZOOM) as u32, (height_of(plot) * ZOOM) as u32)
}

fn draw<B: DrawingBackend>(plot: &Plot, backend: &mut B) -> Result<(), DrawError> {
    let mut canvas = Canvas::new(backend);
    picture(plot, &mut canvas)?;
    canvas.finish()
}

fn picture<B: DrawingBackend>(plot: &Plot, canvas: &mut Canvas<B>) -> Drawn {
    canvas.rect((0.0, 0.0), (WIDTH, height_of(plot)), Ink::Paper)?;
    canvas.heading((16.0, 24.0), &plot.title)?;
    match &plot.body {
        Body::Lines(lines) => lines::draw(lines, canvas),
        Body::Rows(rows) => rows::draw(rows, canvas),
    }
}
