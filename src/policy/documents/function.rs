//! The role of the function.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Document, MOST_NAMED, Purpose, Run, named, only_grants, staging};
use crate::ids::KeyArn;
use crate::kms::{COPYING, LAUNCHING};
use crate::policy::statement::{Action, Statement};
use crate::request::KeyAccess;
use crate::state::TargetState;

pub fn document(run: &Run<'_>) -> Document {
    let caller = run.caller;
    let mut statements = at_ec2(run);
    statements.extend(ledger(run));
    statements.extend(at_keys(run).map(|(statement, keys)| statement.on(keys)));
    statements.extend(staging::of_function(run));
    statements.extend(organization(run));
    let roles = run.copy_roles();
    if !roles.is_empty() {
        let roles = roles.iter().map(|role| role.arn(run.partition())).collect();
        let assume = Statement::allow("Targets", &[("sts:AssumeRole", "working in the targets")]);
        statements.push(assume.on(named(roles)));
    }
    statements.extend(only_from_function(run));
    let unknown = || caller.principals.first().cloned().unwrap_or_default();
    Document {
        purpose: Purpose::FunctionRole,
        account: caller.account.clone(),
        region: None,
        resource: unknown(),
        statements,
    }
}

/// Returns the condition with the accounts that snapshots may be shared with.
///
/// Removing adds no account, so `ForAllValues` allows it. Returns `None` if the accounts are too
/// many to name, or if accounts that join the organization later must be included.
pub fn only_with_targets(run: &Run<'_>) -> Option<Value> {
    let (this, targets) = (run.state.run_ref(), &run.state.targets);
    if run.is_share() && targets.iter().any(|target| target.member) {
        return None;
    }
    let others = targets.iter().filter(|target| !this.is_own(target));
    let accounts: BTreeSet<&str> = others.map(|t| t.account_id.as_str()).collect();
    let named = !accounts.is_empty() && accounts.len() <= MOST_NAMED;
    named.then(|| json!({"ec2:Add/userId": accounts}))
}

/// Returns the access to the ledger, which says which run may use the source.
fn ledger(run: &Run<'_>) -> Vec<Statement> {
    let Some(bucket) = &run.caller.bucket else {
        return Vec::new();
    };
    let bucket = format!("arn:{}:s3:::{bucket}", run.partition());
    let records = Statement::allow(
        "Ledger",
        &[
            ("s3:GetObject", "reading what runs have opened"),
            (
                "s3:PutObject",
                "writing that down before anything is opened",
            ),
            (
                "s3:DeleteObject",
                "removing records that nothing needs any more",
            ),
        ],
    );
    let list = Statement::allow(
        "ListLedger",
        &[(
            "s3:ListBucket",
            "finding what is open; telling that an object is not there",
        )],
    );
    let folders = ["runs", "openings", "answers"].map(|folder| format!("{bucket}/{folder}/*"));
    vec![records.on(folders), list.on([bucket])]
}

const ELSEWHERE: &str = "the role does this in its function, and nowhere else";
/// The actions of the role that would do most harm in other hands.
const SENSITIVE: [Action; 8] = [
    ("ec2:ModifyImageAttribute", ELSEWHERE),
    ("ec2:ModifySnapshotAttribute", ELSEWHERE),
    ("ec2:CopySnapshot", ELSEWHERE),
    ("ec2:DeleteSnapshot", ELSEWHERE),
    ("kms:CreateGrant", ELSEWHERE),
    ("kms:RevokeGrant", ELSEWHERE),
    ("kms:PutKeyPolicy", ELSEWHERE),
    ("sts:AssumeRole", ELSEWHERE),
];

/// Denies requests that another function, a service or a person signs with the role. Calls of EC2
/// to KMS for the function are exempt: AWS does not document that they carry the function's ARN.
fn only_from_function(run: &Run<'_>) -> Option<Statement> {
    let function = run.caller.function.as_ref()?;
    let deny = Statement::deny("OnlyThisFunction", &SENSITIVE).on(["*"]);
    Some(deny.when(json!({
        "ArnNotEquals": {"lambda:SourceFunctionArn": function},
        "Null": {"kms:ViaService": "true"},
    })))
}

fn at_ec2(run: &Run<'_>) -> Vec<Statement> {
    let state = run.state;
    let arn = |what: &str| {
        let (partition, region) = (run.partition(), &state.source.region);
        format!("arn:{partition}:ec2:{region}::{what}")
    };
    let image = arn(&format!("image/{}", state.source.image_id));
    let this = state.run_ref();
    let near = |target: &TargetState| {
        !this.is_own(target) && *this.copied_from(target) == state.source.region
    };
    let opened = run.audience.is_some() || state.targets.iter().any(near);
    let snapshots: Vec<String> = state
        .source
        .snapshots
        .iter()
        .filter(|_| opened)
        .map(|id| arn(&format!("snapshot/{id}")))
        .collect();
    let mut statements = vec![
        Statement::allow(
            "Find",
            &[
                ("ec2:DescribeImages", "finding the image"),
                ("ec2:DescribeSnapshots", "its snapshots and keys"),
            ],
        )
        .on(["*"]),
    ];
    let lets_launch = run.is_share() || (run.state.order.copies_image && run.opens());
    if lets_launch || run.boots_by_uefi() {
        let why = match (lets_launch, run.boots_by_uefi()) {
            (false, _) => "UEFI data, which no other call tells",
            (true, false) => "who may launch already: that stays",
            (true, true) => "who may launch already: that stays; UEFI data",
        };
        let read = Statement::allow("ReadImage", &[("ec2:DescribeImageAttribute", why)]);
        statements.push(read.on([image.clone()]));
    }
    if lets_launch {
        let change = Statement::allow(
            "ShareImage",
            &[(
                "ec2:ModifyImageAttribute",
                "launch permission, given and taken back",
            )],
        );
        statements.push(change.on([image.clone()]));
    }
    statements.extend(at_snapshots(run, snapshots));
    statements
}

/// Returns the statements for sharing the snapshots with these ARNs.
fn at_snapshots(run: &Run<'_>, snapshots: Vec<String>) -> Vec<Statement> {
    let mut statements = Vec::new();
    let shares_snapshots = run.state.order.share.as_ref().is_none_or(|s| s.snapshots);
    let opens_snapshots = shares_snapshots && run.opens();
    if opens_snapshots && !snapshots.is_empty() {
        let on_snapshots = [
            (
                "ec2:DescribeSnapshotAttribute",
                "who may use them already: that stays",
            ),
            (
                "ec2:ModifySnapshotAttribute",
                "sharing them, and ending that",
            ),
        ];
        let share = Statement::allow("ShareSnapshots", &on_snapshots).on(snapshots);
        statements.push(match only_with_targets(run) {
            Some(accounts) => share.when(json!({"ForAllValues:StringEquals": accounts})),
            None => share,
        });
    }
    if opens_snapshots {
        let never = Statement::deny(
            "NeverPublic",
            &[("ec2:ModifySnapshotAttribute", "never with everybody")],
        );
        statements.push(
            never
                .on(["*"])
                .when(json!({"StringEquals": {"ec2:Add/group": "all"}})),
        );
    }
    statements
}

/// Returns the use of the source keys. The policies of these keys say the same.
pub fn at_keys<'a>(run: &'a Run<'_>) -> impl Iterator<Item = (Statement, Vec<KeyArn>)> + 'a {
    let keys = &run.state.source.keys;
    let statements = if keys.is_empty() {
        Vec::new()
    } else {
        of_keys(run)
    };
    statements.into_iter().map(|s| (s, keys.clone()))
}

fn of_keys(run: &Run<'_>) -> Vec<Statement> {
    let order = &run.state.order;
    let mut actions: Vec<Action> = vec![("kms:DescribeKey", "refusing AWS-managed keys at once")];
    if !run.opens() {
        return vec![Statement::allow("Keys", &actions)];
    }
    let closes = order.revoke_after_copy || run.is_share();
    let made_here = run.grants() && closes;
    let by_policy = order.key_access == KeyAccess::Policy;
    let of_roles = run.is_share() && run.has_roles();
    if made_here || of_roles || (by_policy && closes && !run.is_share()) {
        actions.push(("kms:ListGrants", "finding the run's grants"));
    }
    if made_here || of_roles {
        actions.push(("kms:RevokeGrant", "taking them back"));
    }
    if by_policy {
        actions.push(("kms:GetKeyPolicy", "reading what others wrote: that stays"));
        actions.push((
            "kms:PutKeyPolicy",
            "putting the run's statements in, and taking them out",
        ));
    }
    let mut statements = vec![Statement::allow("Keys", &actions)];
    if run.grants() {
        let (operations, grantees, why) = if run.is_share() {
            let operations: &[&str] = if run.has_roles() {
                &LAUNCHING
            } else {
                &COPYING
            };
            let why = "letting the accounts launch while the share lasts";
            (operations, run.accounts(), why)
        } else {
            let roles = run.admitted_roles();
            let arns = roles.iter().map(|role| role.arn(run.partition())).collect();
            let why = "letting the copy roles read for the time of the copy";
            (&COPYING[..], arns, why)
        };
        let grant = Statement::allow("Grant", &[("kms:CreateGrant", why)]);
        statements.push(grant.when(only_grants(operations, grantees)));
    }
    statements
}

/// Returns the calls that list the accounts of the audience.
fn organization(run: &Run<'_>) -> Option<Statement> {
    let audience = run.audience?;
    let mut actions: Vec<Action> = vec![("organizations:DescribeOrganization", "its ID and ARN")];
    if audience.organization.is_some() {
        actions.push((
            "organizations:ListAccounts",
            "the accounts of the organisation",
        ));
    }
    if !audience.units.is_empty() {
        actions.push((
            "organizations:ListAccountsForParent",
            "the accounts of the units",
        ));
        actions.push((
            "organizations:ListOrganizationalUnitsForParent",
            "the units in a unit",
        ));
    }
    Some(Statement::allow("Organization", &actions).on(["*"]))
}
