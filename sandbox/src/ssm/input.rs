//! Members of a JSON request, with the validation errors of Systems Manager.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::members;
use crate::refusals::{self, Refused};
use crate::rules::tags;

#[derive(Clone, Copy)]
pub(super) struct Input<'a>(&'a Value);

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
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let text = value.as_str();
        let text = text.ok_or_else(|| invalid(name, value, "Member must be a string"))?;
        if text.len() <= longest {
            return Ok(Some(text));
        }
        let why = format!("Member must have length less than or equal to {longest}");
        Err(invalid(name, value, &why))
    }

    pub(super) fn required(self, name: &str, longest: usize) -> Result<&'a str, Refused> {
        let given = self.text(name, longest)?;
        let given = given.ok_or_else(|| invalid(name, &Value::Null, "Member must not be null"))?;
        if given.is_empty() {
            let why = "Member must have length greater than or equal to 1";
            return Err(invalid(name, &Value::from(""), why));
        }
        Ok(given)
    }

    pub(super) fn flag(self, name: &str) -> Result<bool, Refused> {
        let Some(value) = self.get(name) else {
            return Ok(false);
        };
        let flag = value.as_bool();
        flag.ok_or_else(|| invalid(name, value, "Member must be a boolean"))
    }

    pub(super) fn number(self, name: &str, most: usize) -> Result<Option<usize>, Refused> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let number = value
            .as_u64()
            .and_then(|number| usize::try_from(number).ok());
        let number = number.filter(|number| (1..=most).contains(number));
        let why = format!("Member must have a value between 1 and {most}");
        number.map(Some).ok_or_else(|| invalid(name, value, &why))
    }

    /// Returns a member that has one of these values, if it is given. `modelled` are the values
    /// that the sandbox models.
    pub(super) fn one_of(
        self,
        name: &str,
        all: &[&str],
        modelled: &[&str],
    ) -> Result<Option<&'a str>, Refused> {
        let Some(given) = self.text(name, usize::MAX)? else {
            return Ok(None);
        };
        if modelled.contains(&given) {
            return Ok(Some(given));
        }
        if all.contains(&given) {
            return Err(refusals::NOT_IMPLEMENTED.with(&[&format!("{name} {given}")]));
        }
        let why = format!("Member must satisfy enum value set: [{}]", all.join(", "));
        Err(invalid(name, &Value::from(given), &why))
    }

    pub(super) fn tags(self) -> Result<BTreeMap<String, String>, Refused> {
        let mut read = BTreeMap::new();
        let given = self.get("Tags").and_then(Value::as_array);
        for tag in given.into_iter().flatten() {
            let tag = Input(tag);
            let key = tag.required("Key", usize::MAX)?;
            let value = tag.text("Value", usize::MAX)?.unwrap_or_default();
            let reserved = key.to_ascii_lowercase().starts_with("aws:");
            if reserved || tags::check_lengths(key, value).is_err() {
                let why = "Member must be a tag of at most 128 and 256 characters";
                return Err(invalid("tags", &Value::from(key), why));
            }
            read.insert(key.to_owned(), value.to_owned());
        }
        Ok(read)
    }
}

pub(super) fn invalid(name: &str, value: &Value, why: &str) -> Refused {
    let shown = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    let mut name = name.to_owned();
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    refusals::SSM_VALIDATION.with(&[&shown, &name, why])
}
