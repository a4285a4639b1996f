//! The report as Markdown, with links to the plots beside it.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::goals::Judged;
use super::page::{HOW_TO_READ, NOTHING, Page, TITLE};
use super::sections::Section;
use super::table::Table;

/// The whole report.
pub(super) fn render(page: &Page) -> String {
    let mut text = format!("# {TITLE}\n\n");
    // Writing to a String does not fail, here and below.
    for warning in &page.warnings {
        let _ = writeln!(text, "> ⚠️ **{warning}**\n");
    }
    for (name, value) in &page.facts {
        let _ = writeln!(text, "- {name}: {}", escaped(value));
    }
    let _ = writeln!(text, "\n{HOW_TO_READ}\n");
    if page.sections.is_empty() {
        let _ = writeln!(text, "{NOTHING}\n");
    }
    let answers = page
        .sections
        .iter()
        .filter(|section| !section.findings.is_empty());
    for section in answers {
        let _ = writeln!(
            text,
            "- **{}**: {}",
            section.title,
            escaped(&section.findings[0])
        );
    }
    for section in &page.sections {
        part(&mut text, section);
    }
    let _ = writeln!(text, "\n## Goals\n\n{}.\n", page.tally());
    goals(&mut text, &page.goals);
    text
}

fn part(text: &mut String, section: &Section) {
    let _ = writeln!(text, "\n## {}\n", escaped(&section.title));
    if !section.findings.is_empty() {
        let _ = writeln!(text, "{}\n", escaped(&section.findings.join(" ")));
    }
    for plot in &section.plots {
        let _ = writeln!(text, "![{}]({}.svg)\n", escaped(&plot.title), plot.name);
    }
    if !section.table.common.is_empty() {
        let _ = writeln!(
            text,
            "All with {}.\n",
            escaped(&section.table.common.join(", "))
        );
    }
    table(text, &section.table);
    for baseline in &section.baselines {
        let _ = writeln!(
            text,
            "\nBaseline: {}.",
            escaped(baseline.trim_end_matches('.'))
        );
    }
    for goal in &section.goals {
        let _ = writeln!(text, "\nGoal: {}: {}.", goal.goal, verdict(goal));
    }
}

fn table(text: &mut String, table: &Table) {
    let line = |cells: &[String]| {
        let cells: Vec<Cow<'_, str>> = cells.iter().map(|cell| escaped(cell)).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    text.push_str(&line(&table.head));
    let _ = writeln!(text, "|{}", "---:|".repeat(table.head.len()));
    for row in &table.rows {
        text.push_str(&line(row));
    }
}

fn goals(text: &mut String, goals: &[Judged]) {
    text.push_str("| | goal | |\n|---|---|---|\n");
    for goal in goals {
        let _ = writeln!(text, "| {} | {} | {} |", goal.job, goal.goal, verdict(goal));
    }
}

fn verdict(goal: &Judged) -> String {
    match goal.found.is_empty() {
        true => goal.verdict.as_str().to_owned(),
        false => format!("**{}**, {}", goal.verdict.as_str(), escaped(&goal.found)),
    }
}

/// Text from outside as text, on one line: neither markup, nor HTML, nor a link.
fn escaped(text: &str) -> Cow<'_, str> {
    let is_special = |c: char| c.is_control() || r"\`*_{}[]<>#|&!~".contains(c);
    if !text.contains(is_special) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            control if control.is_control() => safe.push(' '),
            special if is_special(special) => safe.extend(['\\', special]),
            plain => safe.push(plain),
        }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_not_markup() {
        assert_eq!(escaped("a|b"), r"a\|b");
        assert_eq!(escaped("<b>[x](y)*"), r"&lt;b&gt;\[x\](y)\*");
        assert_eq!(escaped("a\nb"), "a b");
        assert_eq!(escaped("plain, 1 µs"), "plain, 1 µs");
    }
}
