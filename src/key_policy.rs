//! The policy of a KMS key as text: inserts a run's statements and removes them again, found by
//! their `Sid`.
//!
//! Every byte that does not belong to the run stays as it is. The module is pure; [`Access`]
//! decides on the content of the statements.
//!
//! KMS reads and writes whole policies only, and the statements of other people are not ours: this
//! module copies them unread.
//!
//! - A policy with a list of statements: ours go behind the last one. Removing them restores the
//!   former text, byte for byte.
//! - A policy with one statement outside of a list: ours go before it, in a new list. Removing them
//!   restores the one statement, outside of a list.
//!
//! A text that is no policy is an error, and is never written.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Value, json};

mod access;
mod parties;

pub use access::{Access, Terms, role_anywhere};
pub use parties::Parties;

/// Bytes of the longest key policy (KMS developer guide, quotas).
pub const LONGEST: usize = 32 * 1024;

/// The prefix of all `Sid`s of ours; the run's ID follows.
const SID: &str = "Amiferry";

/// The parts of a run: the rest of a `Sid`.
pub const PARTS: [&str; 8] = [
    "Describe",
    "Use",
    "Grant",
    "GrantRoles",
    "DescribeMembers",
    "UseMembers",
    "GrantMembers",
    "GrantRolesMembers",
];

/// Why a text is no key policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key policy cannot be read, so it is not written: {0}")]
pub struct Unreadable(String);

/// A key policy, with its statements where they stand.
#[derive(Debug)]
pub struct Document<'a> {
    text: &'a str,
    /// The value of `Statement`.
    list: Range<usize>,
    /// Whether the value is one statement, not a list.
    single: bool,
    items: Vec<Item>,
}

#[derive(Debug)]
struct Item {
    at: Range<usize>,
    /// The parsed statement; `None` if it cannot be parsed.
    value: Option<Value>,
}

/// Returns the `Sid` of a run's statement.
pub fn sid(run: &str, part: &str) -> String {
    format!("{SID}{run}{part}")
}

impl<'a> Document<'a> {
    /// Reads a key policy. Fails if the text is no policy.
    pub fn read(text: &'a str) -> Result<Self, Unreadable> {
        let unreadable = |e: serde_json::Error| Unreadable(e.to_string());
        let Members(members) = serde_json::from_str(text).map_err(unreadable)?;
        let mut found = members.iter().filter(|(name, _)| name == "Statement");
        let (Some((_, statement)), None) = (found.next(), found.next()) else {
            return Err(Unreadable(
                "it must have Statement, and have it once".to_owned(),
            ));
        };
        let list = place(text, statement.get());
        let single = statement.get().starts_with('{');
        let raw: Vec<&RawValue> = if single {
            vec![statement]
        } else {
            serde_json::from_str(statement.get()).map_err(unreadable)?
        };
        let item = |raw: &&RawValue| Item {
            at: place(text, raw.get()),
            value: serde_json::from_str(raw.get()).ok(),
        };
        let items = raw.iter().map(item).collect();
        Ok(Self {
            text,
            list,
            single,
            items,
        })
    }

    /// Returns this run's statements.
    pub fn ours(&self, run: &str) -> Vec<&Value> {
        let ours = self.items.iter().filter(|item| item.is_ours(run));
        ours.filter_map(|item| item.value.as_ref()).collect()
    }

    /// Returns the statements of everybody else, as text.
    pub fn others(&self, run: &str) -> Vec<&'a str> {
        let others = self.items.iter().filter(|item| !item.is_ours(run));
        others.map(|item| &self.text[item.at.clone()]).collect()
    }

    /// Returns whether this run's statements equal `statements`.
    pub fn has(&self, run: &str, statements: &[Value]) -> bool {
        let mut ours: Vec<String> = self.ours(run).into_iter().map(normal_text).collect();
        let mut wanted: Vec<String> = statements.iter().map(normal_text).collect();
        ours.sort();
        wanted.sort();
        ours == wanted
    }

    /// Returns the policy with `statements` in place of the present statements of this run.
    pub fn with(&self, run: &str, statements: &[Value]) -> String {
        let new: Vec<String> = statements.iter().map(Value::to_string).collect();
        let new = new.join(",");
        let (before, after) = (&self.text[..self.list.start], &self.text[self.list.end..]);
        if self.single && !self.items[0].is_ours(run) {
            let old = &self.text[self.list.clone()];
            return if new.is_empty() {
                self.text.to_owned()
            } else {
                format!("{before}[{new},{old}]{after}")
            };
        }
        let in_front = self.items.first().is_some_and(|item| item.is_ours(run));
        if new.is_empty()
            && in_front
            && let Some(alone) = self.made_a_list_for(run)
        {
            return format!("{before}{alone}{after}");
        }
        let (open, close) = self.brackets();
        let mut kept = String::new();
        for (i, item) in self.items.iter().enumerate() {
            if item.is_ours(run) {
                continue;
            }
            if !kept.is_empty() {
                kept.push_str(&self.text[self.items[i - 1].at.end..item.at.start]);
            }
            kept.push_str(&self.text[item.at.clone()]);
        }
        let comma = if kept.is_empty() || new.is_empty() {
            ""
        } else {
            ","
        };
        let (first, last) = if in_front {
            (&new, &kept)
        } else {
            (&kept, &new)
        };
        format!("{before}{open}{first}{comma}{last}{close}{after}")
    }

    /// Returns the one statement that got a list when ours were put before it.
    fn made_a_list_for(&self, run: &str) -> Option<&'a str> {
        let (last, ours) = self.items.split_last()?;
        let (open, close) = self.brackets();
        let made = !self.single
            && (open, close) == ("[", "]")
            && !last.is_ours(run)
            && ours.iter().all(|item| item.is_ours(run));
        made.then(|| &self.text[last.at.clone()])
    }

    /// Returns the text before the first statement, and the text behind the last one.
    fn brackets(&self) -> (&'a str, &'a str) {
        if self.single {
            return ("[", "]");
        }
        let inside = self.list.start + 1;
        let first = self.items.first().map_or(inside, |item| item.at.start);
        let last = self.items.last().map_or(inside, |item| item.at.end);
        (
            &self.text[self.list.start..first],
            &self.text[last..self.list.end],
        )
    }
}

impl Item {
    fn is_ours(&self, run: &str) -> bool {
        let sid = self.value.as_ref().and_then(|v| v.get("Sid")?.as_str());
        let part = sid.and_then(|sid| sid.strip_prefix(SID)?.strip_prefix(run));
        part.is_some_and(|part| PARTS.contains(&part))
    }
}

/// Returns the range of `part`, a slice of `text`.
fn place(text: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr() as usize - text.as_ptr() as usize;
    start..start + part.len()
}

/// Returns a statement in one canonical form. KMS writes policies anew, and treats a list of one as
/// the one.
fn normal_text(statement: &Value) -> String {
    let mut statement = normal(statement);
    if statement.get("Principal").is_some_and(|who| who == "*") {
        statement["Principal"] = json!({"AWS": "*"});
    }
    statement.to_string()
}

fn normal(value: &Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(normal).collect();
            items.sort_by_key(Value::to_string);
            match <[Value; 1]>::try_from(items) {
                Ok([one]) => one,
                Err(items) => Value::Array(items),
            }
        }
        Value::Object(members) => {
            let members = members.iter().map(|(name, v)| (name.clone(), normal(v)));
            Value::Object(members.collect())
        }
        plain => plain.clone(),
    }
}

/// The members of an object, in their order.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;
        impl<'de> Visitor<'de> for Reading {
            type Value = Vec<(String, &'de RawValue)>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a policy: an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Reading).map(Self)
    }
}

#[cfg(test)]
mod tests;
