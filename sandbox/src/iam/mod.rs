//! Who may do what: AWS policy documents, parsed strictly and evaluated purely.
//!
//! This module decides about *one* policy, or one set of identity policies, at a time. How decisions combine
//! (a foreign key needs its key policy *and* the caller's identity policy) is the service's business. It has no
//! clock, no I/O and no defaults of its own: everything a policy can ask about stands in the [`Request`].
//!
//! | the document says | the decision |
//! |---|---|
//! | a matching `Deny`, anywhere | [`Decision::ExplicitDeny`] with its `Sid` |
//! | a matching `Allow`, no matching `Deny` | [`Decision::Allow`] |
//! | nothing that matches | [`Decision::ImplicitDeny`] |
//!
//! What is not modelled (`IpAddress`, federated principals, unknown operators and elements) is a [`PolicyError`]
//! when the document is read, never a silent pass when it is judged.
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

/// Who makes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// `arn:aws:sts::222222222222:assumed-role/Role/session`, or the ARN of an IAM user, role or account root.
    pub arn: String,
    /// For a session, the role it came from: `arn:aws:iam::222222222222:role/path/Role`.
    pub role_arn: Option<String>,
    /// Twelve digits; empty for a service.
    pub account: String,
    /// `o-…`, answers `aws:PrincipalOrgID`.
    pub org_id: Option<String>,
    /// `o-…/r-…/ou-…/`, answers `aws:PrincipalOrgPaths`.
    pub org_path: Option<String>,
    /// `ec2.amazonaws.com` when AWS itself calls; such a principal belongs to no account.
    pub service: Option<String>,
    /// The ARN of the Lambda function whose credentials sign the request; answers
    /// `lambda:SourceFunctionArn`. Calls that an AWS service makes for the caller do not carry it.
    pub source_function: Option<String>,
}

/// One call, as a policy sees it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub principal: &'a Principal,
    /// `ec2:CopySnapshot`; case does not matter.
    pub action: &'a str,
    /// An ARN, or `*` for an action without resources.
    pub resource: &'a str,
    /// What the caller and the service know; `aws:PrincipalArn`, `aws:PrincipalAccount`, `aws:PrincipalOrgID`,
    /// `aws:PrincipalOrgPaths`, `aws:PrincipalType`, `aws:PrincipalIsAWSService` and `aws:PrincipalServiceName` are derived from the
    /// principal where the context does not say otherwise.
    pub context: &'a Context,
}

/// What a policy says about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Allow,
    ExplicitDeny { sid: Option<String> },
    ImplicitDeny,
}

impl Decision {
    pub fn is_allow(&self) -> bool {
        matches!(self, Decision::Allow)
    }
}
