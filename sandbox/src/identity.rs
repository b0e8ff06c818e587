//! The caller of an operation, and the decision of its own policies. Identity policies are limited
//! by the session policy and by the account's service control policies.
//!
//! Source: IAM guide, policy evaluation logic; Organizations guide, SCP evaluation. The services
//! evaluate resource policies. An account's service control policies form one set, which includes
//! those it inherits.

use crate::aws::{Aws, Caller};
use crate::iam::{self, Context, Decision, Request};

/// The caller of an admitted call, and how the call arrived.
#[derive(Clone, Debug)]
pub(crate) struct Admitted {
    pub caller: Caller,
    pub region: String,
    /// Whether credentials of a role session signed the call; such a caller assumes roles by
    /// chaining.
    pub temporary: bool,
    /// The access key that signed.
    pub access_key: String,
    pub session_token: Option<String>,
    /// The endpoint, as the client named it.
    pub host: String,
    /// Whether the call was sent to the global endpoint of STS.
    pub global: bool,
}

/// The decision of a caller's own policies on an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allowed,
    /// An identity policy or the session policy denies the action.
    Denied,
    /// A service control policy denies the action.
    DeniedByOrganization,
    NoOrganizationPolicy,
    NoIdentityPolicy,
    NoSessionPolicy,
}

impl Verdict {
    /// Returns the reason in AWS's words.
    pub(crate) fn reason(self, action: &str) -> String {
        let nobody = |kind| format!("because no {kind} policy allows the {action} action");
        match self {
            Verdict::Allowed => String::new(),
            Verdict::Denied => "with an explicit deny in an identity-based policy".to_owned(),
            Verdict::DeniedByOrganization => {
                "with an explicit deny in a service control policy".to_owned()
            }
            Verdict::NoOrganizationPolicy => nobody("service control"),
            Verdict::NoIdentityPolicy => nobody("identity-based"),
            Verdict::NoSessionPolicy => nobody("session"),
        }
    }

    /// Returns whether the verdict stands, whatever resource policies and grants allow.
    pub(crate) fn is_final(self) -> bool {
        matches!(
            self,
            Verdict::Denied | Verdict::DeniedByOrganization | Verdict::NoOrganizationPolicy
        )
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
    match (
        organization(aws, caller, &request),
        own,
        session(caller, &request),
    ) {
        (Decision::ExplicitDeny { .. }, _, _) => Verdict::DeniedByOrganization,
        (_, Decision::ExplicitDeny { .. }, _) | (_, _, Decision::ExplicitDeny { .. }) => {
            Verdict::Denied
        }
        (Decision::ImplicitDeny, _, _) => Verdict::NoOrganizationPolicy,
        (_, Decision::ImplicitDeny, _) => Verdict::NoIdentityPolicy,
        (_, _, Decision::ImplicitDeny) => Verdict::NoSessionPolicy,
        (Decision::Allow, Decision::Allow, Decision::Allow) => Verdict::Allowed,
    }
}

/// Returns the decision of the session policy; a session without one is not limited.
pub(crate) fn session(caller: &Caller, request: &Request<'_>) -> Decision {
    let policy = caller.session_policy.as_ref();
    policy.map_or(Decision::Allow, |policy| {
        iam::evaluate_identity(std::slice::from_ref(policy.as_ref()), request)
    })
}

/// Returns the decision of the service control policies; FullAWSAccess applies where there are
/// none.
pub(crate) fn organization(aws: &Aws, caller: &Caller, request: &Request<'_>) -> Decision {
    let policies = aws.service_control_policies_of(&caller.identity, caller.account());
    policies.map_or(Decision::Allow, |all| iam::evaluate_identity(all, request))
}
