//! IAM policy documents: parsed strictly and evaluated purely.
//!
//! This module evaluates *one* policy, or one set of identity policies, at a time. The services
//! combine decisions: a foreign key needs its key policy *and* the caller's identity policy. The
//! module has no clock, no I/O and no defaults of its own: the [`Request`] carries everything.
//!
//! | the document says | the decision |
//! |---|---|
//! | a matching `Deny`, anywhere | [`Decision::ExplicitDeny`] with its `Sid` |
//! | a matching `Allow`, no matching `Deny` | [`Decision::Allow`] |
//! | nothing that matches | [`Decision::ImplicitDeny`] |
//!
//! A construct that is not modelled (`IpAddress`, federated principals, unknown operators and
//! elements) is a [`PolicyError`] when the document is read.
//!
//! Source: *IAM User Guide*, "IAM JSON policy reference" (elements, grammar, evaluation logic).

mod condition;
mod date;
mod error;
mod evaluate;
mod json;
mod json_text;
mod kind;
mod parse;
mod pattern;
mod principal;
mod statement;

#[cfg(test)]
mod tests;

pub use condition::{Condition, Operator, Quantifier};
pub use error::PolicyError;
pub use evaluate::{Reach, evaluate_identity, evaluate_resource, resource_reach};
pub use kind::Kind;
pub use pattern::Pattern;
pub use principal::{AwsPrincipal, Principals, PrincipalsElement};
pub use statement::{Effect, Elements, Policy, Statement};

/// Condition keys of a request, names in lower case, each with its values.
pub type Context = std::collections::BTreeMap<String, Vec<String>>;

/// The principal that makes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The ARN: `arn:aws:sts::222222222222:assumed-role/Role/session`, or that of an IAM user, role
    /// or account root.
    pub arn: String,
    /// The role of a session: `arn:aws:iam::222222222222:role/path/Role`.
    pub role_arn: Option<String>,
    /// The account ID; empty for a service.
    pub account: String,
    /// The organization, `o-…`, for `aws:PrincipalOrgID`.
    pub org_id: Option<String>,
    /// The path in the organization, `o-…/r-…/ou-…/`, for `aws:PrincipalOrgPaths`.
    pub org_path: Option<String>,
    /// The service when AWS itself calls, `ec2.amazonaws.com`. Such a principal belongs to no
    /// account.
    pub service: Option<String>,
    /// The ARN of the Lambda function whose credentials sign the request, for
    /// `lambda:SourceFunctionArn`. Calls that an AWS service makes for the caller do not carry it.
    pub source_function: Option<String>,
}

/// A call, as policies evaluate it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The caller.
    pub principal: &'a Principal,
    /// The action, `ec2:CopySnapshot`; case does not matter.
    pub action: &'a str,
    /// The ARN of the resource, or `*` for an action without resources.
    pub resource: &'a str,
    /// The condition keys of the caller and the service. Keys that follow from the principal need
    /// not be given: `aws:PrincipalArn`, `aws:PrincipalAccount`, `aws:PrincipalOrgID`,
    /// `aws:PrincipalOrgPaths`, `aws:PrincipalType`, `aws:PrincipalIsAWSService` and
    /// `aws:PrincipalServiceName`.
    pub context: &'a Context,
}

/// The decision of policies on a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A matching statement allows the request, and none denies it.
    Allow,
    /// A matching statement denies the request.
    ExplicitDeny {
        /// The `Sid` of the statement.
        sid: Option<String>,
    },
    /// No statement allows the request.
    ImplicitDeny,
}

impl Decision {
    /// Returns whether the decision allows the request.
    pub fn is_allow(&self) -> bool {
        matches!(self, Decision::Allow)
    }
}
