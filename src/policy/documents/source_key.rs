//! The statements that the policies of the source keys need beside their own.

use std::collections::BTreeSet;

use serde_json::json;

use super::copy_role::{LETTING_LAUNCH, PROBING};
use super::function::at_keys;
use super::{
    CopyRole, Document, Purpose, Run, USE_BY_EC2, by_ec2, by_role, named, only_grants, staging,
    through_ec2,
};
use crate::ids::KeyArn;
use crate::kms::LAUNCHING;
use crate::policy::statement::{Action, Statement};
use crate::request::KeyAccess;

pub fn documents(run: &Run<'_>) -> Vec<Document> {
    let keys = run.state.source.keys.iter();
    keys.map(|key| Document {
        purpose: Purpose::SourceKey,
        account: run.state.source.account_id.clone(),
        region: Some(key.region().to_string()),
        resource: key.to_string(),
        statements: statements(run, key),
    })
    .collect()
}

fn statements(run: &Run<'_>, key: &KeyArn) -> Vec<Statement> {
    let caller = run.caller;
    let own = at_keys(run).map(|(statement, _)| {
        let condition = by_role(statement.condition.clone(), &caller.principals);
        statement
            .to([run.root(&caller.account)])
            .on(["*"])
            .when(condition)
    });
    let mut all: Vec<Statement> = own.collect();
    all.extend(staging::of_key(run, key));
    if run.state.order.key_access == KeyAccess::None {
        if run.is_share() {
            all.extend(to_launch(run, key));
        } else {
            all.extend(to_copy(run, key, &run.copy_roles()));
        }
    } else if !run.is_share() && !run.own_roles().is_empty() {
        all.extend(to_copy(run, key, &run.own_roles()));
    }
    all
}

fn arns(run: &Run<'_>, roles: &[CopyRole<'_>]) -> Vec<String> {
    named(roles.iter().map(|role| role.arn(run.partition())).collect())
}

/// Lets copy roles read the key that nothing else opens to them.
fn to_copy(run: &Run<'_>, key: &KeyArn, roles: &[CopyRole<'_>]) -> Vec<Statement> {
    let accounts: BTreeSet<String> = roles.iter().map(|role| run.root(role.account)).collect();
    let roles = arns(run, roles);
    let own = key.region();
    let regions = run.state.targets.iter().map(|t| t.region.as_str());
    let regions = by_ec2(regions.chain([own.as_str()]));
    let sids = ["CopyRolesByEC2", "CopyRoleGrantsByEC2"];
    let probe = Statement::allow("CopyRoles", &[PROBING]).when(by_role(json!({}), &roles));
    let reading = through_ec2(sids, &USE_BY_EC2, by_role(regions, &roles));
    let all = [probe].into_iter().chain(reading);
    all.map(|statement| statement.to(accounts.clone()).on(["*"]))
        .collect()
}

/// Lets accounts launch. Their own policies say which of their principals may.
fn to_launch(run: &Run<'_>, key: &KeyArn) -> Vec<Statement> {
    let mut all = accounts_to_launch(run, key);
    all.extend(members_to_launch(run, key));
    all
}

/// Lets present and future members of the organization or its units launch, except the source
/// account.
fn members_to_launch(run: &Run<'_>, key: &KeyArn) -> Vec<Statement> {
    let audience = run.state.order.share.iter().flat_map(|s| &s.audience);
    let (mut organizations, mut units) = (BTreeSet::new(), BTreeSet::new());
    let mut whole = false;
    for arn in audience {
        // The ARN ends in `:organization/o-…`, or in `:ou/o-…/ou-…`.
        let mut parts = arn.split('/').skip(1);
        let organization = parts.next().unwrap_or_default();
        organizations.insert(organization);
        match parts.next() {
            Some(unit) => {
                units.insert(format!("{organization}/*/{unit}/*"));
            }
            None => whole = true,
        }
    }
    if organizations.is_empty() {
        return Vec::new();
    }
    let mut condition = by_ec2([key.region().as_str()]);
    condition["StringEquals"]["aws:PrincipalOrgID"] = json!(organizations);
    condition["StringNotEquals"] = json!({"aws:PrincipalAccount": run.state.source.account_id});
    if !whole {
        condition["ForAnyValue:StringLike"] = json!({"aws:PrincipalOrgPaths": units});
    }
    let launch = [&LOOKING_AT_THE_KEY, &USE_BY_EC2[..]].concat();
    let sids = ["MembersByEC2", "MemberGrantsByEC2"];
    let all = through_ec2(sids, &launch, condition);
    all.map(|statement| statement.to(["*"]).on(["*"])).into()
}

const LOOKING_AT_THE_KEY: [Action; 1] =
    [("kms:DescribeKey", "EC2 looks at the key of the snapshots")];

fn accounts_to_launch(run: &Run<'_>, key: &KeyArn) -> Vec<Statement> {
    let named = run.state.targets.iter().filter(|t| !t.member);
    let accounts: BTreeSet<String> = named.map(|t| run.root(&t.account_id)).collect();
    if accounts.is_empty() && !run.has_roles() {
        return Vec::new();
    }
    let mut all = Vec::new();
    if !accounts.is_empty() {
        let launch = [&LOOKING_AT_THE_KEY, &USE_BY_EC2[..]].concat();
        let sids = ["AccountsByEC2", "AccountGrantsByEC2"];
        let launching = through_ec2(sids, &launch, by_ec2([key.region().as_str()]));
        all.extend(launching.map(|statement| statement.to(accounts.clone()).on(["*"])));
    }
    if run.has_roles() {
        let linked = run.linked_roles(run.state.targets.iter().map(|t| &t.account_id));
        let condition = only_grants(&LAUNCHING, linked.into_iter().collect());
        let grant = Statement::allow("LetLaunch", &[LETTING_LAUNCH]);
        all.push(
            grant
                .to(run.accounts())
                .on(["*"])
                .when(by_role(condition, &arns(run, &run.copy_roles()))),
        );
    }
    all
}
