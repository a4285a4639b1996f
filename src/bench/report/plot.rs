//! What a plot shows: a pure description, without pixels.

use super::amount::Unit;

/// Values that have a place on a plot, besides zero: no measurement in any [`Unit`] lies outside.
pub(super) const PLACEABLE: std::ops::RangeInclusive<f64> = 1e-6..=1e15;

/// A plot, its file name and what it says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plot {
    /// The file's name without extension.
    pub(super) name: String,
    /// The heading inside the picture.
    pub(super) title: String,
    /// What is drawn.
    pub(super) body: Body,
}

/// What is drawn.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Body {
    /// Lines over an axis.
    Lines(Lines),
    /// Bars beside each other, or dots where the values lie far apart.
    Rows(Rows),
}

/// Lines over an axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lines {
    /// What is varied.
    pub(super) x: Axis,
    /// What was found.
    pub(super) y: Axis,
    /// The lines.
    pub(super) series: Vec<Series>,
    /// Values to compare with.
    pub(super) marks: Vec<Mark>,
}

/// An axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    /// What it shows.
    pub(super) label: String,
    /// In which unit.
    pub(super) unit: Unit,
    /// Whether equal steps are equal factors.
    pub(super) log: bool,
    /// Where ticks stand; empty: where they are round.
    pub(super) ticks: Vec<f64>,
}

impl Axis {
    /// A logarithmic axis.
    pub(super) fn log(label: &str, unit: Unit) -> Axis {
        Axis {
            label: label.to_owned(),
            unit,
            log: true,
            ticks: Vec::new(),
        }
    }

    /// A linear axis from zero.
    pub(super) fn linear(label: &str, unit: Unit) -> Axis {
        Axis {
            log: false,
            ..Axis::log(label, unit)
        }
    }

    /// With ticks at these values.
    pub(super) fn at(self, ticks: impl IntoIterator<Item = f64>) -> Axis {
        let mut ticks: Vec<f64> = ticks.into_iter().filter(|tick| tick.is_finite()).collect();
        ticks.sort_by(f64::total_cmp);
        ticks.dedup();
        Axis { ticks, ..self }
    }

    /// Whether a value has a place on it.
    pub(super) fn holds(&self, value: f64) -> bool {
        PLACEABLE.contains(&value) || (value == 0.0 && !self.log)
    }
}

/// A line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Series {
    /// What stands at its end.
    pub(super) label: String,
    /// Which colour.
    pub(super) ink: Ink,
    /// Its points, by rising x.
    pub(super) points: Vec<(f64, f64)>,
    /// Whether points are shown and the label stands at the end; otherwise it stands beside the line.
    pub(super) dots: bool,
}

impl Series {
    /// A line of the `nth` colour.
    pub(super) fn new(label: &str, nth: usize, points: Vec<(f64, f64)>) -> Series {
        Series {
            label: label.to_owned(),
            ink: Ink::Series(nth),
            points,
            dots: true,
        }
    }

    /// A baseline.
    pub(super) fn baseline(label: &str, points: Vec<(f64, f64)>) -> Series {
        Series {
            ink: Ink::Baseline,
            ..Series::new(label, 0, points)
        }
    }
}

/// What a colour stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    /// The background.
    Paper,
    /// Titles.
    Text,
    /// Axes and their labels.
    Muted,
    /// Lines of the grid.
    Grid,
    /// What is compared with; drawn dashed.
    Baseline,
    /// A band behind the lines.
    Band,
    /// One of several lines or bars.
    Series(usize),
}

/// A value to compare with.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mark {
    /// What it is.
    pub(super) label: String,
    /// From where, in units of y.
    pub(super) from: f64,
    /// To where; as `from` for a line.
    pub(super) to: f64,
}

/// Bars beside each other.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rows {
    /// What their length shows.
    pub(super) unit: Unit,
    /// What it is called.
    pub(super) label: String,
    /// Bars that belong together.
    pub(super) groups: Vec<RowGroup>,
    /// What the mark on a bar is.
    pub(super) baseline: String,
    /// Whether each group has a scale of its own.
    pub(super) own_scales: bool,
}

/// Bars that belong together.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RowGroup {
    /// What they have in common.
    pub(super) label: String,
    /// The bars.
    pub(super) rows: Vec<Row>,
}

/// A bar.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// What it is.
    pub(super) label: String,
    /// How long it is.
    pub(super) value: f64,
    /// What it is compared with.
    pub(super) baseline: Option<f64>,
    /// How it compares: the median of the runs' ratios, which is not that of their medians.
    pub(super) ratio: Option<f64>,
    /// Which colour.
    pub(super) ink: Ink,
}

impl Plot {
    /// A plot of lines; one point alone makes no line, so those become bars.
    pub(super) fn lines(name: &str, title: &str, lines: Lines) -> Option<Plot> {
        let body = lines.cleaned()?;
        let single = body.series.iter().all(|series| series.points.len() < 2);
        Some(Plot {
            name: name.to_owned(),
            title: title.to_owned(),
            body: if single {
                Body::Rows(body.into_rows())
            } else {
                Body::Lines(body)
            },
        })
    }

    /// A plot of bars.
    pub(super) fn rows(name: &str, title: &str, rows: Rows) -> Option<Plot> {
        Some(Plot {
            name: name.to_owned(),
            title: title.to_owned(),
            body: Body::Rows(rows.cleaned()?),
        })
    }
}

impl Lines {
    /// Without points and lines that have no place; nothing where none is left.
    fn cleaned(mut self) -> Option<Lines> {
        let (x, y) = (&self.x, &self.y);
        for series in &mut self.series {
            series.points.retain(|at| x.holds(at.0) && y.holds(at.1));
        }
        self.series.retain(|series| !series.points.is_empty());
        self.marks
            .retain(|mark| y.holds(mark.from) && y.holds(mark.to));
        let kept = |series: &Series| series.ink != Ink::Baseline;
        self.series.iter().any(kept).then_some(self)
    }

    /// One bar for each line's only point, and for each mark.
    fn into_rows(self) -> Rows {
        let (x, y) = (self.x, self.y);
        let at = self.series.first().map(|series| series.points[0].0);
        let bars = self
            .series
            .into_iter()
            .map(|series| (series.label, series.points[0].1, series.ink));
        let marks = self
            .marks
            .into_iter()
            .map(|mark| (mark.label, f64::midpoint(mark.from, mark.to), Ink::Baseline));
        let rows = bars.chain(marks).map(|(label, value, ink)| Row {
            label: label.replace('\n', ", "),
            value,
            baseline: None,
            ratio: None,
            ink,
        });
        let rows = rows.collect();
        let label = at.map_or_else(String::new, |at| {
            format!("{}: {}", x.label, x.unit.text(at))
        });
        Rows {
            unit: y.unit,
            label: y.label,
            groups: vec![RowGroup { label, rows }],
            baseline: String::new(),
            own_scales: false,
        }
    }
}

impl Rows {
    fn cleaned(mut self) -> Option<Rows> {
        let fits = |value: f64| PLACEABLE.contains(&value);
        for group in &mut self.groups {
            group.rows.retain(|row| fits(row.value));
            for row in &mut group.rows {
                row.baseline = row.baseline.filter(|value| fits(*value));
            }
        }
        self.groups.retain(|group| !group.rows.is_empty());
        (!self.groups.is_empty()).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(points: Vec<(f64, f64)>) -> Lines {
        Lines {
            x: Axis::log("peers", Unit::Count),
            y: Axis::log("time", Unit::Micros),
            series: vec![Series::new("p50", 0, points)],
            marks: Vec::new(),
        }
    }

    #[test]
    fn what_has_no_place_is_left_out() {
        assert_eq!(
            Plot::lines("a", "", lines(vec![(1.0, f64::NAN), (2.0, 0.0)])),
            None
        );
        let bad = (0.0, 1.0);
        let plot = Plot::lines("a", "", lines(vec![bad, (1.0, 2.0), (2.0, 3.0)])).unwrap();
        assert!(matches!(plot.body, Body::Lines(lines) if lines.series[0].points.len() == 2));
    }

    #[test]
    fn single_points_become_bars() {
        let plot = Plot::lines("a", "", lines(vec![(8.0, 2.0)])).unwrap();
        assert!(matches!(plot.body, Body::Rows(rows) if rows.groups[0].label == "peers: 8"));
    }
}
