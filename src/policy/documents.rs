//! The policies that a request needs for its roles and keys: the least privilege for exactly this
//! image, these targets and this mode. Pure.
//!
//! Key policies name the account of a role as the principal, and the role in a condition. So a key
//! can be made before its role, and serves a role that is created anew. The role's own policy must
//! allow the use as well, as it must for the key of another account.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::statement::{Action, Statement};
use crate::ids::{AccountId, ExternalId, KeyArn, RoleName};
use crate::kms::{self, Arn, via_ec2};
use crate::request::{Audience, KeyAccess};
use crate::source::Source;
use crate::state::{State, TargetState};

mod caller;
mod copy_role;
mod function;
mod source_key;
mod staging;
mod target_key;
mod template;

pub use caller::Caller;
pub use template::template;

/// The number of principals that a policy names one by one; more are named by a pattern.
const MOST_NAMED: usize = 30;

/// The role or key that a document is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The policy of the function's role.
    FunctionRole,
    /// The policy of the copy role in a target account.
    CopyRole,
    /// The trust policy of the copy role.
    Trust,
    /// The policy of a source key.
    SourceKey,
    /// The policy of a target key.
    TargetKey,
}

impl Purpose {
    fn words(self) -> &'static str {
        match self {
            Self::FunctionRole => "function role",
            Self::CopyRole => "copy role",
            Self::Trust => "trust of the copy role",
            Self::SourceKey => "source key",
            Self::TargetKey => "target key",
        }
    }
}

/// One policy, with the reason for each of its actions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The role or key that the document is for.
    pub purpose: Purpose,
    /// The account of the role or key.
    pub account: AccountId,
    /// The Region of a key; `None` for a role.
    pub region: Option<String>,
    /// The ARN of a role; the ARN, ID or alias of a key.
    pub resource: String,
    /// The statements of the policy.
    pub statements: Vec<Statement>,
}

impl Document {
    /// Returns the policy document.
    pub fn policy(&self) -> Value {
        policy(&self.statements)
    }

    /// Returns the document as JSON, with the reasons of its actions.
    pub fn to_json(&self) -> Value {
        let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (action, why) in self.statements.iter().flat_map(|s| &s.actions) {
            let known = reasons.entry(action).or_default();
            if !known.contains(why) {
                known.push(why);
            }
        }
        let reasons: Map<String, Value> = reasons
            .into_iter()
            .map(|(action, why)| (action.to_owned(), why.join("; ").into()))
            .collect();
        let mut document = json!({
            "For": self.purpose.words(),
            "AccountId": self.account,
            "Resource": self.resource,
            "Document": self.policy(),
            "Reasons": reasons,
        });
        if let Some(region) = &self.region {
            document["Region"] = json!(region);
        }
        document
    }
}

fn policy(statements: &[Statement]) -> Value {
    let statements: Vec<Value> = statements.iter().map(Statement::to_json).collect();
    json!({"Version": "2012-10-17", "Statement": statements})
}

/// Returns all documents of a planned request. The document of a key lists only the needs of this
/// request; other statements of the key's policy stay.
pub fn documents(
    state: &State,
    source: &Source,
    audience: Option<&Audience>,
    caller: &Caller,
) -> Vec<Document> {
    let mut opened = state.opened(state.run_ref().home_stage());
    opened.source.keys = state.run_ref().all_opened_keys();
    let run = Run {
        state: &opened,
        read_keys: &state.source.keys,
        source,
        audience,
        caller,
    };
    let mut all = vec![function::document(&run)];
    for role in run.copy_roles() {
        all.push(copy_role::document(&run, &role));
        all.push(copy_role::trust(&run, &role));
    }
    all.extend(source_key::documents(&run));
    all.extend(target_key::documents(&run));
    all.retain(|document| !document.statements.is_empty());
    all
}

/// The facts that the documents are made of.
struct Run<'a> {
    /// The state, with the opened keys of all stages in the place of the source's.
    state: &'a State,
    /// The source's own keys.
    read_keys: &'a [KeyArn],
    source: &'a Source,
    /// The audience whose accounts are looked up.
    audience: Option<&'a Audience>,
    caller: &'a Caller,
}

/// One copy role, with the targets it serves.
struct CopyRole<'a> {
    account: &'a AccountId,
    name: &'a RoleName,
    targets: Vec<&'a TargetState>,
}

impl Run<'_> {
    fn partition(&self) -> &'static str {
        self.state.source.region.partition()
    }

    fn is_share(&self) -> bool {
        self.state.order.share.is_some()
    }

    fn has_roles(&self) -> bool {
        !self.state.order.service_linked_roles.is_empty()
    }

    fn grants(&self) -> bool {
        self.state.order.key_access == KeyAccess::Grant && !self.state.source.keys.is_empty()
    }

    /// Returns the keys of the snapshots that a role copies.
    fn copied_keys(&self, role: &CopyRole<'_>) -> Vec<KeyArn> {
        let this = self.state.run_ref();
        let stages: BTreeSet<Option<usize>> = role
            .targets
            .iter()
            .map(|target| this.stage_of(target))
            .collect();
        let of_stage = |stage: Option<usize>| match stage {
            Some(stage) => this.opened_keys(Some(stage)),
            None => self.read_keys.to_vec(),
        };
        let keys: BTreeSet<KeyArn> = stages.into_iter().flat_map(of_stage).collect();
        keys.into_iter().collect()
    }

    fn boots_by_uefi(&self) -> bool {
        let mode = self.source.image.boot_mode.as_deref();
        mode.is_some_and(|mode| mode.starts_with("uefi"))
    }

    /// Returns the copy roles that are assumed: to copy, or to let service-linked roles launch.
    fn copy_roles(&self) -> Vec<CopyRole<'_>> {
        if self.is_share() && !self.has_roles() {
            return Vec::new();
        }
        let mut roles: BTreeMap<(&str, &str), CopyRole<'_>> = BTreeMap::new();
        for target in &self.state.targets {
            let (account, name) = (&target.account_id, &target.role_name);
            let role = roles
                .entry((account.as_str(), name.as_str()))
                .or_insert(CopyRole {
                    account,
                    name,
                    targets: Vec::new(),
                });
            role.targets.push(target);
        }
        roles.into_values().collect()
    }

    /// Returns whether the source is opened to anybody. Copies in its own account need no opening.
    fn opens(&self) -> bool {
        let run = self.state.run_ref();
        self.audience.is_some() || self.state.targets.iter().any(|t| !run.is_own(t))
    }

    /// Returns the copy roles that the source is opened to.
    fn admitted_roles(&self) -> Vec<CopyRole<'_>> {
        let (own, copies) = (&self.state.source.account_id, !self.is_share());
        let mut roles = self.copy_roles();
        roles.retain(|role| !(copies && role.account == own));
        roles
    }

    /// Returns the copy roles of the source account, which nothing is opened to.
    fn own_roles(&self) -> Vec<CopyRole<'_>> {
        let mut roles = self.copy_roles();
        roles.retain(|role| role.account == &self.state.source.account_id);
        roles
    }

    /// Returns the target accounts, as principals.
    fn accounts(&self) -> BTreeSet<String> {
        let targets = self.state.targets.iter();
        targets.map(|t| self.root(&t.account_id)).collect()
    }

    fn root(&self, account: &AccountId) -> String {
        format!("arn:{}:iam::{account}:root", self.partition())
    }

    /// Returns the ARNs of the service-linked roles of these accounts.
    fn linked_roles<'a>(&self, accounts: impl IntoIterator<Item = &'a AccountId>) -> Vec<String> {
        let accounts: BTreeSet<&AccountId> = accounts.into_iter().collect();
        let roles = &self.state.order.service_linked_roles;
        let of = |account: &AccountId| -> Vec<String> {
            let each = roles.iter();
            each.map(|role| role.arn(self.partition(), account))
                .collect()
        };
        accounts.into_iter().flat_map(of).collect()
    }
}

impl CopyRole<'_> {
    fn arn(&self, partition: &str) -> String {
        self.name.arn(partition, self.account)
    }

    /// Returns the external IDs that the trust policy may demand; none if a target has none.
    fn external_ids(&self) -> BTreeSet<&str> {
        let ids: Option<BTreeSet<&str>> = self
            .targets
            .iter()
            .map(|t| t.external_id.as_ref().map(ExternalId::as_str))
            .collect();
        ids.unwrap_or_default()
    }

    fn regions(&self) -> BTreeSet<&str> {
        self.targets.iter().map(|t| t.region.as_str()).collect()
    }
}

/// Returns few ARNs as they are, and a pattern for many, which differ by their account.
fn named(arns: BTreeSet<String>) -> Vec<String> {
    if arns.len() <= MOST_NAMED {
        return arns.into_iter().collect();
    }
    let any_account =
        |arn: String| Arn::parse(&arn).map_or_else(|| arn.clone(), |arn| arn.in_any_account());
    let patterns: BTreeSet<String> = arns.into_iter().map(any_account).collect();
    patterns.into_iter().collect()
}

/// Returns the condition `kms:ViaService` for EC2 in these Regions.
fn by_ec2<'a>(regions: impl IntoIterator<Item = &'a str>) -> Value {
    let services: BTreeSet<String> = regions.into_iter().map(via_ec2).collect();
    json!({"StringEquals": {"kms:ViaService": services}})
}

/// The actions of EC2 on a key for the principal that copies or launches. They are the same for the
/// key that is read and the key that is written under (EBS user guide, permissions for encryption).
const USE_BY_EC2: [Action; 4] = [
    (kms::DECRYPT, "EBS reads the snapshots' data keys"),
    (
        kms::GENERATE_DATA_KEY_WITHOUT_PLAINTEXT,
        "EBS makes the data keys of copies and volumes",
    ),
    (
        kms::RE_ENCRYPT_FROM,
        "EBS takes data keys from under the key",
    ),
    (kms::RE_ENCRYPT_TO, "EBS puts data keys under the key"),
];
const GRANT_BY_EC2: Action = (
    kms::CREATE_GRANT,
    "EBS gives itself the use of the key for the time of the copy, or for a volume",
);

/// Returns the statements that let EC2 use a key for the principal, and create grants for AWS
/// resources only. They are two because only CreateGrant requests carry
/// `kms:GrantIsForAWSResource`.
fn through_ec2(sids: [&'static str; 2], uses: &[Action], condition: Value) -> [Statement; 2] {
    let mut for_resources = condition.clone();
    for_resources["Bool"] = json!({"kms:GrantIsForAWSResource": "true"});
    [
        Statement::allow(sids[0], uses).when(condition),
        Statement::allow(sids[1], &[GRANT_BY_EC2]).when(for_resources),
    ]
}

/// Returns the condition that a grant allows these actions only, to these grantees.
fn only_grants(actions: &[&str], grantees: BTreeSet<String>) -> Value {
    let operations: Vec<&str> = actions
        .iter()
        .map(|action| kms::operation(action))
        .collect();
    json!({
        "ForAllValues:StringEquals": {"kms:GrantOperations": operations},
        "StringLike": {"kms:GranteePrincipal": named(grantees)},
    })
}

/// Adds the names of the roles to a condition.
fn by_role(mut condition: Value, roles: &[String]) -> Value {
    if !condition.is_object() {
        condition = json!({});
    }
    condition["ArnEquals"] = json!({"aws:PrincipalArn": roles});
    condition
}
