//! The documents as CloudFormation templates, one for each account.
//!
//! A stack is of one Region. Only the stack of a Region makes the resources of that Region; one
//! stack makes those of the account as a whole.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Caller, Document, Purpose, Statement, policy};

/// IAM's limits for the inline policies of a role and for a managed policy, in characters. Source:
/// IAM user guide, IAM and AWS STS quotas.
const INLINE: usize = 10_240;
const MANAGED: usize = 6_144;

const MANAGED_POLICY: &str = "AWS::IAM::ManagedPolicy";
const NOT_ITS_OWN: &str = "CloudFormation cannot add statements to the policy of a key that it did \
    not make: add these to what it says";

/// Returns the template of each account, by the account's ID.
pub fn template(documents: &[Document], caller: &Caller) -> Value {
    let mut accounts: BTreeMap<&str, Vec<&Document>> = BTreeMap::new();
    for document in documents {
        accounts
            .entry(document.account.as_str())
            .or_default()
            .push(document);
    }
    let templates: Map<String, Value> = accounts
        .into_iter()
        .map(|(account, documents)| (account.to_owned(), of_account(&documents, caller)))
        .collect();
    templates.into()
}

#[derive(Default)]
struct Parts {
    resources: Map<String, Value>,
    conditions: Map<String, Value>,
    keys: Map<String, Value>,
}

fn of_account(documents: &[&Document], caller: &Caller) -> Value {
    let mut parts = Parts::default();
    let mut regions = documents.iter().filter_map(|d| d.region.as_deref());
    let home = regions.next();
    let several = regions.any(|region| Some(region) != home);
    for document in documents {
        // The first Region's stack makes resources of no Region.
        let region = document.region.as_deref().or(home).filter(|_| several);
        parts.add(document, documents, region, caller);
    }
    let mut template = json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "amiferry: the roles and keys of one request",
        "Resources": parts.resources,
    });
    if !parts.conditions.is_empty() {
        template["Conditions"] = parts.conditions.into();
    }
    if !parts.keys.is_empty() {
        template["Metadata"] =
            json!({"KeyPolicies": {"Remark": NOT_ITS_OWN, "Statements": parts.keys}});
    }
    template
}

impl Parts {
    fn add(
        &mut self,
        document: &Document,
        all: &[&Document],
        region: Option<&str>,
        caller: &Caller,
    ) {
        let policy = document.policy();
        match document.purpose {
            Purpose::FunctionRole => {
                for part in packed(&document.statements) {
                    let mut properties = json!({"PolicyDocument": part});
                    if let Some(role) = &caller.role {
                        properties["Roles"] = json!([role]);
                    }
                    self.make("FunctionPolicy", MANAGED_POLICY, &properties, region);
                }
            }
            Purpose::CopyRole => {
                let trust = all
                    .iter()
                    .find(|d| d.purpose == Purpose::Trust && d.resource == document.resource);
                let name = document.resource.rsplit('/').next().unwrap_or_default();
                let path = document.resource.split_once(":role").map(|(_, p)| p);
                let path = path.and_then(|p| p.strip_suffix(name)).unwrap_or("/");
                let mut properties = json!({
                    "RoleName": name,
                    "Path": path,
                    "AssumeRolePolicyDocument": trust.map(|d| d.policy()),
                });
                if length(&policy) <= INLINE {
                    properties["Policies"] =
                        json!([{"PolicyName": "amiferry", "PolicyDocument": policy}]);
                } else {
                    let parts = packed(&document.statements).into_iter();
                    let made = parts.map(|part| {
                        let part = json!({"PolicyDocument": part});
                        json!({"Ref": self.make("CopyPolicy", MANAGED_POLICY, &part, region)})
                    });
                    properties["ManagedPolicyArns"] = made.collect();
                }
                self.make("CopyRole", "AWS::IAM::Role", &properties, region);
            }
            Purpose::Trust => {}
            Purpose::TargetKey if document.resource.starts_with("alias/") => {
                let key = json!({"KeyPolicy": policy, "EnableKeyRotation": true});
                let key = self.make("TargetKey", "AWS::KMS::Key", &key, region);
                let alias = json!({"AliasName": document.resource, "TargetKeyId": {"Ref": key}});
                self.make("TargetKeyAlias", "AWS::KMS::Alias", &alias, region);
            }
            // The key exists already, whatever its policy says.
            Purpose::SourceKey | Purpose::TargetKey => self.tell(document),
        }
    }

    fn tell(&mut self, document: &Document) {
        let statements = document.policy()["Statement"].clone();
        self.keys.insert(document.resource.clone(), statements);
    }

    /// Adds a resource; returns its logical ID.
    fn make(&mut self, name: &str, kind: &str, properties: &Value, region: Option<&str>) -> String {
        let mut resource = json!({"Type": kind, "Properties": properties});
        if kind == "AWS::KMS::Key" {
            // Everything under a key is lost with it.
            resource["DeletionPolicy"] = json!("RetainExceptOnCreate");
            resource["UpdateReplacePolicy"] = json!("Retain");
        }
        if let Some(region) = region {
            let plain: String = region.chars().filter(char::is_ascii_alphanumeric).collect();
            let condition = format!("In{plain}");
            let here = json!({"Fn::Equals": [{"Ref": "AWS::Region"}, region]});
            self.conditions.insert(condition.clone(), here);
            resource["Condition"] = json!(condition);
        }
        let mut id = name.to_owned();
        let mut n = 2;
        while self.resources.contains_key(&id) {
            id = format!("{name}{n}");
            n += 1;
        }
        self.resources.insert(id.clone(), resource);
        id
    }
}

/// Returns the statements as few managed policies.
fn packed(statements: &[Statement]) -> Vec<Value> {
    let mut parts: Vec<Vec<Statement>> = vec![Vec::new()];
    for statement in statements.iter().flat_map(split) {
        let mut longer = parts.pop().unwrap_or_default();
        longer.push(statement);
        if length(&policy(&longer)) <= MANAGED || longer.len() == 1 {
            parts.push(longer);
        } else {
            let last = longer.split_off(longer.len() - 1);
            parts.extend([longer, last]);
        }
    }
    parts.iter().map(|part| policy(part)).collect()
}

/// Returns a statement that is too long for a managed policy as several, each with some of its
/// resources.
fn split(statement: &Statement) -> Vec<Statement> {
    let count = statement.resources.len();
    if count < 2 || length(&policy(std::slice::from_ref(statement))) <= MANAGED {
        return vec![statement.clone()];
    }
    let halves = statement.resources.chunks(count.div_ceil(2));
    halves
        .flat_map(|half| split(&statement.clone().on(half)))
        .collect()
}

fn length(policy: &Value) -> usize {
    policy.to_string().len()
}
