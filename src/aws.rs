//! Performs commands with the real SDK clients. Nothing here decides: each command's calls are made, and what AWS said is
//! handed back as an outcome.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_smithy_async::time::SharedTimeSource;
use tokio::sync::OnceCell;

use crate::allowed::Allowed;
use crate::command::{Command, Outcome};
use crate::digest::digest;
use crate::error::Error;
pub use crate::error::Place;
use crate::ids::{AccountId, Region, SnapshotId};
use crate::ledger::Run;
use crate::source::Source;
use crate::state::State;

mod caller;
mod check;
mod clients;
mod closing;
mod copies;
mod counting;
mod grants;
mod image;
mod itself;
mod key;
mod key_policy;
mod launch;
mod ledger;
mod look;
mod machine;
mod membership;
mod naming;
mod opening;
mod organization;
mod permission;
mod preflight;
mod presign;
mod refusal;
mod register;
mod remove;
mod retag;
mod runs;
mod session;
mod source;
mod stage;
mod store;
mod sweep;
mod tags;
mod unsharing;
mod verifying;

pub use closing::ClosedAttempt;
pub use membership::Membership;
pub use organization::Members;
pub use refusal::refusal;

/// The way to AWS: the function's own configuration and the sessions in the targets.
#[derive(Debug)]
pub struct Aws {
    config: SdkConfig,
    /// Holds the ledger.
    bucket: Option<String>,
    /// Who may be given anything; what is wrong with the settings.
    allowed: Result<Allowed, String>,
    /// Names this process in the ledger.
    process: String,
    time: SharedTimeSource,
    retries: clients::Retries,
    sessions: session::Sessions,
    probed: key::Probed,
    policies: key_policy::Policies,
    deleted: Mutex<BTreeSet<SnapshotId>>,
    /// What the ledger had when it was first asked for all runs.
    runs: OnceCell<Vec<Run>>,
}

/// Whose credentials a call is made with. `None`: the function's own.
#[derive(Debug, Clone)]
struct Actor {
    account: String,
    credentials: Option<Credentials>,
}

impl Actor {
    /// The function itself, in its account.
    fn own(account: &AccountId) -> Self {
        Self {
            account: account.to_string(),
            credentials: None,
        }
    }

    fn at(&self, region: &Region) -> Place {
        Place {
            account: self.account.clone(),
            region: region.to_string(),
        }
    }
}

impl Aws {
    pub fn new(config: SdkConfig, bucket: Option<String>, allowed: Result<Allowed, Error>) -> Self {
        let time = config.time_source().unwrap_or_default();
        Self {
            config,
            bucket,
            allowed: allowed.map_err(|error| error.to_string()),
            process: name_of_process(),
            time,
            retries: clients::Retries::default(),
            sessions: session::Sessions::default(),
            probed: key::Probed::default(),
            policies: key_policy::Policies::default(),
            deleted: Mutex::default(),
            runs: OnceCell::default(),
        }
    }

    /// The copies in the source account that this invocation has deleted.
    fn deleted(&self) -> MutexGuard<'_, BTreeSet<SnapshotId>> {
        self.deleted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Unix seconds by the clock the SDK signs with.
    pub fn now(&self) -> i64 {
        let since = self
            .time
            .now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }

    pub fn time_source(&self) -> SharedTimeSource {
        self.time.clone()
    }

    /// Up to so many milliseconds, at random: of those who lose a race together, one wins the next.
    fn jitter(longest: u64) -> Duration {
        Duration::from_millis(fastrand::u64(..longest.max(1)))
    }

    /// Makes the calls of one command. `source` is `Err` when the image is gone.
    pub async fn perform(
        &self,
        state: &State,
        source: &Result<Source, String>,
        command: &Command,
    ) -> Outcome {
        if command.changes() {
            match self.overtaken(state).await {
                Ok(None) => {}
                Ok(Some(wants)) => return Outcome::Overtaken(wants),
                Err(refusal) => return Outcome::Refused(refusal),
            }
        }
        match self.calls_of(state, source, command).await {
            // A later event ends the attempt of the one before it.
            Outcome::Over(why) => match self.overtaken(state).await {
                Ok(Some(wants)) => Outcome::Overtaken(wants),
                Ok(None) | Err(_) => Outcome::Over(why),
            },
            outcome => outcome,
        }
    }

    async fn calls_of(
        &self,
        state: &State,
        source: &Result<Source, String>,
        command: &Command,
    ) -> Outcome {
        match command {
            // Only what the image itself says that it is made of: a state may come from anybody who may call.
            Command::Share { targets } => match source {
                Err(gone) => Outcome::SourceGone(gone.clone()),
                Ok(_) => self.open(state, targets).await,
            },
            Command::Revoke => match &state.order.share {
                Some(share) => self.take_back(state, share, source.is_ok()).await,
                None => self.close_source(state).await,
            },
            Command::LookStaged => match source {
                Ok(source) => self.look_staged(state, source).await,
                Err(gone) => Outcome::SourceGone(gone.clone()),
            },
            Command::Stage { snapshots } => match source {
                Ok(source) => self.stage(state, source, snapshots).await,
                Err(gone) => Outcome::SourceGone(gone.clone()),
            },
            Command::Look { target } => self.look(state, source, *target).await,
            Command::Poll { target } => self.poll(state, *target).await,
            Command::Tidy { target } => self.tidy(state, *target).await,
            Command::Undo { target } => self.undo(state, *target).await,
            Command::Remove { target } => self.remove(state, *target).await,
            Command::Grant { target } => match (source, &state.order.share) {
                // A target's own image needs the source no more.
                (Err(gone), Some(_)) => Outcome::SourceGone(gone.clone()),
                _ => self.let_launch(state, *target).await,
            },
            Command::Start { target, snapshots } => match source {
                Ok(source) => self.start(state, source, *target, snapshots).await,
                Err(gone) => Outcome::SourceGone(gone.clone()),
            },
            Command::Register { target } => match source {
                Ok(source) => self.register(state, source, *target).await,
                Err(gone) => Outcome::SourceGone(gone.clone()),
            },
            Command::Retag { target } => match source {
                Ok(source) => self.retag(state, source, *target).await,
                Err(gone) => Outcome::SourceGone(gone.clone()),
            },
            Command::Check { target } => match source {
                Ok(source) => self.check(state, source, *target).await,
                Err(gone) => Outcome::SourceGone(gone.clone()),
            },
        }
    }

    /// The function's own Region, where nothing more is known.
    fn here(&self) -> Place {
        let region = self.config.region().map(ToString::to_string);
        Place {
            account: "the source account".to_owned(),
            region: region.unwrap_or_default(),
        }
    }

    /// The function's own Region, for a run.
    fn at_home(&self, state: &State) -> Place {
        Place {
            account: state.source.account_id.to_string(),
            ..self.here()
        }
    }

    /// The function itself, in the source account.
    fn own(state: &State) -> Actor {
        Actor {
            account: state.source.account_id.to_string(),
            credentials: None,
        }
    }
}

/// A name that no other process has: each invocation counts as one.
fn name_of_process() -> String {
    static INVOCATIONS: AtomicU64 = AtomicU64::new(0);
    let invocation = INVOCATIONS.fetch_add(1, Ordering::Relaxed).to_string();
    let began = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let machine = std::env::var("AWS_LAMBDA_LOG_STREAM_NAME").unwrap_or_default();
    let process = std::process::id().to_string();
    let began = began.as_nanos().to_string();
    digest([machine.as_str(), &process, &began, &invocation])[..16].to_owned()
}
