//! Text from outside made safe for one line of a log or terminal.

use std::borrow::Cow;
use std::fmt;

/// Whether a character could break a line, steer a terminal or reorder what stands beside it.
fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `text` with unsafe characters escaped as Rust writes them (`\n`, `\u{1b}`).
pub fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    // Writing to a String does not fail.
    let _ = fmt::Write::write_str(&mut OneLine(&mut safe), text);
    Cow::Owned(safe)
}

/// Passes text on with unsafe characters escaped.
pub struct OneLine<'a, W: fmt::Write + ?Sized>(pub &'a mut W);

impl<W: fmt::Write + ?Sized> fmt::Write for OneLine<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some((at, c)) = rest.char_indices().find(|&(_, c)| is_unsafe(c)) {
            self.0.write_str(&rest[..at])?;
            write!(self.0, "{}", c.escape_default())?;
            rest = &rest[at + c.len_utf8()..];
        }
        self.0.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_characters_are_escaped_and_others_kept() {
        assert_eq!(one_line("peer 1: ünïcode ✓"), "peer 1: ünïcode ✓");
        assert_eq!(
            one_line("a\nb\x1b[31m\u{202e}c\0"),
            r"a\nb\u{1b}[31m\u{202e}c\u{0}"
        );
        assert_eq!(one_line("\u{9b}"), r"\u{9b}");
    }
}
