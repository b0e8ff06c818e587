//! The world that a sandbox starts from: accounts with their principals, keys, snapshots, images,
//! launch templates, parameters, buckets and stacks, and the delays, limits and habits of AWS. A
//! world is written in Rust with these builders, or in TOML (see `worlds/demo.toml`).
//!
//! This module checks shapes only; `Aws::from_world` checks that names fit together.

mod account;
mod bucket;
mod facts;
mod file;
mod late_reads;
mod launch_template;
mod organization;
mod parameter;
mod principals;
mod stack;

use std::time::Duration;

use serde::Deserialize;

pub use account::{Account, Key};
pub use bucket::Bucket;
pub use facts::Facts;
pub use file::WorldError;
pub(crate) use file::read;
pub use late_reads::LateReads;
pub use launch_template::LaunchTemplate;
pub use organization::{Organization, OrganizationalUnit};
pub use parameter::Parameter;
pub use principals::{AccessKey, FULL_AWS_ACCESS, Role, User};
pub use stack::Stack;

/// The world that a sandbox starts from. Durations are AWS's own; `speed` divides them.
#[derive(Clone, Debug)]
pub struct World {
    /// The accounts.
    pub accounts: Vec<Account>,
    /// The organization.
    pub organization: Option<Organization>,
    /// The factor by which the world's durations are divided.
    pub speed: f64,
    /// The speed of every copy, in MiB/s.
    pub copy_mib_per_second: f64,
    /// The time that every copy takes before its first byte.
    pub copy_start: Duration,
    /// The time added to every call, before the service reads it.
    pub latency: Duration,
    /// The time until a new grant is known to every node of KMS. The first nodes know it earlier.
    pub grant_delay: Duration,
    /// The time until a new createVolumePermission is known to every node of EC2 that CopySnapshot
    /// may meet.
    pub permission_delay: Duration,
    /// The time until describe calls show new tags.
    pub tag_delay: Duration,
    /// The time until describe calls show a new snapshot or image.
    pub read_delay: Duration,
    /// The time that describe calls still show a deleted snapshot or deregistered image.
    pub gone_delay: Duration,
    /// The time that RegisterImage leaves an image `pending`.
    pub registration_delay: Duration,
    /// The time that a name stays taken after its image was deregistered.
    pub name_delay: Duration,
    /// The time until grants and key policies may name a role that CreateServiceLinkedRole created.
    pub principal_delay: Duration,
    /// The time until a key policy that was put is in force; GetKeyPolicy shows it at once.
    pub policy_delay: Duration,
    /// The delays with which reads show changes that are in effect.
    pub late_reads: LateReads,
    /// The quotas.
    pub limits: Limits,
    /// Undocumented habits of AWS.
    pub facts: Facts,
}

/// Quotas, and habits of AWS that are off by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The limit of snapshot copies under way, for each destination account and Region.
    pub concurrent_copies: usize,
    /// The limit of CopyImage calls under way, for each destination account and Region.
    pub concurrent_image_copies: usize,
    /// The limit of grants on a key.
    pub grants_per_key: usize,
    /// Whether token buckets per account, Region and action throttle calls.
    pub throttling: bool,
    /// Whether paginated answers begin with an empty page that carries a token.
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
            permission_delay: Duration::ZERO,
            tag_delay: Duration::ZERO,
            read_delay: Duration::ZERO,
            gone_delay: Duration::ZERO,
            registration_delay: Duration::ZERO,
            name_delay: Duration::ZERO,
            principal_delay: Duration::ZERO,
            policy_delay: Duration::ZERO,
            late_reads: LateReads::default(),
            limits: Limits::default(),
            facts: Facts::default(),
        }
    }
}

impl World {
    /// Returns an empty world with AWS's usual delays.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an account.
    #[must_use]
    pub fn account(mut self, account: Account) -> Self {
        self.accounts.push(account);
        self
    }

    /// Sets the organization.
    #[must_use]
    pub fn organization(mut self, organization: Organization) -> Self {
        self.organization = Some(organization);
        self
    }

    /// Sets the factor by which durations are divided.
    #[must_use]
    pub fn speed(mut self, factor: f64) -> Self {
        self.speed = factor;
        self
    }

    /// Sets the speed of copies, in MiB/s.
    #[must_use]
    pub fn copy_mib_per_second(mut self, rate: f64) -> Self {
        self.copy_mib_per_second = rate;
        self
    }

    /// Sets [`copy_start`](Self::copy_start).
    #[must_use]
    pub fn copy_start(mut self, time: Duration) -> Self {
        self.copy_start = time;
        self
    }

    /// Sets [`latency`](Self::latency).
    #[must_use]
    pub fn latency(mut self, time: Duration) -> Self {
        self.latency = time;
        self
    }

    /// Sets [`grant_delay`](Self::grant_delay).
    #[must_use]
    pub fn grant_delay(mut self, time: Duration) -> Self {
        self.grant_delay = time;
        self
    }

    /// Sets [`permission_delay`](Self::permission_delay).
    #[must_use]
    pub fn permission_delay(mut self, time: Duration) -> Self {
        self.permission_delay = time;
        self
    }

    /// Sets [`tag_delay`](Self::tag_delay).
    #[must_use]
    pub fn tag_delay(mut self, time: Duration) -> Self {
        self.tag_delay = time;
        self
    }

    /// Sets [`read_delay`](Self::read_delay).
    #[must_use]
    pub fn read_delay(mut self, time: Duration) -> Self {
        self.read_delay = time;
        self
    }

    /// Sets [`gone_delay`](Self::gone_delay).
    #[must_use]
    pub fn gone_delay(mut self, time: Duration) -> Self {
        self.gone_delay = time;
        self
    }

    /// Sets [`registration_delay`](Self::registration_delay).
    #[must_use]
    pub fn registration_delay(mut self, time: Duration) -> Self {
        self.registration_delay = time;
        self
    }

    /// Sets [`name_delay`](Self::name_delay).
    #[must_use]
    pub fn name_delay(mut self, time: Duration) -> Self {
        self.name_delay = time;
        self
    }

    /// Sets [`principal_delay`](Self::principal_delay).
    #[must_use]
    pub fn principal_delay(mut self, time: Duration) -> Self {
        self.principal_delay = time;
        self
    }

    /// Sets [`policy_delay`](Self::policy_delay).
    #[must_use]
    pub fn policy_delay(mut self, time: Duration) -> Self {
        self.policy_delay = time;
        self
    }

    /// Sets the delays of late reads.
    #[must_use]
    pub fn late_reads(mut self, late_reads: LateReads) -> Self {
        self.late_reads = late_reads;
        self
    }

    /// Sets the quotas.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the undocumented habits of AWS.
    #[must_use]
    pub fn facts(mut self, facts: Facts) -> Self {
        self.facts = facts;
        self
    }
}
