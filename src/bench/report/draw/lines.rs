//! Lines over an axis, labelled at their ends.

use plotters_backend::DrawingBackend;

use super::super::axis::{Scale, spread};
use super::super::plot::{Axis, Ink, Lines, Mark, Series};
use super::canvas::{Anchor, At, Canvas, Drawn, LABEL_EM, fitting, label_width};
use super::{HEAD, WIDTH};

const HEIGHT: f64 = 430.0;
/// Below the lines: ticks' labels and what x is.
const FOOT: f64 = 56.0;
/// From one line of a label to the next.
const LEADING: f64 = 17.0;
/// The most that labels at the right may take.
const LABELS_MOST: f64 = 250.0;
/// Between the lines and their labels.
const GAP: f64 = 12.0;

pub(super) fn height(_: &Lines) -> f64 {
    HEIGHT
}

/// Where lines are drawn.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x: Scale,
    y: Scale,
}

impl Frame {
    fn of(lines: &Lines) -> Frame {
        let y = y_scale(lines);
        let widest = |texts: Vec<String>| {
            texts
                .iter()
                .map(|text| label_width(text))
                .fold(0.0, f64::max)
        };
        let ticks = y
            .ticks()
            .iter()
            .map(|tick| lines.y.unit.text(*tick))
            .collect();
        let labels =
            end_labels(lines).map(|(text, ..)| text.split('\n').map(str::to_owned).collect());
        let labels = labels.map(widest).fold(0.0, f64::max).min(LABELS_MOST);
        Frame {
            left: 16.0 + widest(ticks) + 10.0,
            right: WIDTH - 16.0 - labels - GAP,
            top: HEAD + 30.0,
            bottom: HEIGHT - FOOT,
            x: x_scale(lines),
            y,
        }
    }

    fn at(&self, (x, y): (f64, f64)) -> At {
        (self.across(x), self.down(y))
    }

    fn across(&self, x: f64) -> f64 {
        // Points keep clear of the frame's edges.
        let (left, right) = (self.left + 14.0, self.right - 8.0);
        left + (right - left) * self.x.place(x)
    }

    fn down(&self, y: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * self.y.place(y)
    }
}

fn points(lines: &Lines) -> impl Iterator<Item = (f64, f64)> {
    lines
        .series
        .iter()
        .flat_map(|series| series.points.iter().copied())
}

fn x_scale(lines: &Lines) -> Scale {
    let all = || points(lines).map(|(x, _)| x);
    let low = all().fold(f64::MAX, f64::min);
    let high = all().fold(f64::MIN, f64::max);
    Scale::exactly(
        if lines.x.log { low } else { low.min(0.0) },
        high,
        lines.x.log,
    )
}

fn y_scale(lines: &Lines) -> Scale {
    let marks = lines.marks.iter().flat_map(|mark| [mark.from, mark.to]);
    Scale::over(points(lines).map(|(_, y)| y).chain(marks), lines.y.log)
}

/// What is written at the right: text, the value beside which it wants to stand, colour, and the
/// last point of a line.
fn end_labels(lines: &Lines) -> impl Iterator<Item = (&str, f64, Ink, Option<(f64, f64)>)> {
    let ends = lines
        .series
        .iter()
        .filter(|series| series.dots)
        .filter_map(|series| {
            let last = *series.points.last()?;
            Some((series.label.as_str(), last.1, series.ink, Some(last)))
        });
    let middle = |mark: &Mark| match lines.y.log {
        true => (mark.from * mark.to).sqrt(),
        false => f64::midpoint(mark.from, mark.to),
    };
    let marks = lines
        .marks
        .iter()
        .map(move |mark| (mark.label.as_str(), middle(mark), Ink::Muted, None));
    ends.chain(marks)
}

pub(super) fn draw<B: DrawingBackend>(lines: &Lines, canvas: &mut Canvas<B>) -> Drawn {
    let frame = Frame::of(lines);
    bands(lines, &frame, canvas)?;
    y_axis(&lines.y, &frame, canvas)?;
    x_axis(lines, &frame, canvas)?;
    for mark in &lines.marks {
        for edge in [mark.from, mark.to] {
            let y = frame.down(edge);
            canvas.dashed(&[(frame.left, y), (frame.right, y)], 1.0, Ink::Baseline)?;
        }
    }
    // Baselines first, so that what was measured lies above them.
    let is_base = |series: &&Series| series.ink == Ink::Baseline;
    for series in lines.series.iter().filter(is_base) {
        curve(series, &frame, canvas)?;
    }
    let beside: Vec<&Series> = lines.series.iter().filter(|series| !series.dots).collect();
    for series in lines.series.iter().filter(|series| !is_base(series)) {
        curve(series, &frame, canvas)?;
    }
    for (nth, series) in beside.iter().enumerate() {
        label_beside(series, (nth, beside.len()), &frame, canvas)?;
    }
    labels_at_ends(lines, &frame, canvas)
}

fn bands<B: DrawingBackend>(lines: &Lines, frame: &Frame, canvas: &mut Canvas<B>) -> Drawn {
    let bands = lines.marks.iter().filter(|mark| mark.to > mark.from);
    bands.into_iter().try_for_each(|mark| {
        let (top, bottom) = (frame.down(mark.to), frame.down(mark.from));
        canvas.rect((frame.left, top), (frame.right, bottom), Ink::Band)
    })
}

fn y_axis<B: DrawingBackend>(axis: &Axis, frame: &Frame, canvas: &mut Canvas<B>) -> Drawn {
    canvas.text((16.0, HEAD + 4.0), &axis.label, Anchor::Left, Ink::Muted)?;
    for tick in frame.y.ticks() {
        let y = frame.down(tick);
        canvas.line(&[(frame.left, y), (frame.right, y)], 1.0, Ink::Grid)?;
        canvas.text(
            (frame.left - 8.0, y),
            &axis.unit.text(tick),
            Anchor::Right,
            Ink::Muted,
        )?;
    }
    Ok(())
}

fn x_axis<B: DrawingBackend>(lines: &Lines, frame: &Frame, canvas: &mut Canvas<B>) -> Drawn {
    let axis = &lines.x;
    let ticks = if axis.ticks.is_empty() {
        frame.x.ticks()
    } else {
        axis.ticks.clone()
    };
    canvas.line(
        &[(frame.left, frame.bottom), (frame.right, frame.bottom)],
        1.0,
        Ink::Muted,
    )?;
    // Where the last label ends, so that the next does not run into it.
    let mut free = f64::MIN;
    for tick in ticks {
        let (x, text) = (frame.across(tick), axis.unit.text(tick));
        canvas.line(
            &[(x, frame.bottom), (x, frame.bottom + 5.0)],
            1.0,
            Ink::Muted,
        )?;
        let half = label_width(&text) / 2.0;
        if x - half > free {
            canvas.text((x, frame.bottom + 17.0), &text, Anchor::Middle, Ink::Muted)?;
            free = x + half + 6.0;
        }
    }
    let middle = f64::midpoint(frame.left, frame.right);
    canvas.text(
        (middle, frame.bottom + 40.0),
        &axis.label,
        Anchor::Middle,
        Ink::Muted,
    )
}

fn curve<B: DrawingBackend>(series: &Series, frame: &Frame, canvas: &mut Canvas<B>) -> Drawn {
    let points: Vec<At> = series.points.iter().map(|point| frame.at(*point)).collect();
    if series.ink == Ink::Baseline {
        return canvas.dashed(&points, 2.0, series.ink);
    }
    canvas.line(&points, 2.5, series.ink)?;
    let shown = points.iter().filter(|_| series.dots);
    shown
        .into_iter()
        .try_for_each(|at| canvas.dot(*at, 4.0, series.ink))
}

/// Beside the line, each of several at a height of its own.
fn label_beside<B: DrawingBackend>(
    series: &Series,
    (nth, all): (usize, usize),
    frame: &Frame,
    canvas: &mut Canvas<B>,
) -> Drawn {
    let height = frame.top + (frame.bottom - frame.top) * (nth as f64 + 0.5) / all as f64;
    let below = |point: &&(f64, f64)| frame.down(point.1) <= height;
    let Some(point) = series.points.iter().find(below).or(series.points.last()) else {
        return Ok(());
    };
    let x = frame.across(point.0);
    let width = label_width(&series.label);
    let (x, anchor) = match x + GAP + width > WIDTH - 16.0 {
        true => (x - GAP, Anchor::Right),
        false => (x + GAP, Anchor::Left),
    };
    canvas.text((x, height), &series.label, anchor, series.ink)
}

fn labels_at_ends<B: DrawingBackend>(
    lines: &Lines,
    frame: &Frame,
    canvas: &mut Canvas<B>,
) -> Drawn {
    let labels: Vec<_> = end_labels(lines).collect();
    let rows = |text: &str| text.split('\n').count() as f64 * LEADING;
    let wanted: Vec<(f64, f64)> = labels
        .iter()
        .map(|(text, value, ..)| (frame.down(*value), rows(text) + 3.0))
        .collect();
    let places = spread(&wanted, HEAD, HEIGHT - 8.0);
    for ((text, _, ink, last), (place, (_, height))) in
        labels.iter().zip(places.iter().zip(&wanted))
    {
        if let Some(last) = last {
            leader(
                frame.at(*last),
                (frame.right + GAP - 3.0, *place),
                *ink,
                canvas,
            )?;
        }
        let mut y = place - (height - 3.0) / 2.0 + LEADING / 2.0;
        for row in text.split('\n') {
            let row = fitting(row, LABEL_EM, false, WIDTH - 16.0 - frame.right - GAP);
            canvas.text((frame.right + GAP, y), &row, Anchor::Left, *ink)?;
            y += LEADING;
        }
    }
    Ok(())
}

/// A thin line from a curve's end to its label, where they are not beside each other.
fn leader<B: DrawingBackend>(end: At, label: At, ink: Ink, canvas: &mut Canvas<B>) -> Drawn {
    if (end.1 - label.1).abs() < 4.0 && label.0 - end.0 < 30.0 {
        return Ok(());
    }
    canvas.line(&[(end.0 + 6.0, end.1), label], 0.5, ink)
}
