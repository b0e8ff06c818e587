//! What a sandbox starts from: accounts with their principals, keys, snapshots, images and buckets,
//! and how slow and how strict AWS is. Written in Rust with the builders here, or in TOML (see `worlds/demo.toml`).
//!
//! Nothing is judged here but shapes; `Aws::from_world` checks that names fit together.

mod account;
mod bucket;
mod file;
mod late_reads;
mod organization;

use std::time::Duration;

use serde::Deserialize;

pub use account::{AccessKey, Account, FULL_AWS_ACCESS, Key, Role, User};
pub use bucket::Bucket;
pub use file::WorldError;
pub(crate) use file::read;
pub use late_reads::LateReads;
pub use organization::{Organization, OrganizationalUnit};

/// Everything a sandbox starts from. Durations are AWS's own; `speed` divides them.
#[derive(Clone, Debug)]
pub struct World {
    pub accounts: Vec<Account>,
    pub organization: Option<Organization>,
    pub speed: f64,
    pub copy_mib_per_second: f64,
    /// What every copy takes before its first byte.
    pub copy_start: Duration,
    /// Added to every call, before it is looked at.
    pub latency: Duration,
    /// How long a new grant takes to count with every node of KMS; calls that come to the first ones see it earlier.
    pub grant_delay: Duration,
    /// How long new tags take to show in describe calls.
    pub tag_delay: Duration,
    /// How long a new snapshot or image takes to show in describe calls.
    pub read_delay: Duration,
    /// How long a deleted snapshot or deregistered image still shows in describe calls.
    pub gone_delay: Duration,
    /// How long RegisterImage leaves an image `pending`.
    pub registration_delay: Duration,
    /// How long a name stays taken after its image was deregistered.
    pub name_delay: Duration,
    /// How long a role made by CreateServiceLinkedRole is nobody for KMS: neither a grant nor a key policy may name it.
    pub principal_delay: Duration,
    /// How long a key policy that was put takes to count; GetKeyPolicy shows it at once.
    pub policy_delay: Duration,
    /// How late reads show what is in effect.
    pub late_reads: LateReads,
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
            organization: None,
            speed: 1.0,
            copy_mib_per_second: 250.0,
            copy_start: Duration::from_secs(5),
            latency: Duration::ZERO,
            grant_delay: Duration::ZERO,
            tag_delay: Duration::ZERO,
            read_delay: Duration::ZERO,
            gone_delay: Duration::ZERO,
            registration_delay: Duration::ZERO,
            name_delay: Duration::ZERO,
            principal_delay: Duration::ZERO,
            policy_delay: Duration::ZERO,
            late_reads: LateReads::default(),
            limits: Limits::default(),
        }
    }
}

impl World {
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn account(mut self, account: Account) -> Self {
        self.accounts.push(account);
        self
    }

    #[must_use]
    pub fn organization(mut self, organization: Organization) -> Self {
        self.organization = Some(organization);
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
    pub fn gone_delay(mut self, time: Duration) -> Self {
        self.gone_delay = time;
        self
    }

    #[must_use]
    pub fn registration_delay(mut self, time: Duration) -> Self {
        self.registration_delay = time;
        self
    }

    #[must_use]
    pub fn name_delay(mut self, time: Duration) -> Self {
        self.name_delay = time;
        self
    }

    #[must_use]
    pub fn principal_delay(mut self, time: Duration) -> Self {
        self.principal_delay = time;
        self
    }

    #[must_use]
    pub fn policy_delay(mut self, time: Duration) -> Self {
        self.policy_delay = time;
        self
    }

    #[must_use]
    pub fn late_reads(mut self, late_reads: LateReads) -> Self {
        self.late_reads = late_reads;
        self
    }

    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}
