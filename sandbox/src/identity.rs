//! What a caller's own policies say: identity policies, limited by the session policy.
//!
//! Source: IAM guide, policy evaluation logic. Resource policies are the services' business.

use crate::aws::{Aws, Caller};
use crate::iam::{self, Context, Decision, Request};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allowed,
    /// Some policy forbids it.
    Denied,
    NoIdentityPolicy,
    NoSessionPolicy,
}

impl Verdict {
    /// The reason in AWS's words.
    pub(crate) fn reason(self, action: &str) -> String {
        match self {
            Verdict::Allowed => String::new(),
            Verdict::Denied => "with an explicit deny in an identity-based policy".to_owned(),
            Verdict::NoIdentityPolicy => {
                format!("because no identity-based policy allows the {action} action")
            }
            Verdict::NoSessionPolicy => {
                format!("because no session policy allows the {action} action")
            }
        }
    }
}

pub(crate) fn decide(
    aws: &Aws,
    caller: &Caller,
    action: &str,
    resource: &str,
    context: &Context,
) -> Verdict {
    let request = Request {
        principal: &caller.principal,
        action,
        resource,
        context,
    };
    let policies = aws.policies_of(caller);
    let own = policies.map_or(Decision::ImplicitDeny, |own| {
        iam::evaluate_identity(&own, &request)
    });
    let session = session(caller, &request);
    match (own, session) {
        (Decision::ExplicitDeny { .. }, _) | (_, Decision::ExplicitDeny { .. }) => Verdict::Denied,
        (Decision::ImplicitDeny, _) => Verdict::NoIdentityPolicy,
        (_, Decision::ImplicitDeny) => Verdict::NoSessionPolicy,
        (Decision::Allow, Decision::Allow) => Verdict::Allowed,
    }
}

/// What the session policy says; one that is not there allows everything.
pub(crate) fn session(caller: &Caller, request: &Request<'_>) -> Decision {
    let policy = caller.session_policy.as_ref();
    policy.map_or(Decision::Allow, |policy| {
        iam::evaluate_identity(std::slice::from_ref(policy.as_ref()), request)
    })
}
