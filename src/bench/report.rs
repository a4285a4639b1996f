//! The report of `waypost bench`: Markdown, HTML, JSON and plots.
//!
//! | module | subject |
//! |---|---|
//! | `goals` | what Waypost sets out to reach, and whether measurements show it |
//! | `page`, `sections`, `table` | what the report says |
//! | `plot`, `axis` | what plots show |
//! | `draw` | SVG and PNG |
//! | `markdown`, `html`, `files` | how it is written |
//! | `params`, `amount`, `times` | reading measurements, writing figures |
//!
//! All but `write` is pure. A job that it does not know becomes a section with a table; figures that
//! are not numbers are left out.

mod amount;
mod axis;
mod draw;
mod files;
mod goals;
mod html;
mod markdown;
mod page;
mod params;
mod plot;
#[cfg(test)]
mod sample;
mod sections;
mod table;
#[cfg(test)]
mod tests;
mod times;

use std::io;
use std::path::{Path, PathBuf};

pub use draw::DrawError;
pub use goals::{Judged, Verdict, judge};

use super::Report;
use files::Folder;
use page::Page;
use plot::Plot;

/// The folder that reports go to unless told otherwise.
pub const DEFAULT_DIR: &str = "bench-report";

/// What a lookup with a pull of nothing new took the earlier system with 10,000 topics, on average.
const EARLIER_QUERY_US: f64 = 356.0;
/// Operations per second of the earlier system with 8 peers.
const EARLIER_PER_SECOND: f64 = 5e3;
/// From publishing to arrival in the earlier system with 8 peers, µs.
const EARLIER_DELIVERY_US: (f64, f64) = (294e3, 538e3);

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The report for browsers.
    pub html: PathBuf,
    /// Every file, in the order of writing.
    pub files: Vec<PathBuf>,
}

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The folder cannot be made.
    #[error("cannot make the folder {}; name another one or one that may be written to", dir.display())]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written; what stood there before is untouched.
    #[error("cannot write {}; make room or name another folder", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The measurements do not fit into JSON.
    #[error(
        "cannot write report.json: the measurements are no JSON; look for odd values in their extras"
    )]
    Json(#[source] serde_json::Error),
    /// A plot cannot be drawn.
    #[error("cannot draw the plot {name}; report.json has its figures")]
    Plot {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: DrawError,
    },
}

/// Writes `report` into `dir`, which is made if missing: report.json, report.md, report.html, and each
/// plot as SVG and PNG. Files of these names are replaced, no other is touched.
pub fn write(report: &Report, dir: &Path) -> Result<Written, ReportError> {
    let mut folder = Folder::make(dir)?;
    // The figures first: they are what cannot be made again.
    let json = serde_json::to_vec_pretty(report).map_err(ReportError::Json)?;
    folder.put("report.json", &json)?;
    let page = Page::of(report);
    for plot in page.sections.iter().flat_map(|section| &section.plots) {
        put_plot(&mut folder, plot)?;
    }
    folder.put("report.md", markdown::render(&page).as_bytes())?;
    let html = html::render(&page).map_err(undrawn("report.html"))?;
    folder.put("report.html", html.as_bytes())?;
    Ok(Written {
        html: dir.join("report.html"),
        files: folder.into_written(),
    })
}

fn put_plot(folder: &mut Folder, plot: &Plot) -> Result<(), ReportError> {
    let svg = draw::svg(plot).map_err(undrawn(&plot.name))?;
    folder.put(&format!("{}.svg", plot.name), svg.as_bytes())?;
    let png = draw::png(plot).map_err(undrawn(&plot.name))?;
    folder.put(&format!("{}.png", plot.name), &png)
}

fn undrawn(name: &str) -> impl FnOnce(DrawError) -> ReportError {
    let name = name.to_owned();
    |source| ReportError::Plot { name, source }
}
