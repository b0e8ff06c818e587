//! Performs commands with the real SDK clients. This module makes the calls of each command and
//! returns AWS's answers as an outcome. Pure modules decide: `step`, `ledger`, `key_policy`.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_smithy_async::time::SharedTimeSource;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use tokio::sync::OnceCell;

use crate::allowed::Allowed;
use crate::command::{
    Checked, Command, CopiedImage, ImageProgress, Outcome, Publication, Rest, Retagged, Shared,
    SourceCommand, SourceGone, SourceOutcome, Staging, Started, TargetCommand, TargetOutcome,
};
use crate::digest::digest;
pub use crate::error::Place;
use crate::error::{Error, Refusal, RefusalKind};
use crate::ids::{AccountId, Region, SnapshotId};
use crate::ledger::Run;
use crate::source::Source;
use crate::state::{State, TargetState};

mod caller;
mod channel;
mod check;
mod clients;
mod closing;
mod comparing;
mod copies;
mod grants;
mod image;
mod itself;
mod kept_source;
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
mod publish;
mod refusal;
mod register;
mod remove;
mod retag;
mod retain;
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
mod whole_image;

pub use channel::ChannelTarget;
pub use closing::ClosedAttempt;
pub use comparing::{Comparison, CopiedSnapshot, Use};
pub use launch::KeyToLaunch;
pub use membership::Membership;
pub use organization::Members;
pub use presign::CopyToSign;
pub use refusal::refusal;
pub use retain::OldCopies;

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

    /// Returns the HTTP client of the calls.
    pub fn http(&self) -> Result<SharedHttpClient, Error> {
        let http = self.config.http_client();
        http.ok_or_else(|| Error::Internal("there is no HTTP client".to_owned()))
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
        let overtaken = |wants| Outcome::Overtaken(command.clone(), wants);
        if command.changes() {
            match self.overtaken(&state.run, &state.event).await {
                Ok(None) => {}
                Ok(Some(wants)) => return overtaken(wants),
                Err(refusal) => return Outcome::Refused(command.clone(), refusal),
            }
        }
        let done = match command {
            Command::Source(command) => {
                let done = self.calls_of_source(state, source, command).await;
                done.map(Outcome::Source)
            }
            Command::Target(i, command) => {
                let done = self.calls_in_target(state, source, *i, command).await;
                done.map(|done| Outcome::Target(*i, done))
            }
        };
        // A later event ends the attempt of the one before it.
        if let Ok(Outcome::Source(
            SourceOutcome::Share(_, Ok(Shared::Over(_)))
            | SourceOutcome::Stage(Ok(Staging::Over(_))),
        )) = done
            && let Ok(Some(wants)) = self.overtaken(&state.run, &state.event).await
        {
            return overtaken(wants);
        }
        done.unwrap_or_else(|refusal| Outcome::Refused(command.clone(), refusal))
    }

    /// Makes the calls of a command about the source.
    ///
    /// Takes the whole state: opening and closing are about all targets at once.
    async fn calls_of_source(
        &self,
        state: &State,
        source: &Result<Source, String>,
        command: &SourceCommand,
    ) -> Result<SourceOutcome, Refusal> {
        let run = state.run_ref();
        Ok(match command {
            // A state may come from anybody who may call, so only the image itself decides what
            // is opened.
            SourceCommand::Share { targets } => {
                let shared = match source {
                    // Boxed: the plan makes it a large future.
                    Ok(_) => Ok(Box::pin(self.open(state, targets)).await?),
                    Err(what) => gone(what),
                };
                SourceOutcome::Share(targets.clone(), shared)
            }
            SourceCommand::LookStaged => SourceOutcome::LookStaged(match source {
                Ok(source) => Ok(self.staged(run, source).await?),
                Err(what) => gone(what),
            }),
            SourceCommand::Stage { places } => SourceOutcome::Stage(match source {
                Ok(source) => self.stage(run, source, places).await?,
                Err(what) => gone(what),
            }),
            SourceCommand::Revoke => SourceOutcome::Revoke(match &state.order.share {
                Some(share) => self.take_back(state, share, source.is_ok()).await?,
                None => self.close_source(state).await?,
            }),
        })
    }

    /// Makes the calls of a command in one target. Where a look, or a command that needs no look
    /// before it is repeated, meets credentials that are too old, the next one gets new ones.
    ///
    /// Takes the whole state for [`Aws::session`].
    async fn calls_in_target(
        &self,
        state: &State,
        source: &Result<Source, String>,
        i: usize,
        command: &TargetCommand,
    ) -> Result<TargetOutcome, Refusal> {
        let target = &state.targets[i];
        // Boxed: so many commands make it a large future.
        let done = Box::pin(self.calls_with(state, source, target, command)).await;
        let renews = matches!(
            command,
            TargetCommand::Look
                | TargetCommand::Retag
                | TargetCommand::Grant
                | TargetCommand::Publish
                | TargetCommand::EndTest
        );
        if let Err(refusal) = &done
            && renews
            && refusal.kind() == RefusalKind::Expired
        {
            self.forget_session(target);
        }
        done
    }

    /// Makes the calls of a command with the session of its target.
    ///
    /// Takes the whole state for [`Aws::session`], and to put lost statements back into a policy.
    async fn calls_with(
        &self,
        state: &State,
        source: &Result<Source, String>,
        target: &TargetState,
        command: &TargetCommand,
    ) -> Result<TargetOutcome, Refusal> {
        let visit = || self.visit(state, target);
        let made = target.image_id.as_ref();
        Ok(match command {
            TargetCommand::Look => {
                TargetOutcome::Look(self.look(&visit().await?, source.as_ref().ok()).await?)
            }
            TargetCommand::Start { snapshots } => TargetOutcome::Start(match source {
                Ok(source) => {
                    let started = self.start(&visit().await?, source, snapshots).await;
                    if let Started::KeyNotReady(refusal) = &started {
                        self.put_back(state, refusal).await;
                    }
                    Ok(started)
                }
                Err(what) => gone(what),
            }),
            TargetCommand::CopyImage => TargetOutcome::CopyImage(match source {
                Ok(source) => {
                    let copied = self.copy_image(&visit().await?, source).await?;
                    if let CopiedImage::KeyNotReady(refusal) = &copied {
                        self.put_back(state, refusal).await;
                    }
                    Ok(copied)
                }
                Err(what) => gone(what),
            }),
            TargetCommand::PollImage => TargetOutcome::PollImage(match made {
                Some(made) => self.poll_image(&visit().await?, made).await?,
                None => ImageProgress::Absent,
            }),
            TargetCommand::Poll => TargetOutcome::Poll(copies::list(&visit().await?).await?.copies),
            TargetCommand::Register => TargetOutcome::Register(match source {
                Ok(source) => Ok(self.register(&visit().await?, source).await?),
                Err(what) => gone(what),
            }),
            TargetCommand::Check => TargetOutcome::Check(match (source, made) {
                (Ok(source), Some(made)) => Ok(self.check(&visit().await?, source, made).await?),
                (Ok(_), None) => Ok(Checked::NotYet("no image to check".to_owned())),
                (Err(what), _) => gone(what),
            }),
            TargetCommand::Tidy => TargetOutcome::Tidy(self.tidy(&visit().await?).await?),
            TargetCommand::Undo => TargetOutcome::Undo(self.undo(&visit().await?).await?),
            TargetCommand::Remove => TargetOutcome::Remove(self.remove(&visit().await?).await?),
            TargetCommand::Retag => {
                TargetOutcome::Retag(match (source, state.order.retag.as_ref().zip(made)) {
                    (Ok(source), Some((retag, made))) => {
                        Ok(self.retag(&visit().await?, source, retag, made).await?)
                    }
                    (Ok(_), None) => Ok(Retagged::Done),
                    (Err(what), _) => gone(what),
                })
            }
            TargetCommand::Grant => TargetOutcome::Grant(match source {
                // A target's own image needs the source no more.
                Err(what) if state.order.share.is_some() => gone(what),
                Ok(_) | Err(_) => Ok(self.let_launch(&visit().await?).await?),
            }),
            TargetCommand::Publish => TargetOutcome::Publish(match (&state.order.publish, made) {
                (Some(wish), Some(made)) => self.publish(&visit().await?, wish, made).await?,
                _ => Publication {
                    done: target.published.clone(),
                    notes: Vec::new(),
                    rest: Rest::Nothing,
                },
            }),
            TargetCommand::EndTest => {
                let wish = state.order.publish.as_ref();
                let test = wish.and_then(|wish| wish.launch_test.as_ref());
                if let Some((made, test)) = made.zip(test) {
                    self.end_launch_test(&visit().await?, made, test).await?;
                }
                TargetOutcome::EndTest
            }
        })
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
fn gone<T>(what: &str) -> Result<T, SourceGone> {
    Err(SourceGone(what.to_owned()))
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
