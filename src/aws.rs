//! Performs commands with the real SDK clients. This module makes the calls of each command and
//! returns AWS's answers as an outcome. Pure modules decide: `step`, `ledger`, `key_policy`.

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
pub use crate::error::Place;
use crate::error::{Error, Refusal, RefusalKind};
use crate::ids::{AccountId, Region, SnapshotId};
use crate::ledger::Run;
use crate::source::Source;
use crate::state::{State, TargetState};

mod caller;
mod check;
mod clients;
mod closing;
mod copies;
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
mod visit;

pub use closing::ClosedAttempt;
pub use membership::Membership;
pub use organization::Members;
pub use refusal::refusal;

/// The way to AWS: the function's own configuration, and the sessions in the targets.
#[derive(Debug)]
pub struct Aws {
    config: SdkConfig,
    /// The bucket of the ledger.
    bucket: Option<String>,
    /// The principals that the settings allow to be given anything; `Err` says what is wrong with
    /// the settings.
    allowed: Result<Allowed, String>,
    /// Names this process in the ledger.
    process: String,
    time: SharedTimeSource,
    retries: clients::Retries,
    sessions: session::Sessions,
    probed: key::Probed,
    policies: key_policy::Policies,
    deleted: Mutex<BTreeSet<SnapshotId>>,
    /// All runs of the ledger, as they were when first asked for.
    runs: OnceCell<Vec<Run>>,
}

/// The account and credentials of a call; without credentials, the function's own.
#[derive(Debug, Clone)]
struct Actor {
    account: String,
    credentials: Option<Credentials>,
}

impl Actor {
    /// Returns the function itself, in its account.
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
    /// Makes clients of `config` on their first use; the ledger is in `bucket`.
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

    /// Returns the copies in the source account that this invocation has deleted.
    fn deleted(&self) -> MutexGuard<'_, BTreeSet<SnapshotId>> {
        self.deleted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the time by the clock that the SDK signs with (Unix seconds).
    pub fn now(&self) -> i64 {
        let since = self
            .time
            .now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }

    /// Returns the clock of the calls.
    pub fn time_source(&self) -> SharedTimeSource {
        self.time.clone()
    }

    /// Returns a random time of up to so many milliseconds: of processes that lose a race together,
    /// one wins the next.
    fn jitter(longest: u64) -> Duration {
        Duration::from_millis(fastrand::u64(..longest.max(1)))
    }

    /// Makes the calls of one command. `source` is `Err` when the image is gone.
    ///
    /// Takes the whole state, as the commands of the source are about all its targets.
    pub async fn perform(
        &self,
        state: &State,
        source: &Result<Source, String>,
        command: &Command,
    ) -> Outcome {
        let run = state.run_ref();
        if command.changes() {
            match self.overtaken(run.id, &state.event).await {
                Ok(None) => {}
                Ok(Some(wants)) => return Outcome::Overtaken(wants),
                Err(refusal) => return Outcome::Refused(refusal),
            }
        }
        let done = match command.target() {
            Some(_) => self.calls_in_target(state, source, command).await,
            None => self.calls_of_source(state, source, command).await,
        };
        match done.unwrap_or_else(|ended| ended) {
            // A later event ends the attempt of the one before it.
            Outcome::Over(why) => match self.overtaken(run.id, &state.event).await {
                Ok(Some(wants)) => Outcome::Overtaken(wants),
                Ok(None) | Err(_) => Outcome::Over(why),
            },
            outcome => outcome,
        }
    }

    /// Makes the calls of a command of the source. `Err` ends it early.
    ///
    /// Takes the whole state: opening and closing are about all targets at once.
    async fn calls_of_source(
        &self,
        state: &State,
        source: &Result<Source, String>,
        command: &Command,
    ) -> Result<Outcome, Outcome> {
        let image = || source.as_ref().map_err(|why| gone(why));
        let run = state.run_ref();
        Ok(match command {
            // A state may come from anybody who may call, so only the image itself decides what
            // is opened.
            Command::Share { targets } => {
                image()?;
                // Boxed: the plan makes it a large future.
                Box::pin(self.open(state, targets)).await
            }
            Command::LookStaged => Outcome::StagedSeen(self.staged(run, image()?).await?),
            Command::Stage { snapshots } => self.stage(run, image()?, snapshots).await,
            _ => match &state.order.share {
                Some(share) => self.take_back(state, share, source.is_ok()).await,
                None => self.close_source(state).await,
            },
        })
    }

    /// Makes the calls of a command in one target. `Err` ends it early.
    ///
    /// Takes the whole state for [`Aws::session`].
    async fn calls_in_target(
        &self,
        state: &State,
        source: &Result<Source, String>,
        command: &Command,
    ) -> Result<Outcome, Outcome> {
        let target = &state.targets[command.target().unwrap_or_default()];
        Ok(match command {
            Command::Poll { .. } => {
                let visit = self.visit(state, target).await?;
                Outcome::Polled(copies::list(&visit).await?.copies)
            }
            Command::Tidy { .. } => self.tidy(&self.visit(state, target).await?).await?,
            Command::Undo { .. } => self.undo(&self.visit(state, target).await?).await?,
            Command::Remove { .. } => self.remove(&self.visit(state, target).await?).await?,
            Command::Grant { .. } => {
                // A target's own image needs the source no more.
                if state.order.share.is_some() {
                    source.as_ref().map_err(|why| gone(why))?;
                }
                let granted = async { self.let_launch(&self.visit(state, target).await?).await };
                self.renewing(target, granted.await)?
            }
            Command::Look { .. } => {
                let source = source.as_ref().ok();
                let looked = async { self.look(&self.visit(state, target).await?, source).await };
                self.renewing(target, looked.await)?
            }
            _ => {
                let source = source.as_ref().map_err(|why| gone(why))?;
                self.calls_from_source(state, target, source, command)
                    .await?
            }
        })
    }

    /// Makes the calls of a command that makes a copy of the source, or compares one with it.
    ///
    /// Takes the whole state for [`Aws::session`], and to put lost statements back into a policy.
    async fn calls_from_source(
        &self,
        state: &State,
        target: &TargetState,
        source: &Source,
        command: &Command,
    ) -> Result<Outcome, Outcome> {
        let made = target.image_id.as_ref();
        Ok(match command {
            Command::Start { snapshots, .. } => {
                let visit = self.visit(state, target).await?;
                let outcome = self.start(&visit, source, snapshots).await;
                self.put_back(state, &outcome).await;
                outcome
            }
            Command::Register { .. } => {
                let visit = self.visit(state, target).await?;
                self.register(&visit, source).await?
            }
            Command::Retag { .. } => {
                let retag = state.order.retag.as_ref();
                let (retag, made) = retag.zip(made).ok_or(Outcome::Done)?;
                let retagged = async {
                    let visit = self.visit(state, target).await?;
                    self.retag(&visit, source, retag, made).await
                };
                self.renewing(target, retagged.await)?
            }
            _ => {
                let made = made.ok_or_else(|| Outcome::NotYet("no image to check".to_owned()))?;
                let visit = self.visit(state, target).await?;
                self.check(&visit, source, made).await?
            }
        })
    }

    /// Forgets a session whose credentials were refused as too old.
    fn renewing(
        &self,
        target: &TargetState,
        done: Result<Outcome, Refusal>,
    ) -> Result<Outcome, Refusal> {
        if let Err(refusal) = &done
            && refusal.kind() == RefusalKind::Expired
        {
            self.forget_session(target);
        }
        done
    }

    /// Returns the function's own Region, where nothing more is known.
    fn here(&self) -> Place {
        let region = self.config.region().map(ToString::to_string);
        Place {
            account: "the source account".to_owned(),
            region: region.unwrap_or_default(),
        }
    }

    /// Returns the function's own Region, for a run of this source account.
    fn at_home(&self, account: &AccountId) -> Place {
        Place {
            account: account.to_string(),
            ..self.here()
        }
    }
}

/// Returns the outcome of a command that needs an image which is gone.
fn gone(why: &str) -> Outcome {
    Outcome::SourceGone(why.to_owned())
}

/// Returns a name that no other process has. Each invocation counts as a process.
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
