//! The fault of a policy document, and its place.

use std::fmt;

/// A document that AWS would refuse, or that uses something this module does not model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct PolicyError {
    statement: Option<(usize, Option<String>)>,
    element: String,
    problem: String,
}

impl PolicyError {
    pub(super) fn new(element: impl Into<String>, problem: impl Into<String>) -> Self {
        PolicyError {
            statement: None,
            element: element.into(),
            problem: problem.into(),
        }
    }

    /// Adds the statement at fault, which only the caller knows.
    pub(super) fn at(mut self, index: usize, sid: Option<&str>) -> Self {
        self.statement = Some((index, sid.map(str::to_owned)));
        self
    }

    /// Adds the element that contains the element at fault.
    pub(super) fn within(mut self, element: &str) -> Self {
        self.element = if self.element.is_empty() {
            element.to_owned()
        } else {
            format!("{element}.{}", self.element)
        };
        self
    }

    /// Returns the index of the statement at fault, if one statement is.
    pub fn statement(&self) -> Option<usize> {
        self.statement.as_ref().map(|(index, _)| *index)
    }

    /// Returns the element at fault: `Action`, `Condition.StringLike`; empty for the document as a
    /// whole.
    pub fn element(&self) -> &str {
        &self.element
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((index, sid)) = &self.statement {
            write!(f, "Statement[{index}]")?;
            if let Some(sid) = sid {
                write!(f, " (Sid {sid:?})")?;
            }
            f.write_str(": ")?;
        }
        if !self.element.is_empty() {
            write!(f, "{}: ", self.element)?;
        }
        f.write_str(&self.problem)
    }
}
