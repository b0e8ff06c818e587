//! Members of a JSON request, with KMS's validation errors.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::members;
use crate::refusals::{self, Refused};

#[derive(Clone, Copy)]
pub(crate) struct Input<'a>(&'a Value);

impl<'a> Input<'a> {
    pub(super) fn new(body: &'a Value) -> Self {
        Self(body)
    }

    fn get(self, name: &str) -> Option<&'a Value> {
        members::given(self.0, name)
    }

    pub(super) fn only(self, operation: &str, names: &[&str]) -> Result<(), Refused> {
        members::only(self.0, operation, names)
    }

    pub(super) fn text(self, name: &str, longest: usize) -> Result<Option<&'a str>, Refused> {
        self.text_between(name, 1, longest)
    }

    /// Returns a text that has between `shortest` and `longest` bytes.
    pub(super) fn text_between(
        self,
        name: &str,
        shortest: usize,
        longest: usize,
    ) -> Result<Option<&'a str>, Refused> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let text = value
            .as_str()
            .ok_or_else(|| invalid(name, value, "Member must be a string"))?;
        if (shortest..=longest).contains(&text.len()) {
            return Ok(Some(text));
        }
        Err(invalid(
            name,
            value,
            &format!("Member must have length between {shortest} and {longest}"),
        ))
    }

    pub(super) fn required(self, name: &str, longest: usize) -> Result<&'a str, Refused> {
        let given = self.text(name, longest)?;
        given.ok_or_else(|| invalid(name, &Value::Null, "Member must not be null"))
    }

    pub(super) fn flag(self, name: &str) -> Result<bool, Refused> {
        let Some(value) = self.get(name) else {
            return Ok(false);
        };
        value
            .as_bool()
            .ok_or_else(|| invalid(name, value, "Member must be a boolean"))
    }

    pub(super) fn number(self, name: &str, most: usize) -> Result<Option<usize>, Refused> {
        self.number_between(name, 1, most)
    }

    pub(super) fn number_between(
        self,
        name: &str,
        least: usize,
        most: usize,
    ) -> Result<Option<usize>, Refused> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let number = value.as_u64().and_then(|n| usize::try_from(n).ok());
        let number = number.filter(|n| (least..=most).contains(n));
        let constraint = format!("Member must be between {least} and {most}");
        number
            .map(Some)
            .ok_or_else(|| invalid(name, value, &constraint))
    }

    pub(super) fn texts(self, name: &str) -> Result<Vec<String>, Refused> {
        let Some(value) = self.get(name) else {
            return Ok(Vec::new());
        };
        let bad = || invalid(name, value, "Member must be a list of strings");
        let items = value.as_array().ok_or_else(bad)?;
        let texts = items
            .iter()
            .map(|item| item.as_str().map(str::to_owned).ok_or_else(bad));
        texts.collect()
    }

    /// Returns the structures of a list.
    pub(super) fn list(self, name: &str) -> Result<Vec<Self>, Refused> {
        let Some(value) = self.get(name) else {
            return Ok(Vec::new());
        };
        let bad = || invalid(name, value, "Member must be a list of structures");
        let items = value.as_array().ok_or_else(bad)?;
        let each = items.iter().map(|item| {
            let structure = item.is_object().then_some(Self(item));
            structure.ok_or_else(bad)
        });
        each.collect()
    }

    pub(super) fn map(self, name: &str) -> Result<Option<BTreeMap<String, String>>, Refused> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let bad = || invalid(name, value, "Member must be a map of strings");
        let fields = value.as_object().ok_or_else(bad)?.iter();
        let pairs = fields.map(|(key, value)| {
            value
                .as_str()
                .map(|text| (key.clone(), text.to_owned()))
                .ok_or_else(bad)
        });
        pairs.collect::<Result<_, _>>().map(Some)
    }

    pub(super) fn inner(self, name: &str) -> Result<Option<Self>, Refused> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let is_structure = value.is_object();
        let structure = is_structure.then_some(Some(Self(value)));
        structure.ok_or_else(|| invalid(name, value, "Member must be a structure"))
    }
}

pub(super) fn invalid(name: &str, value: &Value, constraint: &str) -> Refused {
    let shown: String = value
        .to_string()
        .trim_matches('"')
        .chars()
        .take(200)
        .collect();
    let mut first = name.chars();
    let member = first
        .next()
        .map(|c| c.to_ascii_lowercase().to_string() + first.as_str());
    refusals::KMS_VALIDATION.with(&[&shown, &member.unwrap_or_default(), constraint])
}
