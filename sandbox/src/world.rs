//! What a sandbox starts from: accounts with their principals, keys, snapshots and images, and how slow and how
//! strict AWS is. Written in Rust with the builders here, or in TOML (see `worlds/demo.toml`).
//!
//! Nothing is judged here but shapes; `Aws::from_world` checks that names fit together.

mod file;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::time::Duration;

use serde::Deserialize;

pub use file::WorldError;

use crate::model::{Image, Snapshot};

/// Everything a sandbox starts from. Durations are AWS's own; `speed` divides them.
#[derive(Clone, Debug)]
pub struct World {
    pub accounts: Vec<Account>,
    pub speed: f64,
    pub copy_mib_per_second: f64,
    /// What every copy takes before its first byte.
    pub copy_start: Duration,
    /// Added to every call, before it is looked at.
    pub latency: Duration,
    /// How long a new grant takes to count.
    pub grant_delay: Duration,
    /// How long new tags take to show in describe calls.
    pub tag_delay: Duration,
    /// How long a new snapshot or image takes to show in describe calls.
    pub read_delay: Duration,
    /// How long RegisterImage leaves an image `pending`.
    pub registration_delay: Duration,
    pub limits: Limits,
}

/// Quotas, and AWS habits that are off unless asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Snapshot copies under way per destination account and Region.
    pub concurrent_copies: usize,
    /// CopyImage calls under way per destination account and Region.
    pub concurrent_image_copies: usize,
    pub grants_per_key: usize,
    /// Token buckets per account, Region and action.
    pub throttling: bool,
    /// Paginated answers begin with an empty page that carries a token.
    pub empty_pages: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrent_copies: 20,
            concurrent_image_copies: 300,
            grants_per_key: 50_000,
            throttling: false,
            empty_pages: false,
        }
    }
}

impl Default for World {
    fn default() -> Self {
        Self {
            accounts: Vec::new(),
            speed: 1.0,
            copy_mib_per_second: 250.0,
            copy_start: Duration::from_secs(5),
            latency: Duration::ZERO,
            grant_delay: Duration::ZERO,
            tag_delay: Duration::ZERO,
            read_delay: Duration::ZERO,
            registration_delay: Duration::ZERO,
            limits: Limits::default(),
        }
    }
}

impl World {
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a world file; the error names the key at fault.
    pub fn from_toml(text: &str) -> Result<Self, WorldError> {
        file::read(text)
    }

    #[must_use]
    pub fn account(mut self, account: Account) -> Self {
        self.accounts.push(account);
        self
    }

    #[must_use]
    pub fn speed(mut self, factor: f64) -> Self {
        self.speed = factor;
        self
    }

    #[must_use]
    pub fn copy_mib_per_second(mut self, rate: f64) -> Self {
        self.copy_mib_per_second = rate;
        self
    }

    #[must_use]
    pub fn copy_start(mut self, time: Duration) -> Self {
        self.copy_start = time;
        self
    }

    #[must_use]
    pub fn latency(mut self, time: Duration) -> Self {
        self.latency = time;
        self
    }

    #[must_use]
    pub fn grant_delay(mut self, time: Duration) -> Self {
        self.grant_delay = time;
        self
    }

    #[must_use]
    pub fn tag_delay(mut self, time: Duration) -> Self {
        self.tag_delay = time;
        self
    }

    #[must_use]
    pub fn read_delay(mut self, time: Duration) -> Self {
        self.read_delay = time;
        self
    }

    #[must_use]
    pub fn registration_delay(mut self, time: Duration) -> Self {
        self.registration_delay = time;
        self
    }

    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}

/// One AWS account, in all Regions.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Twelve digits.
    pub id: String,
    /// The organization's ID, `o-…`.
    #[serde(default)]
    pub organization: Option<String>,
    /// OUs from its own up to the root, as ARNs, for launch permissions.
    #[serde(default)]
    pub organizational_units: BTreeSet<String>,
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
    /// Opt-in Regions that this account has disabled.
    #[serde(default)]
    pub disabled_regions: BTreeSet<String>,
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
        });
        self
    }

    #[must_use]
    pub fn organization(mut self, id: &str) -> Self {
        self.organization = Some(id.to_owned());
        self
    }

    #[must_use]
    pub fn organizational_unit(mut self, arn: &str) -> Self {
        self.organizational_units.insert(arn.to_owned());
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
    pub fn region_disabled(mut self, region: &str) -> Self {
        self.disabled_regions.insert(region.to_owned());
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
}

/// An IAM role: who may assume it, and what it may do.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// With its path if it has one: `aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot`.
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

/// A customer-managed, symmetric KMS key.
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
    /// `Enabled`, `Disabled` or `PendingDeletion`.
    #[serde(default)]
    pub state: Option<String>,
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
}

const ALLOW_EVERYTHING: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
