//! The progress of a run: on a terminal a line for each target, folded where the window is too low;
//! elsewhere a plain line for each change. With `--output jsonl` each target goes to standard
//! output as it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;

use serde_json::Value;

use crate::arguments::{Globals, Output};
use crate::failure::Failure;
use crate::print::{json_line, note, text};
use crate::saved::Saved;

mod terminal;

use terminal::Terminal;

/// Plain lines tell the percentage of copies in steps of this size.
const STEP: u64 = 25;

/// An account and a Region.
type Place = (String, String);

/// Shows the progress of one run.
#[derive(Debug)]
pub struct Progress {
    globals: Globals,
    lines: Lines,
    /// The targets that are on standard output already.
    streamed: BTreeSet<Place>,
}

#[derive(Debug)]
enum Lines {
    None,
    Plain(BTreeMap<Place, String>),
    Terminal(Terminal),
}

impl Progress {
    /// Begins to show the progress of a run.
    pub fn new(globals: &Globals) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let lines = if globals.no_progress || globals.quiet {
            Lines::None
        } else if std::io::stderr().is_terminal() && !dumb {
            Lines::Terminal(Terminal::on_stderr())
        } else {
            Lines::Plain(BTreeMap::new())
        };
        Self {
            globals: globals.clone(),
            lines,
            streamed: BTreeSet::new(),
        }
    }

    /// Shows the targets as they are now.
    pub fn see(&mut self, targets: &[Value]) -> Result<(), Failure> {
        match &mut self.lines {
            Lines::None => {}
            Lines::Plain(seen) => {
                for line in changes(seen, targets) {
                    note(&self.globals, line);
                }
            }
            Lines::Terminal(terminal) => terminal.see(targets),
        }
        self.stream(targets)
    }

    /// Prints a note between the lines.
    pub fn note(&self, text: &str) {
        match &self.lines {
            Lines::Terminal(terminal) => terminal.note(text),
            Lines::None | Lines::Plain(_) => note(&self.globals, text),
        }
    }

    /// Shows the last reply, deletes the file of a run that has ended, and takes the lines of a
    /// terminal away, so that results stand alone.
    pub fn end(mut self, ended: Result<Value, Failure>, saved: &Saved) -> Result<Value, Failure> {
        let seen = match &ended {
            Ok(reply) => {
                saved.end();
                let all = reply["Result"]["Targets"].as_array();
                self.see(all.map_or(&[][..], Vec::as_slice))
            }
            Err(_) => Ok(()),
        };
        self.clear();
        seen.and(ended)
    }

    fn clear(&mut self) {
        if let Lines::Terminal(terminal) = &self.lines {
            terminal.clear();
        }
        self.lines = Lines::None;
    }

    fn stream(&mut self, targets: &[Value]) -> Result<(), Failure> {
        if self.globals.output != Output::Jsonl {
            return Ok(());
        }
        for target in targets.iter().filter(|target| has_ended(target)) {
            if self.streamed.insert(place(target)) {
                json_line(target)?;
            }
        }
        Ok(())
    }
}

/// Returns the account and the Region of a target.
fn place(target: &Value) -> Place {
    (text(target, "AccountId"), text(target, "Region"))
}

/// Returns whether nothing happens in a target any more: its percentage is given until then.
fn has_ended(target: &Value) -> bool {
    target.get("Progress").is_none()
}

/// Returns the percentage of a target's copies.
fn percent(target: &Value) -> u64 {
    if has_ended(target) {
        return 100;
    }
    target["Progress"].as_u64().unwrap_or_default().min(100)
}

/// Returns a line for each target that changed, and remembers it.
fn changes(seen: &mut BTreeMap<Place, String>, targets: &[Value]) -> Vec<String> {
    let mut lines = Vec::new();
    for target in targets {
        let mut said = text(target, "Status");
        if said == "Copying" {
            said = format!("{said} {}%", percent(target) / STEP * STEP);
        }
        for key in ["ImageId", "Reason"] {
            let more = text(target, key);
            if has_ended(target) && !more.is_empty() {
                said = format!("{said}: {more}");
            }
        }
        let place = place(target);
        if seen.get(&place) != Some(&said) {
            lines.push(format!("{} {}  {said}", place.0, place.1));
            seen.insert(place, said);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plain_line_is_told_once_for_each_change() {
        let mut seen = BTreeMap::new();
        let copying = |percent: u8| {
            [
                json!({"AccountId": "2", "Region": "us-west-2", "Status": "Copying",
                "Progress": percent}),
            ]
        };
        assert_eq!(changes(&mut seen, &copying(3)), ["2 us-west-2  Copying 0%"]);
        assert!(changes(&mut seen, &copying(24)).is_empty());
        assert_eq!(
            changes(&mut seen, &copying(60)),
            ["2 us-west-2  Copying 50%"]
        );
        let ended = [
            json!({"AccountId": "2", "Region": "us-west-2", "Status": "Succeeded",
            "ImageId": "ami-1"}),
        ];
        assert_eq!(
            changes(&mut seen, &ended),
            ["2 us-west-2  Succeeded: ami-1"]
        );
        assert!(changes(&mut seen, &ended).is_empty());
    }
}
