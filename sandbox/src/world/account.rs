//! One account of a world, and the builders of what it holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use serde::Deserialize;

use super::Bucket;
use crate::model::{Ec2Settings, Image, Snapshot};

/// One AWS account, in all Regions.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Twelve digits.
    pub id: String,
    /// `aws`, which goes without saying, `aws-cn` or `aws-us-gov`: where all its Regions are.
    #[serde(default)]
    pub partition: Option<String>,
    /// The ID of its organization, `o-…`: the world's, or another of which nothing else is known.
    #[serde(default)]
    pub organization: Option<String>,
    /// Where it is in the world's organization: `ou-…`, or `r-…`, which goes without saying.
    #[serde(default)]
    pub parent: Option<String>,
    /// Its state as a member; `ACTIVE` unless said otherwise. A closed or suspended account refuses its callers.
    #[serde(default)]
    pub state: Option<String>,
    /// Its name as a member; its ID unless said otherwise.
    #[serde(default)]
    pub name: Option<String>,
    /// All that limit it as a member, as JSON, inherited ones included; without any, FullAWSAccess. They must allow as
    /// well as deny: [`FULL_AWS_ACCESS`] stands beside a policy that only denies.
    #[serde(default)]
    pub service_control_policies: Vec<String>,
    #[serde(default, rename = "access_key")]
    pub access_keys: Vec<AccessKey>,
    #[serde(default, rename = "role")]
    pub roles: Vec<Role>,
    #[serde(default, rename = "user")]
    pub users: Vec<User>,
    #[serde(default, rename = "key")]
    pub keys: Vec<Key>,
    #[serde(default, rename = "snapshot")]
    pub snapshots: Vec<Snapshot>,
    #[serde(default, rename = "image")]
    pub images: Vec<Image>,
    #[serde(default, rename = "bucket")]
    pub buckets: Vec<Bucket>,
    /// Opt-in Regions that this account has disabled.
    #[serde(default)]
    pub disabled_regions: BTreeSet<String>,
    /// By Region.
    #[serde(default)]
    pub ec2_settings: BTreeMap<String, Ec2Settings>,
    /// (Region, key): what EBS encrypts with when no key is named; `alias/aws/ebs` otherwise.
    #[serde(default)]
    pub ebs_default_keys: Vec<(String, String)>,
}

impl Account {
    pub fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            ..Self::default()
        }
    }

    /// A long-lived key of a role or user declared in this account.
    #[must_use]
    pub fn access_key(mut self, id: &str, secret: &str, principal_arn: &str) -> Self {
        self.access_keys.push(AccessKey {
            id: id.to_owned(),
            secret: secret.to_owned(),
            principal: principal_arn.to_owned(),
            session_token: None,
            valid_seconds: None,
            source_function: None,
        });
        self
    }

    /// The credentials that Lambda gives this function for its role: requests signed with them
    /// carry `lambda:SourceFunctionArn`.
    #[must_use]
    pub fn function_key(self, id: &str, secret: &str, role_arn: &str, function_arn: &str) -> Self {
        let mut account = self.access_key(id, secret, role_arn);
        if let Some(key) = account.access_keys.last_mut() {
            key.source_function = Some(function_arn.to_owned());
        }
        account
    }

    /// `aws-cn` or `aws-us-gov`.
    #[must_use]
    pub fn partition(mut self, name: &str) -> Self {
        self.partition = Some(name.to_owned());
        self
    }

    #[must_use]
    pub fn organization(mut self, id: &str) -> Self {
        self.organization = Some(id.to_owned());
        self
    }

    /// A member of the world's organization, in this OU or in the root.
    #[must_use]
    pub fn parent(mut self, id: &str) -> Self {
        self.parent = Some(id.to_owned());
        self
    }

    /// `ACTIVE`, `SUSPENDED`, `PENDING_CLOSURE`, `PENDING_ACTIVATION` or `CLOSED`.
    #[must_use]
    pub fn state(mut self, state: &str) -> Self {
        self.state = Some(state.to_owned());
        self
    }

    /// One more of [`service_control_policies`](Self::service_control_policies).
    #[must_use]
    pub fn service_control_policy(mut self, json: impl Display) -> Self {
        self.service_control_policies.push(json.to_string());
        self
    }

    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    #[must_use]
    pub fn role(mut self, role: Role) -> Self {
        self.roles.push(role);
        self
    }

    #[must_use]
    pub fn user(mut self, user: User) -> Self {
        self.users.push(user);
        self
    }

    #[must_use]
    pub fn key(mut self, key: Key) -> Self {
        self.keys.push(key);
        self
    }

    #[must_use]
    pub fn snapshot(mut self, snapshot: Snapshot) -> Self {
        self.snapshots.push(snapshot);
        self
    }

    #[must_use]
    pub fn image(mut self, image: Image) -> Self {
        self.images.push(image);
        self
    }

    #[must_use]
    pub fn bucket(mut self, bucket: Bucket) -> Self {
        self.buckets.push(bucket);
        self
    }

    #[must_use]
    pub fn region_disabled(mut self, region: &str) -> Self {
        self.disabled_regions.insert(region.to_owned());
        self
    }

    #[must_use]
    pub fn ec2_settings(mut self, region: &str, settings: Ec2Settings) -> Self {
        self.ec2_settings.insert(region.to_owned(), settings);
        self
    }

    #[must_use]
    pub fn ebs_default_key(mut self, region: &str, key: &str) -> Self {
        self.ebs_default_keys
            .push((region.to_owned(), key.to_owned()));
        self
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessKey {
    pub id: String,
    pub secret: String,
    /// ARN of a role or user of the same account.
    pub principal: String,
    /// Makes the key a temporary one, which counts only together with this token.
    #[serde(default)]
    pub session_token: Option<String>,
    /// How long it counts, from the start of the world; 0 has expired already. For good, if absent.
    #[serde(default)]
    pub valid_seconds: Option<u32>,
    /// ARN of the Lambda function that has this key in its environment; `lambda:SourceFunctionArn`
    /// of its requests.
    #[serde(default)]
    pub source_function: Option<String>,
}

/// An IAM role: who may assume it, and what it may do.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// With its path if it has one: `aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot`, which makes it a
    /// service-linked role: trusted by its service, and with AWS's policies unless others are given.
    pub name: String,
    /// Principals that may assume it: ARNs, account IDs, or `….amazonaws.com`.
    #[serde(default)]
    pub trusts: Vec<String>,
    #[serde(default)]
    pub external_id: Option<String>,
    /// The whole trust policy as JSON, in place of `trusts` and `external_id`.
    #[serde(default)]
    pub trust_policy: Option<String>,
    /// Identity policies, as JSON.
    #[serde(default)]
    pub policies: Vec<String>,
    /// Longest session in seconds; an hour unless said otherwise.
    #[serde(default)]
    pub max_session_seconds: Option<u32>,
}

impl Role {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// The role by which a service of AWS acts in the account: `autoscaling.amazonaws.com`,
    /// `AWSServiceRoleForAutoScaling`. [`Aws::act_as_service`](crate::Aws::act_as_service) gives its credentials.
    pub fn service_linked(service: &str, name: &str) -> Self {
        Self::new(&format!("aws-service-role/{service}/{name}"))
    }

    /// A role that may do everything, for tests about something else.
    pub fn admin(name: &str) -> Self {
        Self::new(name).policy(ALLOW_EVERYTHING)
    }

    #[must_use]
    pub fn trusts(mut self, principal: &str) -> Self {
        self.trusts.push(principal.to_owned());
        self
    }

    #[must_use]
    pub fn external_id(mut self, id: &str) -> Self {
        self.external_id = Some(id.to_owned());
        self
    }

    #[must_use]
    pub fn trust_policy(mut self, json: impl Display) -> Self {
        self.trust_policy = Some(json.to_string());
        self
    }

    #[must_use]
    pub fn policy(mut self, json: impl Display) -> Self {
        self.policies.push(json.to_string());
        self
    }
}

/// An IAM user.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    pub name: String,
    /// Identity policies, as JSON.
    #[serde(default)]
    pub policies: Vec<String>,
}

impl User {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            policies: Vec::new(),
        }
    }

    /// A user that may do everything, for tests about something else.
    pub fn admin(name: &str) -> Self {
        Self::new(name).policy(ALLOW_EVERYTHING)
    }

    #[must_use]
    pub fn policy(mut self, json: impl Display) -> Self {
        self.policies.push(json.to_string());
        self
    }
}

/// A customer-managed KMS key, symmetric unless said otherwise. Keys of one account whose IDs begin with `mrk-` and are the same are one
/// multi-Region key: each has a policy, grants and a state of its own, and the first is the primary.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    pub region: String,
    pub id: String,
    /// `alias/…`
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Key policy as JSON; without one, the default policy that lets the account's IAM policies decide.
    #[serde(default)]
    pub policy: Option<String>,
    /// `Enabled`, `Disabled`, `PendingDeletion`, `PendingImport` or `Unavailable`.
    #[serde(default)]
    pub state: Option<String>,
    /// `SYMMETRIC_DEFAULT` unless said otherwise; `RSA_2048`, `ECC_NIST_P256`, `HMAC_256`, …
    #[serde(default)]
    pub spec: Option<String>,
    /// `ENCRYPT_DECRYPT`, `SIGN_VERIFY`, …, where the spec leaves a choice.
    #[serde(default)]
    pub usage: Option<String>,
    #[serde(default)]
    pub description: String,
}

impl Key {
    pub fn new(region: &str, id: &str) -> Self {
        Self {
            region: region.to_owned(),
            id: id.to_owned(),
            ..Self::default()
        }
    }

    #[must_use]
    pub fn alias(mut self, alias: &str) -> Self {
        self.aliases.push(alias.to_owned());
        self
    }

    #[must_use]
    pub fn policy(mut self, json: impl Display) -> Self {
        self.policy = Some(json.to_string());
        self
    }

    #[must_use]
    pub fn state(mut self, state: &str) -> Self {
        self.state = Some(state.to_owned());
        self
    }

    /// `HMAC_256`, `RSA_2048`, …
    #[must_use]
    pub fn spec(mut self, spec: &str) -> Self {
        self.spec = Some(spec.to_owned());
        self
    }
}

/// The service control policy that AWS attaches everywhere.
pub const FULL_AWS_ACCESS: &str = ALLOW_EVERYTHING;

const ALLOW_EVERYTHING: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
