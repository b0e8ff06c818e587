//! Decides on the use of a key: key policy, grants and the caller's own policies, combined as KMS
//! does.
//!
//! | caller | allowed by |
//! |---|---|
//! | of the key's account | the key policy naming it, or a grant (within its session policy) |
//! | of the key's account | the key policy naming the account *and* its own policies |
//! | of another account | the key policy or a grant, *and* its own policies |
//! | a service-linked role of another account | a grant that names it |
//!
//! `kms:ViaService` has the suffix of the partition's endpoints (unproved in China). An explicit
//! deny anywhere wins, and so does the lack of an allowing service control policy. Source: KMS
//! guide, determining access to KMS keys, and grants. The policies of a service-linked role are
//! AWS's own and do not mention keys. Auto Scaling documents that a grant suffices (aws-facts,
//! KMS).

use crate::aws::{Aws, Caller, LiveGrant, LiveKey, Partition, account_of, is_service_linked};
use crate::iam::{self, Context, Decision, Reach, Request};
use crate::identity::{self, Verdict};
use crate::model::Grant;
use crate::refusals::{self, Refused};

/// A use of a key.
#[derive(Clone, Debug, Default)]
pub(super) struct Use<'a> {
    /// `Decrypt`: the action without its service, and the name of the grant operation.
    pub operation: &'a str,
    /// The Region of EC2, when EC2 acts for the caller.
    pub via_ec2: Option<&'a str>,
    /// The encryption context's `aws:ebs:id`.
    pub ebs_id: Option<&'a str>,
    pub grant_tokens: &'a [String],
    /// Further condition keys, in lower case.
    pub keys: Vec<(&'static str, Vec<String>)>,
}

impl<'a> Use<'a> {
    pub(super) fn direct(operation: &'a str) -> Self {
        Self {
            operation,
            ..Self::default()
        }
    }
}

/// Decides on a use; an error is the reason in AWS's words.
pub(super) fn decide(
    aws: &Aws,
    caller: &Caller,
    key: &LiveKey,
    usage: &Use<'_>,
) -> Result<(), String> {
    decide_by(aws, caller, key, usage, &granted_to(key, caller))
}

/// Decides on a use, given the key's grants to the caller.
pub(super) fn decide_by(
    aws: &Aws,
    caller: &Caller,
    key: &LiveKey,
    usage: &Use<'_>,
    grants: &[&LiveGrant],
) -> Result<(), String> {
    let granted = grants.iter().any(|grant| allows(aws, grant, usage));
    judge(aws, caller, key, usage, granted)
}

/// Returns the key's grants to the caller, whether or not they are in force. A key may have tens of
/// thousands for others.
pub(super) fn granted_to<'a>(key: &'a LiveKey, caller: &Caller) -> Vec<&'a LiveGrant> {
    let all = key.grants.iter();
    all.filter(|grant| is(&grant.view.grantee_principal, caller))
        .collect()
}

/// Returns the grants that allow this use where nothing else does. A new grant may not exceed them.
pub(super) fn parents<'a>(
    aws: &'a Aws,
    caller: &'a Caller,
    key: &'a LiveKey,
    usage: &'a Use<'_>,
) -> Vec<&'a Grant> {
    if judge(aws, caller, key, usage, false).is_ok() {
        return Vec::new();
    }
    let grants = granted_to(key, caller).into_iter();
    let allowing = grants.filter(|grant| allows(aws, grant, usage));
    allowing.map(|grant| &grant.view).collect()
}

fn judge(
    aws: &Aws,
    caller: &Caller,
    key: &LiveKey,
    usage: &Use<'_>,
    granted: bool,
) -> Result<(), String> {
    let forwarded = usage.via_ec2.map(|_| caller.forwarded());
    let caller = forwarded.as_ref().unwrap_or(caller);
    let action = format!("kms:{}", usage.operation);
    let context = context(aws, caller, key, usage);
    let request = Request {
        principal: &caller.principal,
        action: &action,
        resource: &key.arn,
        context: &context,
    };
    let own = identity::decide(aws, caller, &action, &key.arn, &context);
    let policy = iam::evaluate_resource(&key.policy, &request);
    if own.is_final() {
        return Err(own.reason(&action));
    }
    if matches!(policy, Decision::ExplicitDeny { .. }) {
        return Err("with an explicit deny in a resource-based policy".to_owned());
    }
    let reach = iam::resource_reach(&key.policy, &request);
    let nobody = || {
        Err(format!(
            "because no resource-based policy allows the {action} action"
        ))
    };
    if caller.account() != key.account {
        if granted && is_service_linked(&caller.identity) {
            return Ok(());
        }
        return match (reach.is_some() || granted, own) {
            (false, _) => nobody(),
            (true, Verdict::Allowed) => Ok(()),
            (true, own) => Err(own.reason(&action)),
        };
    }
    let within_session = identity::session(caller, &request).is_allow();
    match reach {
        Some(Reach::Session) => Ok(()),
        Some(Reach::Principal) if within_session => Ok(()),
        Some(Reach::Principal) => Err(Verdict::NoSessionPolicy.reason(&action)),
        _ if granted && within_session => Ok(()),
        _ if granted => Err(Verdict::NoSessionPolicy.reason(&action)),
        Some(Reach::Account) if own == Verdict::Allowed => Ok(()),
        Some(Reach::Account) => Err(own.reason(&action)),
        None => nobody(),
    }
}

pub(super) fn check(
    aws: &Aws,
    caller: &Caller,
    key: &LiveKey,
    usage: &Use<'_>,
) -> Result<(), Refused> {
    let decided = decide(aws, caller, key, usage);
    decided.map_err(|reason| {
        let action = format!("kms:{}", usage.operation);
        refusals::KMS_ACCESS_DENIED.with(&[&caller.principal.arn, &action, &key.arn, &reason])
    })
}

fn context(aws: &Aws, caller: &Caller, key: &LiveKey, usage: &Use<'_>) -> Context {
    let mut context = Context::new();
    let mut put = |key: &str, values: Vec<String>| context.insert(key.to_owned(), values);
    put("aws:requestedregion", vec![key.region.clone()]);
    put("kms:calleraccount", vec![caller.account().to_owned()]);
    let aliases: Vec<String> = aws.aliases_of(key).cloned().collect();
    if !aliases.is_empty() {
        put("kms:resourcealiases", aliases);
    }
    if let Some(region) = usage.via_ec2 {
        put(
            "kms:viaservice",
            vec![format!(
                "ec2.{region}.{}",
                Partition::of_region(region).suffix
            )],
        );
    }
    if usage.operation == "CreateGrant" {
        put(
            "kms:grantisforawsresource",
            vec![usage.via_ec2.is_some().to_string()],
        );
    }
    if let Some(id) = usage.ebs_id {
        put("kms:encryptioncontext:aws:ebs:id", vec![id.to_owned()]);
        put("kms:encryptioncontextkeys", vec!["aws:ebs:id".to_owned()]);
    }
    for (tag, value) in &key.tags {
        let name = format!("aws:resourcetag/{}", tag.to_lowercase());
        put(&name, vec![value.clone()]);
    }
    for (key, values) in &usage.keys {
        put(key, values.clone());
    }
    context
}

/// Returns whether this grant allows its grantee this use now.
fn allows(aws: &Aws, grant: &LiveGrant, usage: &Use<'_>) -> bool {
    let in_force = grant.known_at(aws.node) <= aws.now || usage.grant_tokens.contains(&grant.token);
    let covers = grant
        .view
        .operations
        .iter()
        .any(|operation| operation == usage.operation);
    in_force
        && covers
        && is_grantee(aws, &grant.view, usage)
        && within_constraints(&grant.view, usage)
}

/// Returns whether EC2 uses a key by a grant to this principal. Whether it does by a grant that
/// names a role of another account is a fact of the world (unproved).
fn is_grantee(aws: &Aws, grant: &Grant, usage: &Use<'_>) -> bool {
    let grantee = grant.grantee_principal.as_str();
    let names_role = grantee.contains(":role/") && !is_service_linked(grantee);
    let foreign = account_of(grantee) != account_of(&grant.key_arn);
    aws.rules.facts.role_grantees || usage.via_ec2.is_none() || !names_role || !foreign
}

/// Returns whether a grant's principal is this caller: its session, its role or user, or its
/// account. The account's policies delegate a grant to the account; the policies of a
/// service-linked role do not mention keys.
pub(super) fn is(principal: &str, caller: &Caller) -> bool {
    principal == caller.principal.arn
        || principal == caller.identity
        || (is_root(principal, caller) && !is_service_linked(&caller.identity))
}

/// Returns whether the principal is the root of the caller's own account.
fn is_root(principal: &str, caller: &Caller) -> bool {
    let root = principal.strip_suffix(":root");
    let root = root.and_then(|rest| rest.split_once(":iam::"));
    let own = caller.identity.split_once(":iam::");
    root.zip(own)
        .is_some_and(|((partition, account), (own, _))| {
            partition == own && account == caller.account()
        })
}

/// Returns whether a use meets the grant's constraints, which concern cryptographic operations
/// only.
fn within_constraints(grant: &Grant, usage: &Use<'_>) -> bool {
    if matches!(
        usage.operation,
        "DescribeKey" | "CreateGrant" | "RetireGrant"
    ) {
        return true;
    }
    let has = |key: &String, value: &String| {
        key == "aws:ebs:id" && usage.ebs_id.is_some_and(|id| id == value)
    };
    let size = usize::from(usage.ebs_id.is_some());
    let equals = grant.encryption_context_equals.as_ref();
    let subset = grant.encryption_context_subset.as_ref();
    equals.is_none_or(|all| all.len() == size && all.iter().all(|(k, v)| has(k, v)))
        && subset.is_none_or(|some| some.iter().all(|(k, v)| has(k, v)))
}
