//! Results on standard output, in the form that `--output` asks for; words on standard error.

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use crate::arguments::{Globals, Output};
use crate::failure::Failure;

/// Columns where standard output is no terminal.
const COLUMNS: usize = 80;
/// More columns than a person reads in.
const MOST_COLUMNS: usize = 120;

/// A list of things, in each form of output.
#[derive(Debug)]
pub struct List {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    objects: Vec<Value>,
}

impl List {
    /// Begins a list with these columns.
    pub fn new(headings: &[&'static str]) -> Self {
        Self {
            headings: headings.to_vec(),
            rows: Vec::new(),
            objects: Vec::new(),
        }
    }

    /// Adds a thing: its columns, and the object for programs.
    pub fn add(&mut self, row: Vec<String>, object: Value) {
        self.rows.push(row);
        self.objects.push(object);
    }

    /// Prints the list. `whole` is the document for `--output json`, `none` the words for a person
    /// if the list is empty.
    pub fn print(&self, output: Output, whole: &Value, none: &str) -> Result<(), Failure> {
        match output {
            Output::Json => json(whole),
            Output::Jsonl => self.objects.iter().try_for_each(json_line),
            Output::Text => self.rows.iter().try_for_each(|row| line(tabbed(row))),
            Output::Table if self.rows.is_empty() => line(none),
            Output::Table => line(self.table()),
        }
    }

    fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if let Some(width) = terminal_columns() {
            table
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(u16::try_from(width).unwrap_or(u16::MAX));
        }
        table.set_header(&self.headings);
        let short = |row: &Vec<String>| row.iter().map(|cell| short(cell)).collect::<Vec<_>>();
        table.add_rows(self.rows.iter().map(short));
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let lines = table.lines().map(|line| line.trim_end().to_owned());
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// Returns a cell for people: of a key its ID, because the rest of its ARN is the same in all rows.
fn short(cell: &str) -> String {
    let key = cell.starts_with("arn:").then(|| cell.split_once(":key/"));
    key.flatten()
        .map_or_else(|| cell.to_owned(), |(_, id)| format!("key/{id}"))
}

/// Returns columns with tabs between them, on one line.
pub fn tabbed(row: &[String]) -> String {
    let one_line = |cell: &String| cell.replace(['\t', '\n', '\r'], " ");
    row.iter().map(one_line).collect::<Vec<_>>().join("\t")
}

/// Prints a line to standard output.
pub fn line(text: impl Display) -> Result<(), Failure> {
    let mut stdout = anstream::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::Closed),
        Err(error) => Err(Failure::Failed(format!("standard output: {error}"))),
    }
}

/// Prints a JSON document.
pub fn json(value: &Value) -> Result<(), Failure> {
    line(format!("{value:#}"))
}

/// Prints a JSON object on one line.
pub fn json_line(value: &Value) -> Result<(), Failure> {
    line(value)
}

/// Prints a failure to standard error.
pub fn error(failure: &Failure) {
    let word = match failure {
        Failure::Interrupted(_) => "interrupted",
        Failure::Running(_) => "still running",
        _ => "error",
    };
    // Nobody can be told that standard error is closed.
    let _ = writeln!(anstream::stderr(), "{}: {failure}", colored(word, "1;31"));
}

/// Prints words for a person to standard error, unless `--quiet` is given.
pub fn note(globals: &Globals, text: impl Display) {
    if !globals.quiet {
        let _ = writeln!(anstream::stderr(), "{text}");
    }
}

/// Returns the text between a color and its end; the streams take both away where there are none.
pub fn colored(text: &str, color: &str) -> String {
    format!("\u{1b}[{color}m{text}\u{1b}[0m")
}

/// Returns whether standard error shows colors.
pub fn colors_stderr() -> bool {
    anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
}

/// Returns the columns of the terminal that standard output is; `None` if it is none.
fn terminal_columns() -> Option<usize> {
    if !std::io::stdout().is_terminal() {
        return None;
    }
    let (width, _) = terminal_size::terminal_size()?;
    Some(usize::from(width.0))
}

/// Returns a paragraph whose lines begin with `indent`.
pub fn wrapped(text: &str, indent: &str) -> String {
    let columns = terminal_columns().unwrap_or(COLUMNS).min(MOST_COLUMNS);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let length = indent.len() + line.chars().count() + 1 + word.chars().count();
        if !line.is_empty() && length > columns {
            lines.push(format!("{indent}{line}"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    lines.push(format!("{indent}{line}"));
    lines.join("\n")
}

/// Returns the text under a key, or nothing.
pub fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn list() -> List {
        let mut list = List::new(&["ACCOUNT", "STATUS"]);
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        list.add(
            row(["222222222222", "Succeeded"]),
            json!({"AccountId": "222222222222"}),
        );
        list.add(row(["3", "Failed"]), json!({}));
        list
    }

    #[test]
    fn a_table_has_aligned_columns_and_no_blanks_at_the_ends() {
        let expected = "ACCOUNT       STATUS\n222222222222  Succeeded\n3             Failed";
        assert_eq!(list().table(), expected);
    }

    #[test]
    fn a_cell_cannot_break_its_line() {
        assert_eq!(tabbed(&["a\tb".to_owned(), "c\nd".to_owned()]), "a b\tc d");
    }

    #[test]
    fn a_paragraph_is_broken_between_words_only() {
        let word = "x".repeat(50);
        let text = wrapped(&format!("{word} {word}"), "  ");
        assert_eq!(text, format!("  {word}\n  {word}"));
        assert_eq!(wrapped("", "  "), "  ");
    }
}
