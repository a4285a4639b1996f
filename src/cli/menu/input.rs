//! Lines of bounded length from standard input.
//!
//! A thread reads, for standard input cannot be read without blocking everywhere (a file, a
//! terminal). It stands one line ahead at most.

use std::io::{self, BufRead, Read};
use std::thread;

use tokio::sync::mpsc;

use crate::limits;

/// Bytes of a line: the longest message and its line end.
const LINE_BYTES: u64 = limits::MESSAGE_BYTES as u64 + 2;
/// Lines read ahead of the menu.
const AHEAD: usize = 1;

/// What came from standard input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line without its end.
    Text(Vec<u8>),
    /// A line over [`LINE_BYTES`]; it was skipped.
    TooLong,
}

/// The lines of standard input; the channel closes at its end.
pub(super) fn lines() -> io::Result<mpsc::Receiver<Line>> {
    let (sender, lines) = mpsc::channel(AHEAD);
    // It lives until the end of input or of the process; nobody can interrupt a read.
    thread::Builder::new()
        .name("waypost-input".to_owned())
        .spawn(move || {
            let mut input = io::stdin().lock();
            while let Ok(Some(line)) = read_line(&mut input, LINE_BYTES) {
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        })?;
    Ok(lines)
}

/// The next line; `None` at the end of input. A last line without a line end is a line.
fn read_line(input: &mut impl BufRead, max: u64) -> io::Result<Option<Line>> {
    let mut line = vec![];
    if input.take(max).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') && line.len() as u64 == max {
        return skip_line(input).map(|()| Some(Line::TooLong));
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    Ok(Some(Line::Text(line)))
}

fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let bytes = input.fill_buf()?;
        let end = bytes.iter().position(|&byte| byte == b'\n');
        let used = end.map_or(bytes.len(), |at| at + 1);
        input.consume(used);
        if end.is_some() || used == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(text: &str, max: u64) -> Vec<Line> {
        let mut input = io::BufReader::with_capacity(3, text.as_bytes());
        let mut lines = vec![];
        while let Some(line) = read_line(&mut input, max).unwrap() {
            lines.push(line);
        }
        lines
    }

    fn text(line: &str) -> Line {
        Line::Text(line.into())
    }

    #[test]
    fn lines_end_at_line_ends_of_any_kind_and_at_the_end() {
        assert_eq!(read_all("a\r\n\nbc", 9), [text("a"), text(""), text("bc")]);
        assert_eq!(read_all("", 9), []);
    }

    #[test]
    fn long_lines_are_skipped_whole() {
        assert_eq!(
            read_all("1234567890\nab\n12345", 5),
            [Line::TooLong, text("ab"), Line::TooLong]
        );
        assert_eq!(read_all("1234\n", 5), [text("1234")]);
    }
}
