//! What a request asks its roles and keys for, and nothing beside it: the least privilege for exactly this image, these targets and this
//! mode. Pure.
//!
//! The policies of keys speak to the account of the role and name the role in their condition. So a key can be made before its role and
//! serves it when it is made anew; and the role's own policy must allow the use as well, as it must for the key of another account.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::statement::{Action, Statement};
use crate::ids::{AccountId, ExternalId, KeyRef, RoleName};
use crate::kms::{self, Arn, KeyArn, via_ec2};
use crate::request::{Audience, KeyAccess};
use crate::source::Source;
use crate::state::{State, TargetState};

mod copy_role;
mod function;
mod source_key;
mod staging;
mod target_key;
mod template;

pub use template::template;

/// Principals named one by one; more are named by a pattern.
const MOST_NAMED: usize = 30;

/// Who the function is, as STS tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub account: AccountId,
    /// The name of its role; `None` if it is none.
    pub role: Option<String>,
    /// What `aws:PrincipalArn` may be. STS leaves the path of a role out; its name is unique in the account whatever its path.
    pub principals: Vec<String>,
    /// The ARN of the function, unqualified; `None` if it runs elsewhere than in Lambda.
    pub function: Option<String>,
    /// The bucket that holds the function's ledger.
    pub bucket: Option<String>,
}

impl Caller {
    /// Reads the ARN that GetCallerIdentity tells.
    pub fn read(account: AccountId, arn: &str) -> Self {
        let partition = Arn::parse(arn).map_or("aws", |arn| arn.partition);
        let assumed = arn
            .split_once(":assumed-role/")
            .and_then(|(_, rest)| rest.split('/').next());
        let named = arn
            .split_once(":role/")
            .and_then(|(_, rest)| rest.rsplit('/').next());
        let role = assumed.or(named).map(str::to_owned);
        let principals = match (&role, assumed) {
            (Some(role), Some(_)) => vec![
                format!("arn:{partition}:iam::{account}:role/{role}"),
                format!("arn:{partition}:iam::{account}:role/*/{role}"),
            ],
            _ => vec![arn.to_owned()],
        };
        Self {
            account,
            role,
            principals,
            function: None,
            bucket: None,
        }
    }

    #[must_use]
    pub fn with_ledger(mut self, bucket: Option<&str>) -> Self {
        self.bucket = bucket.map(str::to_owned);
        self
    }

    /// Adds the function, by the ARN that it was invoked by, which may end in a version or an
    /// alias.
    #[must_use]
    pub fn in_function(mut self, invoked_arn: &str) -> Self {
        let parts: Vec<&str> = invoked_arn.split(':').take(7).collect();
        let is_function = parts.get(2) == Some(&"lambda") && parts.len() == 7;
        self.function = is_function.then(|| parts.join(":"));
        self
    }
}

/// Whose policy a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    FunctionRole,
    CopyRole,
    Trust,
    SourceKey,
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

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub purpose: Purpose,
    pub account: AccountId,
    /// Of a key.
    pub region: Option<String>,
    /// The role's ARN; the key's ARN, ID or alias.
    pub resource: String,
    pub statements: Vec<Statement>,
}

impl Document {
    /// The policy itself.
    pub fn policy(&self) -> Value {
        policy(&self.statements)
    }

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

/// All documents of a planned request. Those of a key list what this request needs in its policy; whatever else it says stays.
pub fn documents(
    state: &State,
    source: &Source,
    audience: Option<&Audience>,
    caller: &Caller,
) -> Vec<Document> {
    let run = Run {
        state: &state.opened(),
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

/// What the documents are made of.
struct Run<'a> {
    /// With the keys that are opened in the place of those that cannot be.
    state: &'a State,
    source: &'a Source,
    /// Whose accounts are looked up.
    audience: Option<&'a Audience>,
    caller: &'a Caller,
}

/// One role, with the targets it serves.
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

    /// The key under which what cannot be shared is copied in the source account first.
    fn staging_key(&self) -> Option<&KeyRef> {
        let key = self.state.order.reencrypt_key.as_ref();
        key.filter(|_| self.state.needs_staging())
    }

    fn boots_by_uefi(&self) -> bool {
        let mode = self.source.image.boot_mode.as_deref();
        mode.is_some_and(|mode| mode.starts_with("uefi"))
    }

    /// The roles that are assumed: to copy, or to let service-linked roles launch.
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

    /// Accounts as principals.
    fn accounts(&self) -> BTreeSet<String> {
        let targets = self.state.targets.iter();
        targets.map(|t| self.root(&t.account_id)).collect()
    }

    fn root(&self, account: &AccountId) -> String {
        format!("arn:{}:iam::{account}:root", self.partition())
    }

    /// The service-linked roles of these accounts.
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

    /// What may be asked of whoever assumes it; none if some target has none.
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

/// Few by name; many, who differ by their account, by a pattern.
fn named(arns: BTreeSet<String>) -> Vec<String> {
    if arns.len() <= MOST_NAMED {
        return arns.into_iter().collect();
    }
    let any_account =
        |arn: String| Arn::parse(&arn).map_or_else(|| arn.clone(), |arn| arn.in_any_account());
    let patterns: BTreeSet<String> = arns.into_iter().map(any_account).collect();
    patterns.into_iter().collect()
}

/// `kms:ViaService` for EC2 in these Regions.
fn by_ec2<'a>(regions: impl IntoIterator<Item = &'a str>) -> Value {
    let services: BTreeSet<String> = regions.into_iter().map(via_ec2).collect();
    json!({"StringEquals": {"kms:ViaService": services}})
}

fn region_of(key: &str) -> &str {
    KeyArn::parse(key).map_or("", |arn| arn.region)
}

/// What EC2 does with a key for the principal that copies or launches: the same with the key that
/// is read and the key that is written under (EBS user guide, permissions for encryption).
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
/// resources only. They are two because no other action than CreateGrant carries
/// `kms:GrantIsForAWSResource`.
fn through_ec2(sids: [&'static str; 2], uses: &[Action], condition: Value) -> [Statement; 2] {
    let mut for_resources = condition.clone();
    for_resources["Bool"] = json!({"kms:GrantIsForAWSResource": "true"});
    [
        Statement::allow(sids[0], uses).when(condition),
        Statement::allow(sids[1], &[GRANT_BY_EC2]).when(for_resources),
    ]
}

/// Limits CreateGrant to grants that allow these actions only, to these grantees.
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

/// Adds what names the role to a condition.
fn by_role(mut condition: Value, roles: &[String]) -> Value {
    if !condition.is_object() {
        condition = json!({});
    }
    condition["ArnEquals"] = json!({"aws:PrincipalArn": roles});
    condition
}
