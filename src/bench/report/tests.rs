use std::fs;
use std::path::Path;

use serde_json::json;

use super::page::Page;
use super::sample::{full, one, report};
use super::{ReportError, html, markdown, write};
use crate::bench::{Figures, Report};

/// As Markdown and as HTML.
fn rendered(report: &Report) -> [String; 2] {
    let page = Page::of(report);
    [markdown::render(&page), html::render(&page).unwrap()]
}

#[test]
fn every_file_is_there_and_html_stands_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("mine.txt"), "kept").unwrap();
    fs::write(dir.path().join("report.md"), "old").unwrap();
    let files = write(&full(), &dir.path().join("")).unwrap().files;
    for name in [
        "report.json",
        "report.md",
        "report.html",
        "lookup-times.svg",
        "lookup-times.png",
    ] {
        assert!(files.contains(&dir.path().join(name)), "{name}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), files.len() + 1);
    assert_eq!(
        fs::read_to_string(dir.path().join("mine.txt")).unwrap(),
        "kept"
    );
    let html = fs::read_to_string(dir.path().join("report.html")).unwrap();
    let outside = html.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    for reference in ["http", "src=", "url(", "@import", "<link", "<script"] {
        assert!(!outside.contains(reference), "{reference}");
    }
    let json: Report = serde_json::from_slice(&fs::read(&files[0]).unwrap()).unwrap();
    assert_eq!(json.measurements.len(), full().measurements.len());
}

#[test]
fn each_section_says_first_what_was_found() {
    let [markdown, html] = rendered(&full());
    for finding in [
        "With 1,000,000 topics a lookup takes 120 µs (median; p99 228 µs) for 1 peer; throughput \
         reaches 236,000 lookups/s with 8 peers of 16 requests in flight each, 0.93 of raw QUIC in the \
         same run.",
        "With 1,000,000 topics the throughput of lookups is 0.98 of that with 1,000 topics.",
        "the earlier system took 356 µs",
        "After its host is killed a topic takes messages again in",
    ] {
        assert!(markdown.contains(finding), "{finding}\n{markdown}");
        assert!(html.contains(finding), "{finding}");
    }
    assert!(markdown.contains("Goal: planned hand-over: p99 at most 300 ms: **met**, 125 ms."));
}

#[test]
fn what_must_be_known_first_stands_on_top() {
    let mut report = full();
    report.machine.optimised = false;
    report.quick = true;
    let [markdown, html] = rendered(&report);
    for text in [markdown, html] {
        assert!(text.contains("Unoptimised build: figures mean nothing"));
        assert!(text.contains("Quick form"));
        assert!(text.contains("2025-10-09") && text.contains("waypost bench all --runs 5"));
    }
}

#[test]
fn text_from_outside_is_text() {
    let mut report = full();
    report.command = "waypost <img src=x onerror=alert(1)>".to_owned();
    let [markdown, html] = rendered(&report);
    for text in [&markdown, &html] {
        assert!(!text.contains("<script") && !text.contains("<img"));
        assert!(text.contains("&lt;script&gt;"));
    }
    assert!(markdown.contains(r"\| \*bold\*"));
}

#[test]
fn few_measurements_are_no_trouble() {
    rendered(&report(Vec::new()));
    for found in full().measurements {
        rendered(&report(vec![found]));
    }
    let mut jobs = full().measurements;
    jobs.dedup_by(|next, first| next.job == first.job);
    write(&report(jobs), tempfile::tempdir().unwrap().path()).unwrap();
}

#[test]
fn odd_figures_and_params_are_no_trouble() {
    for odd in [f64::NAN, f64::INFINITY, 0.0, -1.0, 1e300, 1e-300] {
        let mut report = full();
        for found in &mut report.measurements {
            let at_once = Figures {
                ops_per_s: odd,
                mb_per_s: odd,
                avg_us: odd,
                p50_us: odd,
                p99_us: odd,
                p999_us: odd,
                cpu_us_per_op: odd,
            };
            (found.figures, found.baseline) = (at_once, Some(at_once));
            (found.ratio, found.p50_ratio, found.spread) = (Some(odd), Some(odd), odd);
            if found.job != "compare" {
                found.params.insert("peers".to_owned(), json!(odd));
            }
        }
        rendered(&report);
        report.measurements.truncate(1);
        write(&report, tempfile::tempdir().unwrap().path()).unwrap();
    }
    let odd = json!({"peers": "many", "topics": null, "size": [1], "names": {}, "step": 7});
    let jobs = [
        "lookup", "scale", "publish", "pull", "e2e", "memory", "failover", "compare", "", "a/b",
    ];
    rendered(&report(jobs.map(|job| one(job, odd.clone())).to_vec()));
}

#[test]
fn errors_name_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let taken = dir.path().join("taken");
    fs::write(&taken, "").unwrap();
    let error = write(&full(), &taken).unwrap_err();
    assert!(matches!(&error, ReportError::Folder { .. }) && error.to_string().contains("taken"));
    fs::create_dir(dir.path().join("report.json")).unwrap();
    let error = write(&full(), dir.path()).unwrap_err();
    assert!(error.to_string().contains("report.json"), "{error}");
    assert!(!dir.path().join(".report.json.partial").exists());
}

/// For looking at: `cargo test draws_the_sample -- --ignored`, then open target/bench-sample.
#[test]
#[ignore = "writes files for people to look at"]
fn draws_the_sample() {
    write(
        &full(),
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-sample"),
    )
    .unwrap();
}
