//! The kind of a document decides which elements it must and must not have.

use super::error::PolicyError;
use super::principal::PrincipalsElement;
use super::statement::{Elements, Policy, Statement};

/// The place where a policy is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Attached to a role or user, or passed to `AssumeRole`: no principal, always a resource.
    Identity,
    /// Attached to a resource such as a KMS key: a principal and a resource.
    Resource,
    /// A role's trust policy: a principal, and no resource.
    Trust,
}

impl Policy {
    /// Checks the elements that [`Policy::parse`] cannot check without the kind of the document.
    ///
    /// Source: *IAM User Guide*, "Grammar of the IAM JSON policy language" and "`NotPrincipal`";
    /// the wording is IAM's.
    pub fn check(&self, kind: Kind) -> Result<(), PolicyError> {
        for (index, statement) in self.statements().iter().enumerate() {
            check_statement(statement, kind)
                .map_err(|error| error.at(index, statement.sid.as_deref()))?;
        }
        Ok(())
    }
}

fn check_statement(statement: &Statement, kind: Kind) -> Result<(), PolicyError> {
    let refuse = |element: &str, problem: &str| Err(PolicyError::new(element, problem));
    match (kind, &statement.principals) {
        (Kind::Identity, Some(PrincipalsElement::Only(_))) => {
            refuse("Principal", "has prohibited field Principal")
        }
        (Kind::Identity | Kind::Trust, Some(PrincipalsElement::AllBut(_))) => {
            refuse("NotPrincipal", "has prohibited field NotPrincipal")
        }
        (Kind::Resource | Kind::Trust, None) => {
            refuse("Principal", "missing required field Principal")
        }
        _ => Ok(()),
    }?;
    match (kind, &statement.resources) {
        (Kind::Identity | Kind::Resource, None) => {
            refuse("Resource", "policy statement must contain resources")
        }
        (Kind::Trust, Some(Elements::Only(_))) => {
            refuse("Resource", "has prohibited field Resource")
        }
        (Kind::Trust, Some(Elements::AllBut(_))) => {
            refuse("NotResource", "has prohibited field NotResource")
        }
        _ => Ok(()),
    }?;
    // A Sid of a key policy may contain blanks; a Sid of an IAM document may not.
    let plain = |sid: &String| sid.bytes().all(|b| b.is_ascii_alphanumeric());
    if kind != Kind::Resource && !statement.sid.as_ref().is_none_or(plain) {
        return refuse("Sid", "statement IDs (SID) must be alpha-numeric");
    }
    Ok(())
}
