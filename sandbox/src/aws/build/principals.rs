//! Roles, users and their access keys.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::{fault, policies, policy};
use crate::aws::{Aws, Caller, Credential, LivePrincipal, account_of, service_of};
use crate::iam::{self, Kind, Policy};
use crate::world::{AccessKey, Role, User, WorldError};
use std::sync::Arc;

pub(in crate::aws) fn add_role(
    aws: &mut Aws,
    account: &str,
    role: &Role,
    at: &str,
) -> Result<(), WorldError> {
    let role = &service_linked(role);
    let (trust_text, key) = match &role.trust_policy {
        Some(json) => (json.clone(), "trust_policy"),
        None => (trust_policy(role).to_string(), "trusts"),
    };
    let trust = policy(&trust_text, Kind::Trust, &format!("{at}.{key}"))?;
    let given: Vec<&str> = role.policies.iter().map(String::as_str).collect();
    let live = LivePrincipal {
        policies: policies(&given, &format!("{at}.policies"))?,
        policy_names: policy_names(given.len()),
        tags: BTreeMap::new(),
        trust: Some(trust),
        trust_text,
        description: None,
        created: aws.now,
        known_to_kms_at: aws.now,
        max_session_seconds: role.max_session_seconds.unwrap_or(3600),
    };
    let arn = aws.iam_arn(account, &format!("role/{}", role.name));
    add_principal(aws, &arn, live, at)
}

/// The actions that AWS's own policies allow these services. None of the policies mentions keys.
/// Source: AWS managed policy reference, AutoScalingServiceRolePolicy, AWSEC2SpotServiceRolePolicy,
/// AWSEC2SpotFleetServiceRolePolicy, AWSEC2FleetServiceRolePolicy,
/// AWSServiceRoleForAmazonEKSNodegroup and BatchServiceRolePolicy, as far as the sandbox has such
/// actions.
const LAUNCHING_SERVICES: [&str; 6] = [
    "autoscaling.amazonaws.com",
    "spot.amazonaws.com",
    "spotfleet.amazonaws.com",
    "ec2fleet.amazonaws.com",
    "eks-nodegroup.amazonaws.com",
    "batch.amazonaws.com",
];

/// Completes a service-linked role: its service is trusted, and AWS's policies apply unless the
/// world declares others.
fn service_linked(role: &Role) -> Role {
    let mut role = role.clone();
    let Some(service) = service_of(&role.name).map(str::to_owned) else {
        return role;
    };
    if role.policies.is_empty() && LAUNCHING_SERVICES.contains(&service.as_str()) {
        let policy = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Resource": "*",
            "Action": ["ec2:Describe*", "ec2:RunInstances", "ec2:TerminateInstances",
                       "ec2:CreateTags"],
        }]});
        role.policies.push(policy.to_string());
        let pass = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Action": "iam:PassRole", "Resource": "*",
            "Condition": {"StringLike": {"iam:PassedToService": "ec2.amazonaws.com*"}},
        }]});
        role.policies.push(pass.to_string());
    }
    if role.trusts.is_empty() {
        role.trusts.push(service);
    }
    role
}

/// Returns the names of declared policies, `policy-1` and so on.
pub(in crate::aws) fn policy_names(count: usize) -> Vec<String> {
    (1..=count).map(|i| format!("policy-{i}")).collect()
}

pub(super) fn add_user(
    aws: &mut Aws,
    account: &str,
    user: &User,
    at: &str,
) -> Result<(), WorldError> {
    let given: Vec<&str> = user.policies.iter().map(String::as_str).collect();
    let live = LivePrincipal {
        policies: policies(&given, &format!("{at}.policies"))?,
        policy_names: policy_names(given.len()),
        tags: BTreeMap::new(),
        trust: None,
        trust_text: String::new(),
        description: None,
        created: aws.now,
        known_to_kms_at: aws.now,
        max_session_seconds: 0,
    };
    let arn = aws.iam_arn(account, &format!("user/{}", user.name));
    add_principal(aws, &arn, live, at)
}

fn add_principal(
    aws: &mut Aws,
    arn: &str,
    live: LivePrincipal,
    at: &str,
) -> Result<(), WorldError> {
    if arn.ends_with('/') {
        return fault(at, "name", "a principal needs a name");
    }
    if aws.principals.insert(arn.to_owned(), live).is_some() {
        return fault(at, "name", format!("{arn} is declared twice"));
    }
    Ok(())
}

fn trust_policy(role: &Role) -> Value {
    let suffixes = [".amazonaws.com", ".amazonaws.com.cn"];
    let service = |name: &&String| suffixes.iter().any(|suffix| name.ends_with(suffix));
    let services: Vec<_> = role.trusts.iter().filter(service).collect();
    let principals: Vec<_> = role.trusts.iter().filter(|name| !service(name)).collect();
    let mut statements = Vec::new();
    let lambda = "lambda.amazonaws.com".to_owned();
    if !principals.is_empty() {
        let mut statement = json!({
            "Effect": "Allow", "Principal": {"AWS": principals}, "Action": "sts:AssumeRole",
        });
        if let Some(id) = &role.external_id {
            statement["Condition"] = json!({"StringEquals": {"sts:ExternalId": id}});
        }
        statements.push(statement);
    }
    if !services.is_empty() || principals.is_empty() {
        let services = if services.is_empty() {
            vec![&lambda]
        } else {
            services
        };
        statements.push(json!({
            "Effect": "Allow", "Principal": {"Service": services}, "Action": "sts:AssumeRole",
        }));
    }
    json!({"Version": "2012-10-17", "Statement": statements})
}

pub(super) fn add_access_key(
    aws: &mut Aws,
    account: &str,
    key: &AccessKey,
    at: &str,
) -> Result<(), WorldError> {
    let arn = &key.principal;
    if !aws.principals.contains_key(arn) || account_of(arn) != Some(account) {
        return fault(
            at,
            "principal",
            format!("{arn} is no role or user of this account"),
        );
    }
    if key.id.is_empty() || !key.id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return fault(at, "id", format!("{:?} is not an access key ID", key.id));
    }
    let mut caller = caller(aws, account, arn, "sandbox", None);
    caller
        .principal
        .source_function
        .clone_from(&key.source_function);
    let credential = Credential {
        secret: key.secret.clone(),
        session_token: key.session_token.clone(),
        expires: key
            .valid_seconds
            .map(|seconds| aws.now + Duration::from_secs(seconds.into())),
        global: false,
        caller,
    };
    if aws.credentials.insert(key.id.clone(), credential).is_some() {
        return fault(at, "id", format!("access key {} is declared twice", key.id));
    }
    Ok(())
}

/// Returns a caller that acts as this role or user; a role always acts in a session.
pub(crate) fn caller(
    aws: &Aws,
    account: &str,
    identity: &str,
    session: &str,
    session_policy: Option<Arc<Policy>>,
) -> Caller {
    let role = identity.split_once(":role/").map(|(_, path)| path);
    let name = role.map(|path| path.rsplit('/').next().unwrap_or(path));
    let arn = name.map_or_else(
        || identity.to_owned(),
        |name| {
            let partition = aws.partition_of(account).name;
            format!("arn:{partition}:sts::{account}:assumed-role/{name}/{session}")
        },
    );
    Caller {
        principal: iam::Principal {
            arn,
            role_arn: name.map(|_| identity.to_owned()),
            account: account.to_owned(),
            org_id: aws.organization_of(account).map(str::to_owned),
            org_path: aws.organization_path_of(account),
            service: None,
            source_function: None,
        },
        identity: identity.to_owned(),
        session_policy,
    }
}
