//! The principals that a run lets use a source key, as statements of the key's policy. Reads the
//! principals back from the statements.
//!
//! The statements allow only what EC2 needs when it acts for these principals:
//!
//! - `…Describe` allows `kms:DescribeKey`. The copy role calls it to see whether the policy is in
//!   force yet.
//! - `…Use` allows reading the snapshots' data keys, and encrypting those of copies and volumes.
//!   Only through EC2 in the run's Regions.
//! - `…Grant` allows `kms:CreateGrant`. Only through EC2 in the run's Regions, and for an AWS
//!   resource: the volume.
//! - `…GrantRoles` allows `kms:CreateGrant` directly, because the account of an Auto Scaling group
//!   makes that grant. Only for launching, to the service-linked roles of the request, with the
//!   operations they need.
//!
//! Accounts are the principals, and roles stand in a condition. KMS refuses a policy that names a
//! role that does not exist, and loses a role that is created anew. `…Members` are the same
//! statements for an organization or its units.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::sid;
use crate::ids::{AccountId, Region, RoleName};
use crate::kms::{self, Arn};
use crate::service_linked_role::ServiceLinkedRole;

/// The principals that may use a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Accounts, as principals.
    pub accounts: BTreeSet<AccountId>,
    /// Patterns for the ARNs of the accounts' principals; empty if the accounts themselves decide.
    pub roles: BTreeSet<String>,
    /// The ID (`o-…`) of the organization whose members are principals.
    pub organization: Option<String>,
    /// Whether all accounts of the organization are principals.
    pub whole: bool,
    /// The units (`ou-…`) whose accounts are principals.
    pub units: BTreeSet<String>,
    /// Patterns for the ARNs of the members' principals.
    pub member_roles: BTreeSet<String>,
    /// The Regions in which EC2 acts for the principals.
    pub regions: BTreeSet<Region>,
}

/// The terms that all statements of a run have in common.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The partition of the key.
    pub partition: &'static str,
    /// The key's own account, which its policy names already.
    pub owner: AccountId,
    /// Whether the principals launch from the image, instead of copying it.
    pub launch: bool,
    /// ARNs of service-linked roles, in any account.
    pub service_linked_roles: Vec<String>,
}

impl Terms {
    /// Returns the terms of a run on keys of this account, to launch or to copy.
    pub fn new(
        region: &Region,
        owner: &AccountId,
        launch: bool,
        roles: &[ServiceLinkedRole],
    ) -> Self {
        let partition = region.partition();
        let anywhere = |role: &ServiceLinkedRole| {
            let arn = role.arn(partition, owner);
            Arn::parse(&arn).map(|arn| arn.in_any_account())
        };
        Self {
            partition,
            owner: owner.clone(),
            launch,
            service_linked_roles: roles.iter().filter_map(anywhere).collect(),
        }
    }
}

impl Access {
    /// Returns the union of both.
    #[must_use]
    pub fn and(mut self, more: Self) -> Self {
        self.accounts.extend(more.accounts);
        self.roles.extend(more.roles);
        self.organization = self.organization.or(more.organization);
        self.whole |= more.whole;
        self.units.extend(more.units);
        self.member_roles.extend(more.member_roles);
        self.regions.extend(more.regions);
        // The pattern of a role in any account covers the role in each account.
        let anywhere: BTreeSet<String> = self.roles.iter().filter_map(|r| role_of_any(r)).collect();
        let all = std::mem::take(&mut self.roles);
        let covered = |arn: &String| arn.split_once(":role/").map(|(_, name)| name.to_owned());
        self.roles = all
            .into_iter()
            .filter(|arn| {
                role_of_any(arn).is_some() || !covered(arn).is_some_and(|n| anywhere.contains(&n))
            })
            .collect();
        self
    }

    /// Adds an organization or a unit by its ARN, as AWS Organizations writes it.
    pub fn add_audience(&mut self, arn: &str) {
        let mut parts = arn.rsplit('/');
        let (last, before) = (parts.next().unwrap_or_default(), parts.next());
        if last.starts_with("o-") {
            self.organization = Some(last.to_owned());
            self.whole = true;
        } else if let Some(organization) = before {
            self.organization = Some(organization.to_owned());
            self.units.insert(last.to_owned());
        }
    }

    /// Removes accounts and units by their IDs, and the organization by its ID.
    pub fn remove(&mut self, is_gone: impl Fn(&str) -> bool) {
        self.accounts.retain(|account| !is_gone(account.as_str()));
        self.units.retain(|unit| !is_gone(unit));
        if self.organization.as_deref().is_some_and(&is_gone) {
            self.whole = false;
        }
    }

    /// Returns whether an organization or a unit is among the principals.
    pub fn has_members(&self) -> bool {
        self.organization.is_some() && (self.whole || !self.units.is_empty())
    }

    /// Returns whether there is no principal.
    pub fn is_nobody(&self) -> bool {
        self.accounts.is_empty() && !self.has_members()
    }

    /// Reads the principals from a run's statements. A value in none of the forms of this module is
    /// ignored: somebody changed it.
    pub fn read(statements: &[&Value]) -> Self {
        let mut access = Self::default();
        for statement in statements {
            let condition =
                |operator: &str, key: &str| words(&statement["Condition"][operator][key]);
            let roles = condition("ArnLike", "aws:PrincipalArn");
            let roles = roles.into_iter().filter(|arn| is_role(arn));
            let accounts = words(&statement["Principal"]["AWS"]);
            let accounts: Vec<AccountId> = accounts.iter().filter_map(|a| account_of(a)).collect();
            if !accounts.is_empty() {
                access.accounts.extend(accounts);
                access.roles.extend(roles);
            } else if let [organization] =
                condition("StringEquals", "aws:PrincipalOrgID").as_slice()
            {
                access.organization = Some(organization.clone());
                access.member_roles.extend(roles);
                let paths = condition("ForAnyValue:StringLike", "aws:PrincipalOrgPaths");
                access.whole |= paths.is_empty();
                let units = paths.iter().filter_map(|path| path.split('/').nth(2));
                access.units.extend(units.map(str::to_owned));
            }
            let services = condition("StringEquals", "kms:ViaService");
            let regions = services
                .iter()
                .filter_map(|service| service.split('.').nth(1));
            access
                .regions
                .extend(regions.filter_map(|r| Region::parse(r).ok()));
        }
        access
    }

    /// Returns the statements that the policy must contain.
    pub fn statements(&self, run: &str, terms: &Terms) -> Vec<Value> {
        let mut all = Vec::new();
        if !self.accounts.is_empty() {
            let arn = |account: &AccountId| format!("arn:{}:iam::{account}:root", terms.partition);
            let arns: Vec<String> = self.accounts.iter().map(arn).collect();
            let mut who = Map::new();
            put(&mut who, "ArnLike", "aws:PrincipalArn", &self.roles);
            self.add(&mut all, run, "", terms, &json!({"AWS": arns}), &who);
        }
        if let (true, Some(organization)) = (self.has_members(), &self.organization) {
            let mut who = Map::new();
            put(&mut who, "ArnLike", "aws:PrincipalArn", &self.member_roles);
            put(
                &mut who,
                "StringEquals",
                "aws:PrincipalOrgID",
                &[organization],
            );
            put(
                &mut who,
                "StringNotEquals",
                "aws:PrincipalAccount",
                &[terms.owner.as_str()],
            );
            if !self.whole {
                let paths = self
                    .units
                    .iter()
                    .map(|unit| format!("{organization}/*/{unit}/*"));
                let paths: Vec<String> = paths.collect();
                put(
                    &mut who,
                    "ForAnyValue:StringLike",
                    "aws:PrincipalOrgPaths",
                    &paths,
                );
            }
            self.add(&mut all, run, "Members", terms, &json!({"AWS": "*"}), &who);
        }
        all
    }

    fn add(
        &self,
        all: &mut Vec<Value>,
        run: &str,
        group: &str,
        terms: &Terms,
        principal: &Value,
        who: &Map<String, Value>,
    ) {
        for (part, action, condition) in self.parts(terms, who) {
            let mut statement = json!({
                "Sid": sid(run, &format!("{part}{group}")),
                "Effect": "Allow",
                "Principal": principal,
                "Action": action,
                "Resource": "*",
            });
            if !condition.is_empty() {
                statement["Condition"] = Value::Object(condition);
            }
            all.push(statement);
        }
    }

    /// Returns the part, the action and the condition of each statement.
    fn parts(
        &self,
        terms: &Terms,
        who: &Map<String, Value>,
    ) -> Vec<(&'static str, Value, Map<String, Value>)> {
        let regions = self.regions.iter();
        let services: Vec<String> = regions.map(|r| kms::via_ec2(r.as_str())).collect();
        let mut through_ec2 = who.clone();
        put(
            &mut through_ec2,
            "StringEquals",
            "kms:ViaService",
            &services,
        );
        let mut for_a_volume = through_ec2.clone();
        put(
            &mut for_a_volume,
            "Bool",
            "kms:GrantIsForAWSResource",
            &["true"],
        );
        let mut parts = vec![
            ("Describe", json!(kms::DESCRIBE_KEY), who.clone()),
            ("Use", json!(kms::USE_BY_EC2), through_ec2),
            ("Grant", json!(kms::CREATE_GRANT), for_a_volume),
        ];
        if terms.launch && !terms.service_linked_roles.is_empty() {
            let mut to_roles = who.clone();
            let operations: BTreeSet<&str> =
                kms::LAUNCHING.into_iter().map(kms::operation).collect();
            put(
                &mut to_roles,
                "StringLike",
                "kms:GranteePrincipal",
                &terms.service_linked_roles,
            );
            put(
                &mut to_roles,
                "ForAllValues:StringEquals",
                "kms:GrantOperations",
                &operations,
            );
            parts.push(("GrantRoles", json!(kms::CREATE_GRANT), to_roles));
        }
        parts
    }
}

/// Adds a condition, unless its list is empty.
fn put<'a, T: AsRef<str> + 'a>(
    condition: &mut Map<String, Value>,
    operator: &str,
    key: &str,
    values: impl IntoIterator<Item = &'a T>,
) {
    let values: Vec<&str> = values.into_iter().map(AsRef::as_ref).collect();
    let value = match values.as_slice() {
        [] => return,
        [one] => json!(one),
        several => json!(several),
    };
    let keys = condition.entry(operator).or_insert_with(|| json!({}));
    keys[key] = value;
}

/// Returns the pattern of a role's ARN in any account.
pub fn role_anywhere(partition: &str, role: &RoleName) -> String {
    format!("arn:{partition}:iam::*:role/{role}")
}

/// Returns the role's name from the pattern of any account.
fn role_of_any(arn: &str) -> Option<String> {
    let (account, name) = arn.split_once(":role/")?;
    account.ends_with(":*").then(|| name.to_owned())
}

fn account_of(arn: &str) -> Option<AccountId> {
    let arn = Arn::parse(arn).filter(|arn| arn.resource == "root")?;
    AccountId::parse(arn.account).ok()
}

fn is_role(arn: &str) -> bool {
    Arn::parse(arn).is_some_and(|arn| {
        let role = arn.resource.strip_prefix("role/");
        (arn.account == "*" || AccountId::parse(arn.account).is_ok())
            && role.is_some_and(|role| RoleName::parse(role).is_ok())
    })
}

/// Returns one text, or a list of texts, as a list.
fn words(value: &Value) -> Vec<String> {
    match value {
        Value::String(one) => vec![one.clone()],
        Value::Array(items) => {
            let texts = items.iter().filter_map(Value::as_str);
            texts.map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}
