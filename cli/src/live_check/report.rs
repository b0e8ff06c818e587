//! The table of a check, and the file that can be attached to an issue.

use std::fmt::Write;

use serde_json::{Value, json};

use super::cleaning::Cleaned;
use super::fact::{Held, Row};
use super::scene::Check;

/// The result of a check.
#[derive(Debug)]
pub struct Report<'a> {
    pub check: &'a Check,
    pub rows: &'a [Row],
    pub cleaned: &'a Cleaned,
    /// Why the check ended early, if it did.
    pub ended: Option<String>,
}

impl Report<'_> {
    /// Returns whether every fact that was tried held, and nothing is left.
    pub fn is_good(&self) -> bool {
        let no = self.rows.iter().any(|row| row.seen.held == Held::No);
        !no && self.ended.is_none() && self.cleaned.left.is_empty()
    }

    /// Returns the report for programs.
    pub fn to_json(&self) -> Value {
        let mut whole = json!({
            "CheckId": self.check.id,
            "Version": env!("CARGO_PKG_VERSION"),
            "Regions": [self.check.home, self.check.other],
            "Facts": self.rows.iter().map(Row::to_json).collect::<Vec<_>>(),
            "Removed": self.cleaned.removed,
            "Left": self.cleaned.left,
        });
        if let Some(why) = &self.ended {
            whole["EndedEarly"] = json!(why);
        }
        whole
    }

    /// Returns the file for an issue, in Markdown and without account IDs.
    pub fn file(&self) -> String {
        let mut text = format!(
            "# Live check {}\n\namiferry {}, from {} into {} and {}.\n\n\
             | fact | held | seen |\n|---|---|---|\n",
            self.check.id,
            env!("CARGO_PKG_VERSION"),
            self.check.home,
            self.check.home,
            self.check.other
        );
        for row in self.rows {
            let cells = [row.fact.claim, row.seen.held.word(), &row.words()];
            let cells = cells.map(|cell| cell.replace('|', "\\|"));
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        if let Some(why) = &self.ended {
            let _ = writeln!(text, "\nThe check ended early: {why}");
        }
        let _ = writeln!(text, "\nRemoved: {}.", self.cleaned.removed.len());
        for left in &self.cleaned.left {
            let _ = writeln!(text, "Left: {left}");
        }
        self.without_accounts(&text)
    }

    fn without_accounts(&self, text: &str) -> String {
        let text = text.replace(&self.check.source.account, "SOURCE");
        text.replace(&self.check.target.account, "TARGET")
    }
}
