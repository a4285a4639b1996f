//! Bars beside each other; dots on a logarithmic scale where the values lie far apart.

use plotters_backend::DrawingBackend;

use super::super::amount::ratio;
use super::super::axis::Scale;
use super::super::plot::{Ink, Row, RowGroup, Rows};
use super::canvas::{Anchor, Canvas, Drawn, LABEL_EM, fitting, label_width};
use super::{HEAD, WIDTH};

const ROW: f64 = 26.0;
/// A group's heading.
const HEADING: f64 = 26.0;
/// Where dots have ticks, above the rows.
const TICKS: f64 = 20.0;
/// Between groups.
const GAP: f64 = 12.0;
const BAR: f64 = 16.0;
/// The most that the names of rows may take.
const LABELS_MOST: f64 = 300.0;
/// Values further apart than this are dots on a logarithmic scale.
const FAR_APART: f64 = 40.0;

pub(super) fn height(rows: &Rows) -> f64 {
    let group = |group: &RowGroup| head_of(group) + group.rows.len() as f64 * ROW + GAP;
    let ticks = if shared_scale(rows).1 { TICKS } else { 0.0 };
    HEAD + 30.0 + ticks + rows.groups.iter().map(group).sum::<f64>() + 12.0
}

fn head_of(group: &RowGroup) -> f64 {
    if group.label.is_empty() { 0.0 } else { HEADING }
}

/// Where bars begin and end.
struct Frame {
    left: f64,
    right: f64,
}

impl Frame {
    fn of(rows: &Rows) -> Frame {
        let all = || rows.groups.iter().flat_map(|group| &group.rows);
        let widest = |width: &dyn Fn(&Row) -> f64| all().map(width).fold(0.0, f64::max);
        let labels = widest(&|row| label_width(&row.label)).min(LABELS_MOST);
        let values = widest(&|row| label_width(&value_text(rows, row)));
        Frame {
            left: 28.0 + labels + 10.0,
            right: WIDTH - 16.0 - values - 12.0,
        }
    }

    fn across(&self, scale: &Scale, value: f64) -> f64 {
        self.left + (self.right - self.left) * scale.place(value)
    }
}

/// The value, and how it compares.
fn value_text(rows: &Rows, row: &Row) -> String {
    let value = rows.unit.text(row.value);
    match row.ratio.filter(|_| row.baseline.is_some()) {
        Some(compared) => format!("{value} ({} ×)", ratio(compared)),
        None => value,
    }
}

/// The least and the most that these bars and their marks show.
fn range(groups: &[RowGroup]) -> (f64, f64) {
    let rows = groups.iter().flat_map(|group| &group.rows);
    let values = rows
        .flat_map(|row| [Some(row.value), row.baseline])
        .flatten();
    values.fold((f64::MAX, f64::MIN), |(low, high), value| {
        (low.min(value), high.max(value))
    })
}

fn bar_scale(groups: &[RowGroup]) -> Scale {
    Scale::exactly(0.0, range(groups).1, false)
}

/// One scale for all groups, and whether they are dots.
fn shared_scale(rows: &Rows) -> (Scale, bool) {
    let (low, high) = range(&rows.groups);
    match !rows.own_scales && high / low > FAR_APART {
        true => (Scale::over([low, high], true), true),
        false => (bar_scale(&rows.groups), false),
    }
}

pub(super) fn draw<B: DrawingBackend>(rows: &Rows, canvas: &mut Canvas<B>) -> Drawn {
    let frame = Frame::of(rows);
    let shared = shared_scale(rows);
    canvas.text(
        (16.0, HEAD + 4.0),
        &caption(rows, shared.1),
        Anchor::Left,
        Ink::Muted,
    )?;
    let mut top = HEAD + 30.0;
    if shared.1 {
        ticks(rows, &shared.0, &frame, canvas)?;
        top += TICKS;
    }
    for group in &rows.groups {
        let (scale, dots) = match rows.own_scales {
            true => (bar_scale(std::slice::from_ref(group)), false),
            false => shared,
        };
        if head_of(group) > 0.0 {
            canvas.strong((16.0, top + HEADING / 2.0), &group.label, Ink::Text)?;
        }
        top += head_of(group);
        for row in &group.rows {
            let style = if dots { dot } else { bar };
            style(row, &scale, &frame, top + ROW / 2.0, canvas)?;
            names(rows, row, &frame, top + ROW / 2.0, canvas)?;
            top += ROW;
        }
        top += GAP;
    }
    Ok(())
}

/// What the places of dots mean.
fn ticks<B: DrawingBackend>(
    rows: &Rows,
    scale: &Scale,
    frame: &Frame,
    canvas: &mut Canvas<B>,
) -> Drawn {
    let (top, bottom) = (HEAD + 30.0 + TICKS - 4.0, height(rows) - 16.0);
    for tick in scale.ticks() {
        let x = frame.across(scale, tick);
        canvas.line(&[(x, top), (x, bottom)], 1.0, Ink::Grid)?;
        canvas.text(
            (x, top - 10.0),
            &rows.unit.text(tick),
            Anchor::Middle,
            Ink::Muted,
        )?;
    }
    Ok(())
}

/// What is shown and how, under the title.
fn caption(rows: &Rows, dots: bool) -> String {
    let mut words = vec![rows.label.clone()];
    if rows.own_scales && rows.groups.len() > 1 {
        words.push("each group on a scale of its own".to_owned());
    } else if dots {
        words.push("logarithmic".to_owned());
    }
    let baselines = rows
        .groups
        .iter()
        .flat_map(|group| &group.rows)
        .any(|row| row.baseline.is_some());
    if baselines {
        words.push(format!("mark: {}; in brackets: the ratio", rows.baseline));
    }
    words.join(" · ")
}

fn names<B: DrawingBackend>(
    rows: &Rows,
    row: &Row,
    frame: &Frame,
    y: f64,
    canvas: &mut Canvas<B>,
) -> Drawn {
    let label = fitting(&row.label, LABEL_EM, false, LABELS_MOST);
    canvas.text((frame.left - 10.0, y), &label, Anchor::Right, Ink::Text)?;
    let value = value_text(rows, row);
    canvas.text((WIDTH - 16.0, y), &value, Anchor::Right, Ink::Text)
}

fn bar<B: DrawingBackend>(
    row: &Row,
    scale: &Scale,
    frame: &Frame,
    y: f64,
    canvas: &mut Canvas<B>,
) -> Drawn {
    let end = frame.across(scale, row.value).max(frame.left + 1.0);
    let (top, bottom) = (y - BAR / 2.0, y + BAR / 2.0);
    canvas.rect((frame.left, top), (frame.right, bottom), Ink::Grid)?;
    canvas.rect((frame.left, top), (end, bottom), row.ink)?;
    mark(row, scale, frame, y, canvas)
}

fn dot<B: DrawingBackend>(
    row: &Row,
    scale: &Scale,
    frame: &Frame,
    y: f64,
    canvas: &mut Canvas<B>,
) -> Drawn {
    canvas.line(&[(frame.left, y), (frame.right, y)], 1.0, Ink::Grid)?;
    mark(row, scale, frame, y, canvas)?;
    canvas.dot((frame.across(scale, row.value), y), 5.5, row.ink)
}

/// What the bar is compared with.
fn mark<B: DrawingBackend>(
    row: &Row,
    scale: &Scale,
    frame: &Frame,
    y: f64,
    canvas: &mut Canvas<B>,
) -> Drawn {
    let Some(baseline) = row.baseline else {
        return Ok(());
    };
    let x = frame.across(scale, baseline);
    canvas.line(
        &[(x, y - ROW / 2.0 + 1.0), (x, y + ROW / 2.0 - 1.0)],
        2.5,
        Ink::Text,
    )
}
