//! A policy document as values.

use super::condition::Condition;
use super::pattern::Pattern;
use super::principal::{AwsPrincipal, PrincipalsElement};

/// A parsed policy document. Read it with [`Policy::parse`].
#[derive(Clone, Debug)]
pub struct Policy {
    pub(super) id: Option<String>,
    pub(super) statements: Vec<Statement>,
}

/// A statement, with every part as the document has it.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The statement's `Sid`.
    pub sid: Option<String>,
    /// Whether the statement allows or denies.
    pub effect: Effect,
    /// `Principal` or `NotPrincipal`; identity policies have neither.
    pub principals: Option<PrincipalsElement>,
    /// `Action` or `NotAction`.
    pub actions: Elements<Vec<Pattern>>,
    /// `Resource` or `NotResource`; trust policies have neither.
    pub resources: Option<Elements<Vec<Pattern>>>,
    /// The conditions, all of which must hold.
    pub conditions: Vec<Condition>,
}

/// The effect of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// `Allow`.
    Allow,
    /// `Deny`.
    Deny,
}

/// An element, or its `Not…` twin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Elements<T> {
    /// The element: only the listed content.
    Only(T),
    /// The `Not…` twin: everything but the listed content.
    AllBut(T),
}

impl<T> Elements<T> {
    /// Returns the listed content of the element or its twin.
    pub fn listed(&self) -> &T {
        match self {
            Elements::Only(listed) | Elements::AllBut(listed) => listed,
        }
    }
}

impl Policy {
    /// Returns the policy's `Id`.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Returns the statements, in order.
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// Returns the AWS principals named, as written, each once and in order, without `*` and
    /// services. KMS and IAM refuse a policy that names a principal which does not exist.
    pub fn principals(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        let listed = self
            .statements
            .iter()
            .filter_map(|statement| statement.principals.as_ref());
        for principal in listed.flat_map(|principals| &principals.listed().aws) {
            if *principal != AwsPrincipal::Anyone
                && !names.iter().any(|name| name == principal.as_str())
            {
                names.push(principal.as_str().to_owned());
            }
        }
        names
    }
}

impl Statement {
    /// Returns whether the statement covers `action` (`ec2:CopySnapshot`, in any case).
    pub fn covers_action(&self, action: &str) -> bool {
        // Actions have no variables, so the lookup returns nothing.
        let any = |patterns: &[Pattern]| {
            patterns
                .iter()
                .any(|p| p.matches_ignoring_case(action, &|_| None))
        };
        match &self.actions {
            Elements::Only(patterns) => any(patterns),
            Elements::AllBut(patterns) => !any(patterns),
        }
    }
}
