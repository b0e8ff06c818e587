//! Members of a JSON request, with the validation errors of Organizations.

use serde_json::Value;

use crate::aws::{is_root_id, is_unit_id};
use crate::members;
use crate::refusals::{self, Refused};

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

    pub(super) fn text(self, name: &str) -> Result<Option<&'a str>, Refused> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        value.as_str().map(Some).ok_or_else(|| mistyped(name))
    }

    /// Returns a text that must be given and have the form.
    pub(super) fn required(
        self,
        name: &str,
        form: impl Fn(&str) -> bool,
    ) -> Result<&'a str, Refused> {
        let given = self.text(name)?;
        let text = given.ok_or_else(|| refusals::ORG_REQUIRED.with(&[name]))?;
        if form(text) {
            return Ok(text);
        }
        Err(refusals::ORG_PATTERN.with(&[]))
    }

    pub(super) fn number(self, name: &str) -> Result<Option<i64>, Refused> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        value.as_i64().map(Some).ok_or_else(|| mistyped(name))
    }
}

fn mistyped(name: &str) -> Refused {
    refusals::KMS_MALFORMED_REQUEST.with(&[&format!("{name} has a value of the wrong type")])
}

pub(super) fn is_account(id: &str) -> bool {
    id.len() == 12 && id.bytes().all(|b| b.is_ascii_digit())
}

pub(super) fn is_parent(id: &str) -> bool {
    is_root_id(id) || is_unit_id(id)
}

pub(super) fn is_child(id: &str) -> bool {
    is_account(id) || is_unit_id(id)
}
