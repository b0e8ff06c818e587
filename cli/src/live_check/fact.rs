//! The facts, and what was seen of each.

use std::fmt::Write;

use amiferry::error::Refusal;
use serde_json::{Value, json};

/// Something that amiferry counts on, and only AWS can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fact {
    /// The name in the table.
    pub name: &'static str,
    /// The claim.
    pub claim: &'static str,
    /// The consequence for a user if the claim does not hold.
    pub otherwise: &'static str,
}

/// Whether a fact held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    Yes,
    No,
    /// The fact was not tried, or AWS refused something before the answer.
    Unknown,
}

impl Held {
    /// Returns the word of the table.
    pub fn word(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }
}

/// The result of an experiment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub held: Held,
    /// In words.
    pub words: String,
}

impl Seen {
    pub fn yes(words: impl Into<String>) -> Self {
        Self::that(true, words)
    }

    pub fn no(words: impl Into<String>) -> Self {
        Self::that(false, words)
    }

    pub fn that(held: bool, words: impl Into<String>) -> Self {
        Self {
            held: if held { Held::Yes } else { Held::No },
            words: words.into(),
        }
    }

    pub fn unknown(words: impl Into<String>) -> Self {
        Self {
            held: Held::Unknown,
            words: words.into(),
        }
    }
}

/// An experiment that AWS refused says nothing about its fact.
impl From<Result<Self, Refusal>> for Seen {
    fn from(tried: Result<Self, Refusal>) -> Self {
        tried.unwrap_or_else(|refusal| Self::unknown(refusal.to_string()))
    }
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub fact: Fact,
    pub seen: Seen,
}

impl Row {
    /// Returns the row as an object for programs.
    pub fn to_json(&self) -> Value {
        json!({
            "Fact": self.fact.name,
            "Claim": self.fact.claim,
            "Held": self.seen.held.word(),
            "Seen": self.seen.words,
            "Otherwise": self.fact.otherwise,
        })
    }

    /// Returns what was seen, and what it means if the fact does not hold.
    pub fn words(&self) -> String {
        let mut words = self.seen.words.clone();
        if self.seen.held == Held::No {
            let _ = write!(words, ". {}", self.fact.otherwise);
        }
        words
    }
}
