//! Data on standard output, everything else on standard error.
//!
//! Guarantees: text of other machines reaches a terminal escaped; a reader that goes away ends the
//! command quietly ([`CliError::reader_gone`]); nothing here panics where an output is closed.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;

use comfy_table::{Cell, Table, presets};
use serde::Serialize;

use super::error::CliError;
use crate::text::one_line;

/// The form of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Table,
    /// For programs: one JSON value, or one a line on streams.
    Json,
}

/// Something that listings show.
pub trait Row: Serialize {
    /// The columns.
    const HEAD: &'static [&'static str];

    /// The cells in the order of the columns.
    fn cells(&self) -> Vec<String>;
}

/// Where a command's data goes.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// The form.
    pub format: OutputFormat,
}

impl Output {
    /// Whether programs read the data.
    pub fn is_json(&self) -> bool {
        self.format == OutputFormat::Json
    }

    /// Prints a listing: a table, or one JSON array.
    pub fn list<T: Row>(&self, items: &[T]) -> Result<(), CliError> {
        self.value(&items, || {
            table(T::HEAD, items.iter().map(|item| item.cells()))
        })
    }

    /// Starts a listing that comes in pages.
    pub fn listing(&self) -> Result<Listing, CliError> {
        Ok(Listing {
            json: self.is_json(),
            sink: Sink::stdout()?,
            rows: 0,
        })
    }

    /// Prints one thing: `human` for people, or `value` as JSON.
    pub fn value<T: Serialize>(
        &self,
        value: &T,
        human: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        let mut text = match self.format {
            OutputFormat::Table => human(),
            OutputFormat::Json => json_line(value)?,
        };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        self.text(&text)
    }

    /// Prints text as it is, at once.
    pub fn text(&self, text: &str) -> Result<(), CliError> {
        let mut sink = Sink::stdout()?;
        sink.write(text.as_bytes())?;
        sink.flush()
    }
}

/// A listing that comes in pages: one JSON array, or one table whose later pages have no head.
pub struct Listing {
    json: bool,
    sink: Sink,
    rows: usize,
}

impl Listing {
    /// Prints a page.
    pub fn page<T: Row>(&mut self, items: &[T]) -> Result<(), CliError> {
        if items.is_empty() {
            return Ok(());
        }
        if self.json {
            for item in items {
                let before = if self.rows == 0 { "[" } else { "," };
                self.sink.write(before.as_bytes())?;
                self.sink.write(json_line(item)?.trim_end().as_bytes())?;
                self.rows += 1;
            }
        } else {
            let text = table(T::HEAD, items.iter().map(|item| item.cells()));
            let later = text.split_once('\n').map_or("", |(_, rows)| rows);
            let text = if self.rows == 0 { text.as_str() } else { later };
            self.sink.write(text.as_bytes())?;
            self.rows += items.len();
        }
        self.sink.flush()
    }

    /// Ends it; one without any item is an empty array, or a head.
    pub fn end<T: Row>(mut self) -> Result<(), CliError> {
        let end = match (self.json, self.rows) {
            (true, 0) => "[]\n".to_owned(),
            (true, _) => "]\n".to_owned(),
            (false, 0) => table(T::HEAD, []),
            (false, _) => String::new(),
        };
        self.sink.write(end.as_bytes())?;
        self.sink.flush()
    }
}

/// Buffered standard output, for streams. What matters to a commit is [`Sink::flush`].
pub struct Sink {
    writer: BufWriter<Box<dyn Write + Send>>,
}

impl Sink {
    /// Large enough that a stream of small messages costs few system calls.
    const BUFFER_BYTES: usize = 64 << 10;

    /// Standard output, without the line buffering of [`io::stdout`].
    pub fn stdout() -> Result<Sink, CliError> {
        let fd = io::stdout()
            .as_fd()
            .try_clone_to_owned()
            .map_err(|e| CliError::stdout(&e))?;
        Ok(Sink::new(Box::new(File::from(fd))))
    }

    /// Any other writer.
    pub fn new(writer: Box<dyn Write + Send>) -> Sink {
        Sink {
            writer: BufWriter::with_capacity(Self::BUFFER_BYTES, writer),
        }
    }

    /// Adds bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.writer
            .write_all(bytes)
            .map_err(|e| CliError::stdout(&e))
    }

    /// Adds one line of ndjson.
    pub fn json<T: Serialize>(&mut self, value: &T) -> Result<(), CliError> {
        self.write(json_line(value)?.as_bytes())
    }

    /// Hands everything to the reader.
    pub fn flush(&mut self) -> Result<(), CliError> {
        self.writer.flush().map_err(|e| CliError::stdout(&e))
    }
}

fn json_line<T: Serialize>(value: &T) -> Result<String, CliError> {
    let mut line = serde_json::to_string(value).map_err(|error| {
        CliError::new(
            "internal",
            super::error::Exit::Other,
            "cannot print as JSON",
        )
        .detail("cause", error)
    })?;
    line.push('\n');
    Ok(line)
}

/// Rows under a head, without borders, as kubectl prints them. An empty one is its head.
pub fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(head.iter().map(|name| name.to_uppercase()));
    for row in rows {
        table.add_row(row.iter().map(|cell| Cell::new(one_line(cell))));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = table.trim_fmt();
    text.push('\n');
    text
}

/// `name  value` lines with the values in one column.
pub fn fields(fields: &[(&str, String)]) -> String {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    fields
        .iter()
        .map(|(name, value)| format!("{name:width$}  {}\n", one_line(value)))
        .collect()
}

/// An error that does not end the command, on standard error.
pub fn say_error(error: &CliError, json: bool) {
    let text = match json {
        true => error.to_json().to_string(),
        false => error.to_string(),
    };
    // Where standard error is gone there is nobody to tell.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Says something on standard error that is not data.
pub fn say(text: &str) {
    // Where standard error is gone there is nobody to tell.
    let _ = writeln!(io::stderr(), "{}", one_line(text));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::error::Exit;

    #[test]
    fn tables_have_no_borders_and_safe_cells() {
        let row = |a: &str, b: &str| vec![a.to_owned(), b.to_owned()];
        let text = table(&["name", "end"], [row("T1", "42"), row("long\nname", "")]);
        assert_eq!(text, "NAME        END\nT1          42\nlong\\nname\n");
        assert_eq!(table(&["name"], []), "NAME\n");
    }

    #[test]
    fn fields_align() {
        let text = fields(&[("name", "T1".into()), ("last offset", "4".into())]);
        assert_eq!(text, "name         T1\nlast offset  4\n");
    }

    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_goes_away_ends_the_stream_quietly() {
        let mut sink = Sink::new(Box::new(Full));
        sink.json(&1).unwrap();
        assert_eq!(sink.flush().unwrap_err().exit(), Exit::Ok);
    }
}
