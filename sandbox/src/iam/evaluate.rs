//! Evaluates policies for a request.

use super::pattern::Pattern;
use super::statement::{Effect, Elements, Policy, Statement};
use super::{Context, Decision, Request};

/// How closely an allowing resource policy names the caller. The effect depends on the service: a
/// policy that names only the account delegates to that account's identity policies.
///
/// Source: *IAM User Guide*, "Policy evaluation logic" (resource-based policies and session
/// policies), *KMS Developer Guide*, "Default key policy".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// The policy names the caller's account: identity policies must allow the call as well.
    Account,
    /// The policy names the role, user or service itself, or anyone (`*`). Inside one account that
    /// suffices, within the session policy if there is one.
    Principal,
    /// The policy names the session: the session policy does not limit it.
    Session,
}

/// Returns the decision of a principal's own policies; `Principal` elements are not considered.
pub fn evaluate_identity(policies: &[Policy], req: &Request<'_>) -> Decision {
    let facts = Facts::of(req);
    decide(
        policies
            .iter()
            .flat_map(Policy::statements)
            .filter(|s| s.resources.is_some())
            .filter(|s| applies(s, req, &facts)),
    )
}

/// Returns the decision of a resource's policy (a key policy, a trust policy) for this principal.
pub fn evaluate_resource(policy: &Policy, req: &Request<'_>) -> Decision {
    let facts = Facts::of(req);
    decide(
        policy
            .statements()
            .iter()
            .filter(|s| reach(s, req).is_some() && applies(s, req, &facts)),
    )
}

/// Returns how closely an allowing resource policy names the caller; `None` if
/// [`evaluate_resource`] does not allow.
pub fn resource_reach(policy: &Policy, req: &Request<'_>) -> Option<Reach> {
    if !evaluate_resource(policy, req).is_allow() {
        return None;
    }
    let facts = Facts::of(req);
    let allowing = policy
        .statements()
        .iter()
        .filter(|s| s.effect == Effect::Allow && applies(s, req, &facts));
    allowing.filter_map(|statement| reach(statement, req)).max()
}

fn decide<'a>(applying: impl Iterator<Item = &'a Statement>) -> Decision {
    let mut decision = Decision::ImplicitDeny;
    for statement in applying {
        match statement.effect {
            Effect::Deny => {
                return Decision::ExplicitDeny {
                    sid: statement.sid.clone(),
                };
            }
            Effect::Allow => decision = Decision::Allow,
        }
    }
    decision
}

fn reach(statement: &Statement, req: &Request<'_>) -> Option<Reach> {
    match statement.principals.as_ref()? {
        Elements::Only(principals) => principals.reach(req.principal),
        Elements::AllBut(principals) => {
            (!principals.exempt(req.principal)).then_some(Reach::Principal)
        }
    }
}

/// Returns whether action, resource and conditions of the statement apply.
fn applies(statement: &Statement, req: &Request<'_>, facts: &Facts<'_>) -> bool {
    let lookup = |key: &str| facts.single(key);
    let any = |patterns: &[Pattern]| {
        patterns
            .iter()
            .any(|pattern| pattern.matches(req.resource, &lookup))
    };
    let resource = match &statement.resources {
        None => true,
        Some(Elements::Only(patterns)) => any(patterns),
        Some(Elements::AllBut(patterns)) => !any(patterns),
    };
    resource
        && statement.covers_action(req.action)
        && statement
            .conditions
            .iter()
            .all(|condition| condition.holds(facts))
}

/// The condition keys of one request: the keys that the caller gives, then the keys that its
/// principal implies.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    context: &'a Context,
    implied: Context,
}

impl<'a> Facts<'a> {
    pub(super) fn of(req: &Request<'a>) -> Facts<'a> {
        let principal = req.principal;
        let mut implied = Context::new();
        let mut imply =
            |key: &str, value: &str| implied.insert(key.to_owned(), vec![value.to_owned()]);
        imply(
            "aws:principalisawsservice",
            if principal.service.is_some() {
                "true"
            } else {
                "false"
            },
        );
        if let Some(service) = &principal.service {
            imply("aws:principalservicename", service);
        } else {
            // For a session, this key holds the role's ARN, not the session's.
            imply(
                "aws:principalarn",
                principal.role_arn.as_deref().unwrap_or(&principal.arn),
            );
            imply("aws:principalaccount", &principal.account);
            imply(
                "aws:principaltype",
                principal_type(&principal.arn, principal.role_arn.is_some()),
            );
            if let Some(org_id) = &principal.org_id {
                imply("aws:principalorgid", org_id);
            }
            if let Some(function) = &principal.source_function {
                imply("lambda:sourcefunctionarn", function);
            }
            if let Some(path) = &principal.org_path {
                imply("aws:principalorgpaths", path);
            }
        }
        Facts {
            context: req.context,
            implied,
        }
    }

    /// Returns the values of a key, by its lower-cased name.
    pub(super) fn values(&self, key: &str) -> Option<&[String]> {
        self.context
            .get(key)
            .or_else(|| self.implied.get(key))
            .map(Vec::as_slice)
    }

    /// Returns the value of a key that has exactly one, which a policy variable needs.
    pub(super) fn single(&self, key: &str) -> Option<&str> {
        match self.values(key) {
            Some([only]) => Some(only),
            _ => None,
        }
    }
}

fn principal_type(arn: &str, is_session: bool) -> &'static str {
    if is_session || arn.contains(":assumed-role/") || arn.contains(":role/") {
        "AssumedRole"
    } else if arn.ends_with(":root") {
        "Account"
    } else if arn.contains(":federated-user/") {
        "FederatedUser"
    } else {
        "User"
    }
}
