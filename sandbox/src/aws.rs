//! The live world: the resources that exist, the principals that may act, and the work under way.
//!
//! The module keeps state and its consistency. The services decide whether a caller may do
//! something. There are no background tasks: `ec2::settle` brings everything that is due up to a
//! moment.

mod buckets;
mod build;
mod copies;
mod credentials;
mod edit;
mod executions;
mod fast_restores;
mod gone;
mod groups;
mod ids;
mod instances;
mod keys;
mod late;
mod launch_templates;
mod locks;
mod organization;
mod owned;
mod parameters;
mod partitions;
mod policies;
mod roles;
mod settings;
mod shown;
mod tables;
mod views;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub(crate) use buckets::{LiveBucket, LiveObject};
pub(crate) use build::{caller, key_arn, managed_key};
pub(crate) use copies::{Copies, Copying};
pub use credentials::SessionCredentials;
pub(crate) use credentials::{is_service_linked, service_of};
pub(crate) use executions::{Execution, execution_arn};
pub(crate) use fast_restores::{FastRestoreKey, LiveFastRestore};
pub(crate) use groups::{GroupKey, LiveActivity, LiveGroup};
pub(crate) use ids::{request_id, uuid_of};
pub(crate) use instances::{LiveInstance, State};
pub(crate) use late::{Late, Read};
pub(crate) use launch_templates::{LiveTemplate, LiveTemplateVersion};
pub(crate) use locks::LiveLock;
pub(crate) use organization::{
    LiveOrganization, LiveUnit, is_organization_id, is_root_id, is_unit_id,
};
pub(crate) use owned::Owned;
pub(crate) use parameters::{
    LiveParameter, LiveParameterVersion, ParameterKey, PendingParameter, parameter_arn,
};
pub(crate) use partitions::{Partition, are_neighbours, regional_arn};
pub(crate) use roles::account_of;
pub(crate) use shown::{LaunchPermissions, Shown, VolumePermissions};
pub(crate) use shown::{launch_permissions, volume_permissions};
pub(crate) use tables::{REGIONS, is_opt_in, is_region};

use crate::iam::{self, Policy};
use crate::ledger::LambdaInvocation;
use crate::model::{Ec2Settings, Grant, Image, Snapshot, Volume};
use crate::rules::key_specs;
use crate::wire::time::scaled;
use crate::world::{Facts, Limits};

/// The live world. Tests reach it through [`Sandbox::edit`](crate::Sandbox::edit).
pub struct Aws {
    pub(crate) now: SystemTime,
    pub(crate) rules: Rules,
    pub(crate) accounts: BTreeMap<String, LiveAccount>,
    /// The organization that the world declares.
    pub(crate) organization: Option<LiveOrganization>,
    /// Roles and users by ARN.
    pub(crate) principals: BTreeMap<String, LivePrincipal>,
    /// By access key ID.
    pub(crate) credentials: BTreeMap<String, Credential>,
    pub(crate) images: Owned<LiveImage>,
    /// The images that may be pending.
    pub(crate) pending_images: BTreeSet<String>,
    pub(crate) snapshots: Owned<LiveSnapshot>,
    /// Volumes by ID.
    pub(crate) volumes: BTreeMap<String, Volume>,
    /// (account, Region, ClientToken) of CreateVolume to (fingerprint, volume ID).
    pub(crate) volume_tokens: BTreeMap<(String, String, String), (String, String)>,
    /// The time at which these snapshots of volumes are completed.
    pub(crate) snapshots_due: BTreeMap<String, SystemTime>,
    /// (Region, image ID) of deregistered images. EC2 refuses them with another code than unknown
    /// IDs.
    pub(crate) deregistered: BTreeSet<(String, String)>,
    /// (account, Region, name) of deregistered images to the image ID and the end of the
    /// reservation.
    pub(crate) released_names: BTreeMap<(String, String, String), (String, SystemTime)>,
    /// By ARN.
    pub(crate) keys: BTreeMap<String, LiveKey>,
    /// (account, Region, `alias/…`) to key ARN.
    pub(crate) aliases: BTreeMap<(String, String, String), String>,
    /// Copies under way by the ID of their snapshot, which may be deleted.
    pub(crate) copying: Copies,
    /// (account, Region, ClientToken) of CopyImage to (fingerprint of the request, image ID).
    pub(crate) image_tokens: BTreeMap<(String, String, String), (String, String)>,
    /// Key policies that were put and are not in force yet, by time: (in force from, key ARN,
    /// policy).
    pub(crate) late_policies: VecDeque<(SystemTime, String, Arc<Policy>)>,
    /// S3's buckets by name, which is unique in all accounts.
    pub(crate) s3_buckets: BTreeMap<String, LiveBucket>,
    pub(crate) instances: BTreeMap<String, LiveInstance>,
    /// (account, Region, ClientToken) of RunInstances to (fingerprint, instance ID).
    pub(crate) instance_tokens: BTreeMap<(String, String, String), (String, String)>,
    /// Images, by ID, name or source, whose instances fail their status checks.
    pub(crate) impaired_images: BTreeSet<String>,
    /// Fast snapshot restores.
    pub(crate) fast_restores: BTreeMap<FastRestoreKey, LiveFastRestore>,
    /// Locks by the ID of the snapshot, expired ones too.
    pub(crate) locks: BTreeMap<String, LiveLock>,
    /// Launch templates by ID.
    pub(crate) templates: BTreeMap<String, LiveTemplate>,
    /// (account, Region, operation, ClientToken) of calls on launch templates to (fingerprint,
    /// number of the version).
    pub(crate) template_tokens: BTreeMap<(String, String, String, String), (String, u64)>,
    /// Auto Scaling groups.
    pub(crate) groups: BTreeMap<GroupKey, LiveGroup>,
    /// Resources that were deleted a moment ago, while describe calls may still show them.
    pub(crate) gone: gone::Gone,
    pub(crate) lateness: late::Lateness,
    /// (account, Region, action) to (tokens left, at this time).
    pub(crate) buckets: BTreeMap<(String, String, String), (f64, SystemTime)>,
    pub(crate) invocations: Vec<LambdaInvocation>,
    /// The outputs of stacks, by account, Region and name.
    pub(crate) stacks: BTreeMap<(String, String, String), BTreeMap<String, String>>,
    /// Parameters of Parameter Store.
    pub(crate) parameters: BTreeMap<ParameterKey, LiveParameter>,
    /// Values that are being validated, by time.
    pub(crate) pending_parameters: VecDeque<PendingParameter>,
    /// Executions of state machines, by ARN.
    pub(crate) executions: BTreeMap<String, Execution>,
    pub(crate) serial: u64,
    /// The KMS node that answers this call. Without a call, a grant counts once the first node
    /// knows it.
    pub(crate) node: Option<u32>,
    /// Whose access this call may have taken away.
    pub(crate) lost: Lost,
}

/// The copies that may have lost their access by a call.
#[derive(Clone, Debug, Default)]
pub(crate) enum Lost {
    #[default]
    Any,
    OfAccount(String),
    OfSource(String),
    None,
}

impl Lost {
    pub(crate) fn concerns(&self, copy: &Copying) -> bool {
        match self {
            Self::Any => true,
            Self::OfAccount(account) => copy.caller.account() == account,
            Self::OfSource(snapshot) => copy.source_snapshot_id == *snapshot,
            Self::None => false,
        }
    }
}

/// The number of KMS nodes, which learn of a new grant one after the other.
const NODES: u32 = 3;

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aws")
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

/// The delays, limits and habits of this AWS.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub speed: f64,
    pub copy_mib_per_second: f64,
    pub copy_start: Duration,
    pub latency: Duration,
    pub grant_delay: Duration,
    pub permission_delay: Duration,
    pub tag_delay: Duration,
    pub read_delay: Duration,
    pub gone_delay: Duration,
    pub registration_delay: Duration,
    pub name_delay: Duration,
    pub principal_delay: Duration,
    pub policy_delay: Duration,
    pub limits: Limits,
    pub facts: Facts,
}

impl Rules {
    pub(crate) fn scaled(&self, duration: Duration) -> Duration {
        scaled(duration, self.speed)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct LiveAccount {
    pub partition: &'static Partition,
    /// The ID of the declared organization, or of another organization known only by its ID.
    pub organization: Option<String>,
    /// The root or OU of the declared organization that holds the account.
    pub parent: Option<String>,
    pub name: String,
    /// `ACTIVE`, `SUSPENDED`, …
    pub state: String,
    /// `None` stands for FullAWSAccess.
    pub service_control_policies: Option<Arc<Vec<Policy>>>,
    pub disabled_regions: BTreeSet<String>,
    /// Settings by Region; other Regions have the default.
    pub ec2_settings: BTreeMap<String, Ec2Settings>,
    /// The ARN of the default key, by Region.
    pub ebs_default_keys: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
pub(crate) struct LivePrincipal {
    pub policies: Arc<Vec<Policy>>,
    /// The names of the policies, in the same order.
    pub policy_names: Vec<String>,
    pub tags: BTreeMap<String, String>,
    /// The trust policy of a role.
    pub trust: Option<Arc<Policy>>,
    /// The trust policy as GetRole shows it.
    pub trust_text: String,
    pub description: Option<String>,
    pub created: SystemTime,
    /// The time from which grants and key policies may name the principal.
    pub known_to_kms_at: SystemTime,
    pub max_session_seconds: u32,
}

/// A caller whose signature proved its identity.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub principal: iam::Principal,
    /// The ARN of the role or user whose identity policies apply.
    pub identity: String,
    pub session_policy: Option<Arc<Policy>>,
}

impl Caller {
    pub(crate) fn account(&self) -> &str {
        &self.principal.account
    }

    /// Returns the caller in a call that an AWS service makes for it. Lambda's guide promises
    /// `lambda:SourceFunctionArn` for the function's own calls only, so a policy must not need it
    /// here.
    pub(crate) fn forwarded(&self) -> Self {
        let mut caller = self.clone();
        caller.principal.source_function = None;
        caller
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Credential {
    pub secret: String,
    /// The session token of temporary credentials.
    pub session_token: Option<String>,
    pub expires: Option<SystemTime>,
    /// Whether the global STS endpoint issued it. Opt-in Regions refuse such credentials.
    pub global: bool,
    pub caller: Caller,
}

#[derive(Clone, Debug)]
pub(crate) struct LiveImage {
    pub view: Image,
    pub shown: Shown<LaunchPermissions>,
    /// The time from which RunInstances finds the image.
    pub launchable_at: SystemTime,
    /// The time at which a `pending` image becomes `available`, if it waits for nothing else.
    pub available_at: SystemTime,
    /// The end of the cooldown after deregistration protection was disabled.
    pub protected_until: SystemTime,
    /// The snapshots that must be completed before the image becomes `available`.
    pub waits_for: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct LiveSnapshot {
    pub view: Snapshot,
    pub shown: Shown<VolumePermissions>,
    /// When these accounts were last given their createVolumePermission by a call.
    pub permitted_at: BTreeMap<String, SystemTime>,
}

#[derive(Clone, Debug)]
pub(crate) struct LiveKey {
    pub arn: String,
    pub account: String,
    pub region: String,
    pub id: String,
    pub description: String,
    /// The Region of a multi-Region key's primary; the key's own Region for any other key.
    pub primary_region: String,
    /// `Enabled`, `Disabled`, `PendingDeletion`, …
    pub state: String,
    pub spec: String,
    pub usage: String,
    /// Whether AWS manages the key, which holds for `aws/ebs`.
    pub managed: bool,
    pub created: SystemTime,
    /// The time at which a key that is `PendingDeletion` would be deleted.
    pub deleted_at: Option<SystemTime>,
    pub tags: BTreeMap<String, String>,
    /// The policy as put, which GetKeyPolicy returns.
    pub policy_text: String,
    /// The policy in force.
    pub policy: Arc<Policy>,
    pub grants: Vec<LiveGrant>,
    /// Revoked grants, while ListGrants still shows them.
    pub revoked: Vec<LiveGrant>,
}

#[derive(Clone, Debug)]
pub(crate) struct LiveGrant {
    pub view: Grant,
    pub token: String,
    /// The ID of the grant by virtue of which the grantee of that grant created this one.
    pub parent: Option<String>,
    /// The time at which every node knows of the grant.
    pub in_force_at: SystemTime,
    /// Whether ListGrants finds the grant.
    pub listed: Late<bool>,
}

impl LiveGrant {
    /// Returns the time at which this node knows of the grant (aws-facts, EC2 copying: node by
    /// node).
    pub(crate) fn known_at(&self, node: Option<u32>) -> SystemTime {
        let made = self.view.creation_date;
        let spread = self.in_force_at.duration_since(made).unwrap_or_default();
        made + spread * (node.unwrap_or(0) + 1) / NODES
    }
}

impl Aws {
    /// Returns the aliases of a key, which are all in its account and Region.
    pub(crate) fn aliases_of<'a>(&'a self, key: &'a LiveKey) -> impl Iterator<Item = &'a String> {
        let first = (key.account.clone(), key.region.clone(), String::new());
        let there = self.aliases.range(first..);
        let there = there.take_while(|((account, region, _), _)| {
            *account == key.account && *region == key.region
        });
        let of_key = there.filter(|(_, arn)| **arn == key.arn);
        of_key.map(|((_, _, name), _)| name)
    }

    /// Whether the node that answers this call knows of an account's createVolumePermission yet. A
    /// permission becomes true node by node.
    pub(crate) fn knows_permission(&self, snapshot: &LiveSnapshot, account: &str) -> bool {
        let Some(given) = snapshot.permitted_at.get(account) else {
            return true;
        };
        let spread = self.rules.scaled(self.rules.permission_delay);
        *given + spread * (self.node.unwrap_or(0) + 1) / NODES <= self.now
    }
}

impl LiveKey {
    /// Returns whether EBS can encrypt with the key (EBS guide, encryption).
    pub(crate) fn is_symmetric(&self) -> bool {
        self.spec == key_specs::SYMMETRIC
    }

    /// Returns whether the ID marks a multi-Region key (KMS guide, multi-Region keys).
    pub(crate) fn is_multi_region(&self) -> bool {
        self.id.starts_with("mrk-")
    }

    /// Returns the grants that ListGrants finds.
    pub(crate) fn listed_grants(&self, now: SystemTime) -> impl Iterator<Item = &Grant> {
        let found = move |exists: bool| move |grant: &&LiveGrant| *grant.listed.shown(&exists, now);
        let live = self.grants.iter().filter(found(true));
        let all = live.chain(self.revoked.iter().filter(found(false)));
        all.map(|grant| &grant.view)
    }
}

impl Aws {
    /// Chooses the KMS node that answers this call; calls come to one node after the other.
    pub(crate) fn choose_node(&mut self, call: u64) {
        self.node = u32::try_from(call % u64::from(NODES)).ok();
    }

    /// Returns the identity policies of a caller; nothing if its role or user is gone.
    pub(crate) fn policies_of(&self, caller: &Caller) -> Option<Arc<Vec<Policy>>> {
        self.principals
            .get(&caller.identity)
            .map(|p| Arc::clone(&p.policies))
    }

    /// Returns whether the account is closed, or about to be. Nobody can act in such an account
    /// (AWS Account Management guide, closed accounts).
    pub(crate) fn is_closed(&self, account: &str) -> bool {
        self.accounts.get(account).is_some_and(|live| {
            matches!(
                live.state.as_str(),
                "SUSPENDED" | "PENDING_CLOSURE" | "CLOSED"
            )
        })
    }

    /// Returns the ID of the organization that the account is a member of.
    pub(crate) fn organization_of(&self, account: &str) -> Option<&str> {
        self.accounts.get(account)?.organization.as_deref()
    }
}
