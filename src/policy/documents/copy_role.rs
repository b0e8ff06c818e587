//! `AmiCopyRole` of one target account, and its trust policy.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    CopyRole, Document, Purpose, Run, USE_BY_EC2, by_ec2, by_role, only_grants, through_ec2,
};
use crate::command::tag;
use crate::ids::{KeyArn, Region};
use crate::kms::LAUNCHING;
use crate::policy::publishing;
use crate::policy::statement::{Action, Statement};

pub fn document(run: &Run<'_>, role: &CopyRole<'_>) -> Document {
    let mut statements = if run.is_share() {
        Vec::new()
    } else {
        let mut copying = at_ec2(run, role);
        copying.extend(at_source_keys(run, role));
        copying.extend(at_own_keys(run, role));
        copying.extend(publishing::statements(run.state, role.account));
        copying
    };
    if run.has_roles() {
        statements.extend(for_linked_roles(run, role));
    }
    Document {
        purpose: Purpose::CopyRole,
        account: role.account.clone(),
        region: None,
        resource: role.arn(run.partition()),
        statements,
    }
}

pub fn trust(run: &Run<'_>, role: &CopyRole<'_>) -> Document {
    let mut condition = by_role(json!({}), &run.caller.principals);
    let ids = role.external_ids();
    if !ids.is_empty() {
        condition["StringEquals"] = json!({"sts:ExternalId": ids});
    }
    let assume = Statement::allow(
        "Function",
        &[("sts:AssumeRole", "the function, and nobody else")],
    );
    Document {
        purpose: Purpose::Trust,
        account: role.account.clone(),
        region: None,
        resource: role.arn(run.partition()),
        statements: vec![assume.to([run.root(&run.caller.account)]).when(condition)],
    }
}

fn at_ec2(run: &Run<'_>, role: &CopyRole<'_>) -> Vec<Statement> {
    let partition = run.partition();
    let source = &run.state.source;
    let own = |kind: &str| -> Vec<String> {
        let each = role.regions().into_iter();
        each.map(|region| format!("arn:{partition}:ec2:{region}::{kind}/*"))
            .collect()
    };
    let made: Vec<String> = own("snapshot").into_iter().chain(own("image")).collect();
    let mut copied: BTreeSet<String> = own("snapshot").into_iter().collect();
    for target in &role.targets {
        let stage = run.state.run_ref().stage_of(target);
        let from = run.state.run_ref().copied_from(target);
        let snapshot = |id: &str| format!("arn:{partition}:ec2:{from}::snapshot/{id}");
        match stage {
            // A staged copy has no ID yet.
            Some(_) => copied.extend([snapshot("*")]),
            None => copied.extend(source.snapshots.iter().map(|id| snapshot(id.as_str()))),
        }
    }
    let mut statements = looking(run, own("image"));
    let whole = run.state.order.copies_image;
    let copy = if whole {
        let image = &source.image_id;
        copied.extend(own("image"));
        copied.extend([format!(
            "arn:{partition}:ec2:{}::image/{image}",
            source.region
        )]);
        Statement::allow("Copy", &[("ec2:CopyImage", "the copy")])
    } else {
        Statement::allow("Copy", &[("ec2:CopySnapshot", "the copy")])
    };
    let register = Statement::allow("Register", &[("ec2:RegisterImage", "the AMI")]);
    let tags = Statement::allow(
        "TagWhatIsMade",
        &[("ec2:CreateTags", "no copy is ever without its tags")],
    );
    let by: &[&str] = if whole {
        &["CopyImage"]
    } else {
        &["CopySnapshot", "RegisterImage"]
    };
    let making = json!({"StringEquals": {"ec2:CreateAction": by}});
    let tidy = Statement::allow(
        "TidyUp",
        &[
            (
                "ec2:DeleteSnapshot",
                "copies that no image stands on; OnDelete: Deregister",
            ),
            (
                "ec2:DeregisterImage",
                "an AMI that is not as its source; OnDelete: Deregister",
            ),
        ],
    );
    let retag = Statement::allow(
        "Retag",
        &[
            (
                "ec2:CreateTags",
                "an update of a custom resource's Tags; tags of the snapshots of CopyImage",
            ),
            ("ec2:DeleteTags", "an update that takes Tags away"),
        ],
    );
    let has = |tag: &str| format!("aws:ResourceTag/{tag}");
    let ours = json!({
        has(tag::SOURCE_IMAGE): source.image_id.as_str(),
        has(tag::SOURCE_ACCOUNT): source.account_id.as_str(),
    });
    statements.push(copy.on(copied));
    if !whole {
        statements.push(register.on(made.clone()));
    }
    statements.extend([
        tags.on(made.clone()).when(making),
        tidy.on(made.clone()).when(json!({"StringEquals": ours})),
        retag
            .on(made)
            .when(only_other_tags(source.account_id.as_str())),
    ]);
    statements
}

/// Returns the statements for finding and verifying the copies. `images` are their ARNs.
fn looking(run: &Run<'_>, images: Vec<String>) -> Vec<Statement> {
    let mut statements = vec![
        Statement::allow(
            "Look",
            &[
                (
                    "ec2:DescribeImages",
                    "which image is there, and whether it is good",
                ),
                (
                    "ec2:DescribeSnapshots",
                    "which copies are there, and how far they are",
                ),
            ],
        )
        .on(["*"]),
    ];
    let publish = run.state.order.publish.as_ref();
    let permits = publish.is_some_and(|publish| publish.launch_permissions.is_some());
    let why = match (run.boots_by_uefi(), permits) {
        (false, false) => return statements,
        (true, false) => "comparing the UEFI data",
        (false, true) => "who may launch already",
        (true, true) => "comparing the UEFI data; who may launch already",
    };
    let look = Statement::allow("LookAtImages", &[("ec2:DescribeImageAttribute", why)]);
    statements.push(look.on(images));
    statements
}

/// Returns the condition for changing tags of copies of this account's images, except the tags by
/// which copies are found. Two images may share a snapshot. A request without tag names would
/// delete all tags.
fn only_other_tags(account: &str) -> Value {
    let ours = format!("aws:ResourceTag/{}", tag::SOURCE_ACCOUNT);
    json!({
        "StringEquals": {ours: account},
        "ForAllValues:StringNotLike": {"aws:TagKeys": format!("{}*", tag::OURS)},
        "Null": {"aws:TagKeys": "false"},
    })
}

/// Returns the use of the source keys. AWS does not document whether `kms:ViaService` names the
/// Region of the key or of the copy, so both are named.
fn at_source_keys(run: &Run<'_>, role: &CopyRole<'_>) -> Vec<Statement> {
    let keys = run.copied_keys(role);
    if keys.is_empty() {
        return Vec::new();
    }
    let probe = Statement::allow("SourceKeys", &[PROBING]);
    let own: Vec<Region> = keys.iter().map(KeyArn::region).collect();
    let regions = own.iter().map(Region::as_str).chain(role.regions());
    let sids = ["SourceKeysByEC2", "SourceGrantsByEC2"];
    let reading = through_ec2(sids, &USE_BY_EC2, by_ec2(regions));
    let all = [probe].into_iter().chain(reading);
    all.map(|statement| statement.on(keys.clone())).collect()
}

pub const PROBING: Action = (
    "kms:DescribeKey",
    "seeing that the source key can be used before anything is copied",
);

/// Returns the role's target keys. A policy cannot name an alias: all keys of the account in that
/// Region stand for it.
fn own_keys(run: &Run<'_>, role: &CopyRole<'_>) -> BTreeSet<String> {
    let key = |target: &&crate::state::TargetState| {
        let named = &target.kms_key_id;
        if let Some(key) = named.arn() {
            return key.into();
        }
        let id = named.as_str();
        let id = if id.contains('/') { "*" } else { id };
        let (partition, region) = (run.partition(), &target.region);
        format!("arn:{partition}:kms:{region}:{}:key/{id}", role.account)
    };
    role.targets.iter().map(key).collect()
}

fn at_own_keys(run: &Run<'_>, role: &CopyRole<'_>) -> Vec<Statement> {
    let keys = own_keys(run, role);
    let look = Statement::allow("TargetKeys", &at_target_key(run));
    let sids = ["TargetKeysByEC2", "TargetGrantsByEC2"];
    let writing = through_ec2(sids, &USE_BY_EC2, by_ec2(role.regions()));
    let all = [look].into_iter().chain(writing);
    all.map(|statement| statement.on(keys.clone())).collect()
}

/// Returns the direct calls to the target's key.
pub fn at_target_key(run: &Run<'_>) -> Vec<Action> {
    let mut actions = vec![("kms:DescribeKey", "that it is there and enabled; its ARN")];
    if run.has_roles() {
        actions.push((
            "kms:ListGrants",
            "whether a service-linked role has its grant",
        ));
        actions.push((
            "kms:RevokeGrant",
            "taking it away with the last copy under the key",
        ));
    }
    actions
}

/// Returns the grants for service-linked roles: on the role's own keys after a copy, on the source
/// keys while a share lasts.
fn for_linked_roles(run: &Run<'_>, role: &CopyRole<'_>) -> Vec<Statement> {
    let order = &run.state.order;
    let source = run.state.source.keys.iter();
    let keys: BTreeSet<String> = if run.is_share() {
        source.map(KeyArn::to_string).collect()
    } else {
        own_keys(run, role)
    };
    let linked: BTreeSet<String> = run.linked_roles([role.account]).into_iter().collect();
    let mut statements = Vec::new();
    if !keys.is_empty() {
        let grant = Statement::allow("LetLaunch", &[LETTING_LAUNCH]);
        let condition = only_grants(&LAUNCHING, linked.clone());
        statements.push(grant.on(keys).when(condition));
    }
    if order.create_service_linked_roles {
        let make = Statement::allow(
            "MakeServiceLinkedRoles",
            &[("iam:CreateServiceLinkedRole", "those that do not exist")],
        );
        statements.push(make.on(linked));
    }
    statements
}

pub const LETTING_LAUNCH: Action = ("kms:CreateGrant", "letting the service-linked roles launch");
