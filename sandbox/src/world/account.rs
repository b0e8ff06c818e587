//! An account of a world and its KMS keys, and their builders.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use serde::Deserialize;

use super::{AccessKey, Bucket, LaunchTemplate, Parameter, Role, Stack, User};
use crate::model::{Ec2Settings, Image, Snapshot};

/// An AWS account, in all Regions.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The account ID: twelve digits.
    pub id: String,
    /// The partition of all its Regions: `aws` by default, `aws-cn` or `aws-us-gov`.
    #[serde(default)]
    pub partition: Option<String>,
    /// The ID of its organization, `o-…`: the world's organization, or another known only by its
    /// ID.
    #[serde(default)]
    pub organization: Option<String>,
    /// The OU `ou-…` of the world's organization that holds the account, or the root `r-…`, which
    /// is the default.
    #[serde(default)]
    pub parent: Option<String>,
    /// The state as a member, by default `ACTIVE`. A closed or suspended account refuses its
    /// callers.
    #[serde(default)]
    pub state: Option<String>,
    /// The name as a member, by default the account ID.
    #[serde(default)]
    pub name: Option<String>,
    /// The service control policies that limit the account, as JSON, inherited ones included.
    /// FullAWSAccess applies by default. A list that only denies needs [`FULL_AWS_ACCESS`] beside
    /// it.
    #[serde(default)]
    pub service_control_policies: Vec<String>,
    /// The access keys of its roles and users.
    #[serde(default, rename = "access_key")]
    pub access_keys: Vec<AccessKey>,
    /// The roles.
    #[serde(default, rename = "role")]
    pub roles: Vec<Role>,
    /// The users.
    #[serde(default, rename = "user")]
    pub users: Vec<User>,
    /// The KMS keys.
    #[serde(default, rename = "key")]
    pub keys: Vec<Key>,
    /// The snapshots.
    #[serde(default, rename = "snapshot")]
    pub snapshots: Vec<Snapshot>,
    /// The images.
    #[serde(default, rename = "image")]
    pub images: Vec<Image>,
    /// Images whose instances fail their status checks: IDs or names, of the images or of those
    /// that they were copied from.
    #[serde(default)]
    pub impaired_images: Vec<String>,
    /// The buckets.
    #[serde(default, rename = "bucket")]
    pub buckets: Vec<Bucket>,
    /// The stacks of CloudFormation.
    #[serde(default, rename = "stack")]
    pub stacks: Vec<Stack>,
    /// The launch templates.
    #[serde(default, rename = "launch_template")]
    pub launch_templates: Vec<LaunchTemplate>,
    /// The parameters of Parameter Store.
    #[serde(default, rename = "parameter")]
    pub parameters: Vec<Parameter>,
    /// The opt-in Regions that the account has disabled.
    #[serde(default)]
    pub disabled_regions: BTreeSet<String>,
    /// The settings of EC2, by Region.
    #[serde(default)]
    pub ec2_settings: BTreeMap<String, Ec2Settings>,
    /// (Region, key) of the keys that EBS encrypts with when none is named, by default
    /// `alias/aws/ebs`.
    #[serde(default)]
    pub ebs_default_keys: Vec<(String, String)>,
}

impl Account {
    /// Returns an empty account with this ID.
    pub fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            ..Self::default()
        }
    }

    /// Adds a long-lived access key of a role or user of this account.
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

    /// Adds the credentials that Lambda gives this function for its role. Requests signed with them
    /// carry `lambda:SourceFunctionArn`.
    #[must_use]
    pub fn function_key(self, id: &str, secret: &str, role_arn: &str, function_arn: &str) -> Self {
        let mut account = self.access_key(id, secret, role_arn);
        if let Some(key) = account.access_keys.last_mut() {
            key.source_function = Some(function_arn.to_owned());
        }
        account
    }

    /// Sets the partition: `aws-cn` or `aws-us-gov`.
    #[must_use]
    pub fn partition(mut self, name: &str) -> Self {
        self.partition = Some(name.to_owned());
        self
    }

    /// Sets the ID of its organization.
    #[must_use]
    pub fn organization(mut self, id: &str) -> Self {
        self.organization = Some(id.to_owned());
        self
    }

    /// Makes the account a member of the world's organization, in this OU or in the root.
    #[must_use]
    pub fn parent(mut self, id: &str) -> Self {
        self.parent = Some(id.to_owned());
        self
    }

    /// Sets the state: `ACTIVE`, `SUSPENDED`, `PENDING_CLOSURE`, `PENDING_ACTIVATION` or `CLOSED`.
    #[must_use]
    pub fn state(mut self, state: &str) -> Self {
        self.state = Some(state.to_owned());
        self
    }

    /// Adds one of the [`service_control_policies`](Self::service_control_policies).
    #[must_use]
    pub fn service_control_policy(mut self, json: impl Display) -> Self {
        self.service_control_policies.push(json.to_string());
        self
    }

    /// Sets the name as a member.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Adds a role.
    #[must_use]
    pub fn role(mut self, role: Role) -> Self {
        self.roles.push(role);
        self
    }

    /// Adds a user.
    #[must_use]
    pub fn user(mut self, user: User) -> Self {
        self.users.push(user);
        self
    }

    /// Adds a KMS key.
    #[must_use]
    pub fn key(mut self, key: Key) -> Self {
        self.keys.push(key);
        self
    }

    /// Adds a snapshot.
    #[must_use]
    pub fn snapshot(mut self, snapshot: Snapshot) -> Self {
        self.snapshots.push(snapshot);
        self
    }

    /// Adds an image.
    #[must_use]
    pub fn image(mut self, image: Image) -> Self {
        self.images.push(image);
        self
    }

    /// Adds one of the [`impaired_images`](Self::impaired_images).
    #[must_use]
    pub fn impaired_image(mut self, image: &str) -> Self {
        self.impaired_images.push(image.to_owned());
        self
    }

    /// Adds a bucket.
    #[must_use]
    pub fn bucket(mut self, bucket: Bucket) -> Self {
        self.buckets.push(bucket);
        self
    }

    /// Adds a stack of CloudFormation.
    #[must_use]
    pub fn stack(mut self, stack: Stack) -> Self {
        self.stacks.push(stack);
        self
    }

    /// Adds a launch template.
    #[must_use]
    pub fn launch_template(mut self, template: LaunchTemplate) -> Self {
        self.launch_templates.push(template);
        self
    }

    /// Adds a parameter of Parameter Store.
    #[must_use]
    pub fn parameter(mut self, parameter: Parameter) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// Disables an opt-in Region.
    #[must_use]
    pub fn region_disabled(mut self, region: &str) -> Self {
        self.disabled_regions.insert(region.to_owned());
        self
    }

    /// Sets the settings of EC2 in a Region.
    #[must_use]
    pub fn ec2_settings(mut self, region: &str, settings: Ec2Settings) -> Self {
        self.ec2_settings.insert(region.to_owned(), settings);
        self
    }

    /// Sets the key that EBS encrypts with in a Region when none is named.
    #[must_use]
    pub fn ebs_default_key(mut self, region: &str, key: &str) -> Self {
        self.ebs_default_keys
            .push((region.to_owned(), key.to_owned()));
        self
    }
}

/// A customer-managed KMS key, by default symmetric. Keys of one account with the same ID, which
/// begins with `mrk-`, are one multi-Region key. Each has a policy, grants and a state of its own;
/// the first is the primary.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The Region.
    pub region: String,
    /// The key's ID.
    pub id: String,
    /// The aliases, `alias/…`.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// The key policy as JSON. The default policy lets the account's IAM policies decide.
    #[serde(default)]
    pub policy: Option<String>,
    /// The state: `Enabled`, `Disabled`, `PendingDeletion`, `PendingImport` or `Unavailable`.
    #[serde(default)]
    pub state: Option<String>,
    /// The key spec, by default `SYMMETRIC_DEFAULT`; `RSA_2048`, `ECC_NIST_P256`, `HMAC_256`, ….
    #[serde(default)]
    pub spec: Option<String>,
    /// The usage, where the spec leaves a choice: `ENCRYPT_DECRYPT`, `SIGN_VERIFY`, ….
    #[serde(default)]
    pub usage: Option<String>,
    /// The description.
    #[serde(default)]
    pub description: String,
}

impl Key {
    /// Returns an enabled symmetric key with the default policy.
    pub fn new(region: &str, id: &str) -> Self {
        Self {
            region: region.to_owned(),
            id: id.to_owned(),
            ..Self::default()
        }
    }

    /// Adds an alias, `alias/…`.
    #[must_use]
    pub fn alias(mut self, alias: &str) -> Self {
        self.aliases.push(alias.to_owned());
        self
    }

    /// Sets the key policy.
    #[must_use]
    pub fn policy(mut self, json: impl Display) -> Self {
        self.policy = Some(json.to_string());
        self
    }

    /// Sets the state.
    #[must_use]
    pub fn state(mut self, state: &str) -> Self {
        self.state = Some(state.to_owned());
        self
    }

    /// Sets the key spec: `HMAC_256`, `RSA_2048`, ….
    #[must_use]
    pub fn spec(mut self, spec: &str) -> Self {
        self.spec = Some(spec.to_owned());
        self
    }
}
