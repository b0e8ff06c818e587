//! What the policies of the source keys must say, each beside what it says already.

use std::collections::BTreeSet;

use serde_json::json;

use super::copy_role::{LETTING_LAUNCH, PROBING};
use super::function::at_keys;
use super::{
    Document, LAUNCHING, OPERATIONS_OF_ROLES, Purpose, READING, Run, by_ec2, by_role, named,
    only_grants, region_of,
};
use crate::policy::statement::Statement;
use crate::request::KeyAccess;

pub fn documents(run: &Run<'_>) -> Vec<Document> {
    let keys = run.state.source.keys.iter();
    keys.map(|key| Document {
        purpose: Purpose::SourceKey,
        account: run.state.source.account_id.clone(),
        region: Some(region_of(key).to_owned()),
        resource: key.clone(),
        statements: statements(run, key),
    })
    .collect()
}

fn statements(run: &Run<'_>, key: &str) -> Vec<Statement> {
    let caller = run.caller;
    let own = at_keys(run).map(|(statement, _)| {
        let condition = by_role(statement.condition.clone(), &caller.principals);
        statement
            .to([run.root(&caller.account)])
            .on(["*"])
            .when(condition)
    });
    let mut all: Vec<Statement> = own.collect();
    if run.state.order.key_access == KeyAccess::None {
        if run.is_share() {
            all.extend(to_launch(run, key));
        } else {
            all.extend(to_copy(run, key));
        }
    }
    all
}

fn roles(run: &Run<'_>) -> Vec<String> {
    let roles = run.copy_roles();
    named(roles.iter().map(|role| role.arn(run.partition())).collect())
}

fn to_copy(run: &Run<'_>, key: &str) -> Vec<Statement> {
    let (accounts, roles) = (run.accounts(), roles(run));
    let probe = Statement::allow("CopyRoles", &[PROBING]);
    let read = Statement::allow("CopyRolesByEC2", &READING);
    vec![
        probe
            .to(accounts.clone())
            .on(["*"])
            .when(by_role(json!({}), &roles)),
        read.to(accounts)
            .on(["*"])
            .when(by_role(by_ec2([region_of(key)]), &roles)),
    ]
}

/// Who of an account may launch is for its own policies to say.
fn to_launch(run: &Run<'_>, key: &str) -> Vec<Statement> {
    let accounts: BTreeSet<String> = run.accounts();
    if accounts.is_empty() {
        return Vec::new();
    }
    let look = Statement::allow(
        "Accounts",
        &[("kms:DescribeKey", "EC2 looks at the key of the snapshots")],
    );
    let launch = Statement::allow("AccountsByEC2", &LAUNCHING);
    let mut all = vec![
        look.to(accounts.clone())
            .on(["*"])
            .when(by_ec2([region_of(key)])),
        launch
            .to(accounts.clone())
            .on(["*"])
            .when(by_ec2([region_of(key)])),
    ];
    if run.has_roles() {
        let linked = run.linked_roles(run.state.targets.iter().map(|t| &t.account_id));
        let condition = only_grants(&OPERATIONS_OF_ROLES, linked.into_iter().collect());
        let grant = Statement::allow("LetLaunch", &[LETTING_LAUNCH]);
        all.push(
            grant
                .to(accounts)
                .on(["*"])
                .when(by_role(condition, &roles(run))),
        );
    }
    all
}
