//! The report as one HTML file that refers to nothing outside itself.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::draw::{self, DrawError};
use super::goals::{Judged, Verdict};
use super::page::{HOW_TO_READ, NOTHING, Page, TITLE};
use super::sections::Section;
use super::table::Table;

const STYLE: &str = include_str!("style.css");

/// The whole report.
pub(super) fn render(page: &Page) -> Result<String, DrawError> {
    let mut text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{TITLE}</title>\n\
         <style>\n{STYLE}@media (prefers-color-scheme: dark) {{\n{}}}\n</style>\n</head>\n<body>\n<main>\n<h1>{TITLE}</h1>\n",
        draw::dark_css(),
    );
    top(&mut text, page);
    for section in &page.sections {
        part(&mut text, section)?;
    }
    // Writing to a String does not fail, here and below.
    let _ = writeln!(
        text,
        "<section>\n<h2 id=\"goals\">Goals</h2>\n<p>{}.</p>",
        page.tally()
    );
    goals(&mut text, &page.goals);
    text.push_str("</section>\n</main>\n</body>\n</html>\n");
    Ok(text)
}

fn top(text: &mut String, page: &Page) {
    for warning in &page.warnings {
        let _ = writeln!(text, "<p class=\"warning\">{warning}</p>");
    }
    text.push_str("<dl>\n");
    for (name, value) in &page.facts {
        let _ = writeln!(text, "<dt>{name}</dt><dd>{}</dd>", escaped(value));
    }
    text.push_str("</dl>\n");
    if page.sections.is_empty() {
        let _ = writeln!(text, "<p>{NOTHING}</p>");
    }
    text.push_str("<ul class=\"answers\">\n");
    for (nth, section) in page.sections.iter().enumerate() {
        let answer = section
            .findings
            .first()
            .map_or("figures only", String::as_str);
        let title = escaped(&section.title);
        let _ = writeln!(
            text,
            "<li><a href=\"#part-{nth}\">{title}</a>: {}</li>",
            escaped(answer)
        );
    }
    let _ = writeln!(
        text,
        "<li><a href=\"#goals\">Goals</a>: {}.</li>",
        page.tally()
    );
    let _ = writeln!(text, "</ul>\n<p class=\"note\">{HOW_TO_READ}</p>");
}

fn part(text: &mut String, section: &Section) -> Result<(), DrawError> {
    let nth = text.matches("<section>").count();
    let _ = writeln!(
        text,
        "<section>\n<h2 id=\"part-{nth}\">{}</h2>",
        escaped(&section.title)
    );
    for finding in &section.findings {
        let _ = writeln!(text, "<p class=\"finding\">{}</p>", escaped(finding));
    }
    for plot in &section.plots {
        let title = escaped(&plot.title);
        let _ = writeln!(text, "<figure role=\"img\" aria-label=\"{title}\">");
        let _ = writeln!(text, "{}</figure>", draw::svg(plot)?);
    }
    if !section.table.common.is_empty() {
        let _ = writeln!(
            text,
            "<p class=\"note\">All with {}.</p>",
            escaped(&section.table.common.join(", "))
        );
    }
    table(text, &section.table);
    for baseline in &section.baselines {
        let baseline = escaped(baseline.trim_end_matches('.'));
        let _ = writeln!(text, "<p class=\"note\">Baseline: {baseline}.</p>");
    }
    if !section.goals.is_empty() {
        goals(text, &section.goals);
    }
    text.push_str("</section>\n");
    Ok(())
}

fn table(text: &mut String, table: &Table) {
    text.push_str("<div class=\"wide\"><table>\n<thead><tr>");
    for name in &table.head {
        let _ = write!(text, "<th>{}</th>", escaped(name));
    }
    text.push_str("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        text.push_str("<tr>");
        for cell in row {
            let _ = write!(text, "<td>{}</td>", escaped(cell));
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</tbody></table></div>\n");
}

fn goals(text: &mut String, goals: &[Judged]) {
    text.push_str("<ul class=\"goals\">\n");
    for goal in goals {
        let class = match goal.verdict {
            Verdict::Met => "met",
            Verdict::NotMet => "missed",
            Verdict::NotMeasured => "open",
        };
        let found = match goal.found.is_empty() {
            true => String::new(),
            false => format!(
                " <span class=\"found\">Found: {}</span>",
                escaped(&goal.found)
            ),
        };
        let _ = writeln!(
            text,
            "<li class=\"{class}\"><b>{}</b> Goal: {}.{found}</li>",
            goal.verdict.as_str(),
            escaped(goal.goal),
        );
    }
    text.push_str("</ul>\n");
}

/// Text from outside as text, in an element or in a quoted attribute.
fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['<', '>', '&', '"', '\'']) {
        return Cow::Borrowed(text);
    }
    let safe = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    Cow::Owned(safe.replace('"', "&quot;").replace('\'', "&#39;"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_not_markup() {
        assert_eq!(
            escaped("<a href='x\">&"),
            "&lt;a href=&#39;x&quot;&gt;&amp;"
        );
        assert_eq!(escaped("plain"), "plain");
    }
}
