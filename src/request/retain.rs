//! `{"Retain": …}`: which copies are kept, and for how long.

use std::fmt;

use serde_json::Value;

use super::Places;
use super::fields::Fields;
use super::keys::retain_keys;
use crate::error::Error;
use crate::ids::Region;

/// The most copies that a rule may keep, and the longest times in days.
const MOST_NEWEST: u32 = 1000;
const MOST_DAYS: u32 = 3650;
const MOST_GRACE: u32 = 365;
/// Days between two steps of a removal if the request says nothing.
const GRACE: u32 = 7;

/// The copies that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lineage {
    /// Copies whose names match this pattern, in which `*` stands for any characters.
    Name(String),
    /// Copies with this tag, which they have from their sources.
    Tag(String, String),
}

impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(pattern) => f.write_str(pattern),
            Self::Tag(name, value) => write!(f, "{name}={value}"),
        }
    }
}

/// A checked call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retain {
    /// The copies that the rule is about.
    pub lineage: Lineage,
    /// How many of the newest copies are kept in each target.
    pub keep_newest: Option<u32>,
    /// For how many days each copy is kept.
    pub keep_days: Option<u32>,
    /// Days between two steps of a removal.
    pub grace_days: u32,
    /// Whether anything is changed.
    pub apply: bool,
    /// The targets.
    pub places: Places,
}

impl Retain {
    /// Checks `value`. `region` is the Region of targets without one.
    pub fn parse(value: &Value, region: &Region) -> Result<Self, Error> {
        let Value::Object(object) = value else {
            let problem = "must be an object with Lineage, KeepNewest or KeepDays, and targets";
            return Err(Error::invalid("Retain", problem));
        };
        let mut fields = Fields::new("Retain.", retain_keys(), object);
        let missing = || {
            let form = "is required: a pattern of names such as golden-*, or a tag as Key=Value";
            Error::invalid("Retain.Lineage", form)
        };
        let lineage = fields.checked(&["Lineage"], parse_lineage)?;
        let keep_newest = fields.checked(&["KeepNewest"], |text| number(text, 1, MOST_NEWEST))?;
        let keep_days = fields.checked(&["KeepDays"], |text| number(text, 1, MOST_DAYS))?;
        let grace_days = fields.checked(&["GraceDays"], |text| number(text, 0, MOST_GRACE))?;
        let apply = fields.flag("Apply")?.unwrap_or(false);
        let places = Places::read(&mut fields, region)?;
        fields.finish()?;
        if keep_newest.is_none() && keep_days.is_none() {
            let problem = "is required, or KeepDays: without either every copy would be removed";
            return Err(Error::invalid("Retain.KeepNewest", problem));
        }
        Ok(Self {
            lineage: lineage.ok_or_else(missing)?,
            keep_newest,
            keep_days,
            grace_days: grace_days.unwrap_or(GRACE),
            apply,
            places,
        })
    }
}

fn number(text: &str, least: u32, most: u32) -> Result<u32, String> {
    let number = text.strip_suffix(".0").unwrap_or(text).parse().ok();
    number
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("must be a whole number from {least} to {most}"))
}

/// Reads a pattern of names, or a tag. Names of AMIs have no `=`.
fn parse_lineage(text: &str) -> Result<Lineage, &'static str> {
    if let Some((name, value)) = text.split_once('=') {
        let name = name.strip_prefix("tag:").unwrap_or(name);
        if name.is_empty() || value.is_empty() {
            return Err("must have a key and a value around its =");
        }
        return Ok(Lineage::Tag(name.to_owned(), value.to_owned()));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "()[] ./-'@_*?".contains(c);
    if text.is_empty() || text.len() > 128 || !text.chars().all(plain) {
        return Err("must be a pattern of AMI names such as golden-*, or a tag as Key=Value");
    }
    if text.chars().all(|c| matches!(c, '*' | '?')) {
        return Err("matches every name; name what the copies have in common");
    }
    Ok(Lineage::Name(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(more: &Value) -> Result<Retain, String> {
        let mut call = json!({"Lineage": "golden-*", "KeepNewest": 3,
            "TargetAccountIds": ["222222222222"]});
        for (key, value) in more.as_object().unwrap() {
            call[key] = value.clone();
        }
        let region = Region::parse("us-west-2").unwrap();
        Retain::parse(&call, &region).map_err(|e| e.to_string())
    }

    #[test]
    fn a_rule_keeps_the_newest_or_some_days_and_is_a_dry_run_by_default() {
        let rule = parse(&json!({})).unwrap();
        assert_eq!((rule.keep_newest, rule.keep_days), (Some(3), None));
        assert_eq!((rule.grace_days, rule.apply), (7, false));
        assert_eq!(rule.places.targets[0].region.as_str(), "us-west-2");
        let rule = parse(&json!({"KeepNewest": "2", "KeepDays": "30.0", "Apply": "true"}));
        let rule = rule.unwrap();
        assert_eq!(
            (rule.keep_newest, rule.keep_days, rule.apply),
            (Some(2), Some(30), true)
        );
        let tagged = parse(&json!({"Lineage": "tag:family=web"}))
            .unwrap()
            .lineage;
        assert_eq!(tagged, Lineage::Tag("family".to_owned(), "web".to_owned()));
    }

    #[test]
    fn a_rule_that_would_remove_everything_is_refused_by_name() {
        for (wrong, words) in [
            (
                json!({"KeepNewest": null}),
                "Retain.KeepNewest: is required, or KeepDays",
            ),
            (
                json!({"KeepNewest": 0}),
                "Retain.KeepNewest: must be a whole number from 1",
            ),
            (
                json!({"Lineage": "*"}),
                "Retain.Lineage: matches every name",
            ),
            (json!({"Lineage": null}), "Retain.Lineage: is required"),
            (json!({"Lineage": "=x"}), "Retain.Lineage: must have a key"),
            (json!({"TargetAccountIds": null}), "Targets: is required"),
            (
                json!({"Newest": 3}),
                "Retain.Newest: unknown key; accepted are Lineage",
            ),
            (
                json!({"GraceDays": 900}),
                "Retain.GraceDays: must be a whole number from 0",
            ),
        ] {
            let said = parse(&wrong).unwrap_err();
            assert!(said.starts_with(words), "{wrong}: {said}");
        }
    }
}
