//! The name of a copy.
//!
//! RegisterImage refuses a second image of the same name in an account and Region. The name
//! therefore is a claim: of several processes at work on one target, exactly one registers.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::digest;
use crate::ids::{AccountId, ImageId, Region};

/// EC2's limits for the length of AMI names.
const LONGEST: usize = 128;
const SHORTEST: usize = 3;
const PLACEHOLDERS: [&str; 5] = ["name", "image", "account", "region", "source_account"];

/// A template such as `{name}-copied-from-{source_account}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NameTemplate(String);

/// The facts that the placeholders stand for.
#[derive(Debug, Clone, Copy)]
pub struct NameFacts<'a> {
    /// The name of the source image.
    pub source_name: &'a str,
    /// The ID of the source image.
    pub source_image: &'a ImageId,
    /// The account of the source image.
    pub source_account: &'a AccountId,
    /// The target account.
    pub account: &'a AccountId,
    /// The target Region.
    pub region: &'a Region,
}

impl Default for NameTemplate {
    fn default() -> Self {
        Self("{name}-copied-from-{source_account}".to_owned())
    }
}

impl NameTemplate {
    /// Checks placeholders and characters. The error names the fault.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text;
        let mut literal = String::new();
        while let Some(open) = rest.find('{') {
            literal.push_str(&rest[..open]);
            let inside = &rest[open + 1..];
            let close = inside.find('}').ok_or("has a { without its }")?;
            if !PLACEHOLDERS.contains(&&inside[..close]) {
                return Err(format!(
                    "has a placeholder it cannot fill; accepted are {{{}}}",
                    PLACEHOLDERS.join("} {")
                ));
            }
            rest = &inside[close + 1..];
        }
        literal.push_str(rest);
        if let Some(wrong) = literal.chars().find(|c| !allowed(*c)) {
            return Err(format!(
                "has the character {wrong:?}; AMI names are made of A-Za-z0-9()[] ./-'@_"
            ));
        }
        // Every placeholder stands for more characters than the shortest name has.
        let too_short = literal.len() == text.len() && text.len() < SHORTEST;
        if too_short || literal.len() > LONGEST - SHORTEST {
            return Err(format!(
                "must have {SHORTEST} to {LONGEST} characters once filled in"
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the name for one target, the same each time. If the source's name makes it too long,
    /// that name is cut and gets a digest of the image, so that two long names differ.
    pub fn fill(&self, facts: NameFacts<'_>) -> String {
        let whole = self.fill_with(facts, facts.source_name);
        if whole.len() <= LONGEST {
            return whole;
        }
        let mark = &digest([facts.source_image.as_str()])[..8];
        let room = (LONGEST + facts.source_name.len()).saturating_sub(whole.len() + mark.len() + 1);
        let cut = &facts.source_name[..facts.source_name.floor_char_boundary(room)];
        let mut name = self.fill_with(facts, &format!("{cut}-{mark}"));
        name.truncate(name.floor_char_boundary(LONGEST));
        name
    }

    fn fill_with(&self, facts: NameFacts<'_>, source_name: &str) -> String {
        self.0
            .replace("{image}", facts.source_image.as_str())
            .replace("{source_account}", facts.source_account.as_str())
            .replace("{account}", facts.account.as_str())
            .replace("{region}", facts.region.as_str())
            .replace("{name}", source_name)
    }
}

/// Appends `-<suffix>` to a name, which is cut where it would become too long.
pub fn with_suffix(name: &str, suffix: &str) -> String {
    let room = LONGEST.saturating_sub(suffix.len() + 1);
    let end = name.floor_char_boundary(room);
    format!("{}-{suffix}", &name[..end])
}

impl TryFrom<String> for NameTemplate {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<NameTemplate> for String {
    fn from(template: NameTemplate) -> String {
        template.0
    }
}

impl fmt::Display for NameTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || "()[] ./-'@_".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str, source_name: &str) -> String {
        let image = ImageId::parse("ami-0a1b2c3d4e5f60718").unwrap();
        let (source, account) = (
            AccountId::parse("111111111111").unwrap(),
            AccountId::parse("222222222222").unwrap(),
        );
        let region = Region::parse("us-west-2").unwrap();
        let facts = NameFacts {
            source_name,
            source_image: &image,
            source_account: &source,
            account: &account,
            region: &region,
        };
        NameTemplate::parse(template).unwrap().fill(facts)
    }

    #[test]
    fn every_placeholder_is_filled() {
        assert_eq!(
            filled("{name}-copied-from-{source_account}", "web"),
            "web-copied-from-111111111111"
        );
        assert_eq!(
            filled("{image}/{account}/{region}", "web"),
            "ami-0a1b2c3d4e5f60718/222222222222/us-west-2"
        );
    }

    #[test]
    fn two_long_names_are_cut_to_different_names() {
        let name = filled("{name}-copied-from-{source_account}", &"n".repeat(128));
        assert_eq!(name.len(), 128);
        assert!(name.ends_with("-copied-from-111111111111"), "{name}");
        assert_eq!(
            name,
            filled("{name}-copied-from-{source_account}", &"n".repeat(128))
        );
    }

    /// EC2 accepts only ASCII characters in AMI names, but the name of a source arrives as AWS
    /// sends it.
    #[test]
    fn a_multibyte_name_is_cut_between_characters() {
        for character in ["é", "日", "🦀", "e\u{301}"] {
            for before in 0..4 {
                for count in 0..140 {
                    let source = format!("{}{}", "n".repeat(before), character.repeat(count));
                    for template in [
                        "{name}-copied-from-{source_account}",
                        "{name}",
                        "{name}{name}",
                        "x{name}{image}{name}",
                    ] {
                        let name = filled(template, &source);
                        assert!(name.len() <= LONGEST, "{name}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_name_that_ec2_would_refuse_is_refused() {
        for wrong in ["{nmae}", "{name", "a:b", "naïve", "", "ab", "x{}y"] {
            assert!(NameTemplate::parse(wrong).is_err(), "{wrong}");
        }
    }
}
