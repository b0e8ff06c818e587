//! The begin of a run, for every caller: the source is read, the request completed and refused if
//! need be, and planned.

use futures::future::BoxFuture;
use tracing::info;

use super::Handler;
use crate::aws::{Aws, Members};
use crate::digest::digest;
use crate::error::Error;
use crate::event::custom_resource::{CustomResource, RequestType};
use crate::ledger::Principals;
use crate::plan::{self, Plan};
use crate::reply::cloudformation::Answer;
use crate::request::{Defaults, Mode, OnDelete, Request, Target};
use crate::service_linked_role::ServiceLinkedRole;
use crate::source::Source;
use crate::state::{Renewal, Retag, State, TargetPhase};
use crate::tags;

mod delete;

/// The source design's resources that share without copying.
const SHARING_RESOURCES: [&str; 2] = ["Custom::ShareAutomation", "Custom::MultiAccountAmiShare"];
/// The ID of a failed Create without a usable request. Deleting it deletes nothing.
pub const NOTHING: &str = "amiferry-nothing";

/// A run that can be worked on.
#[derive(Debug)]
pub struct Begun {
    /// With the audience's accounts among its targets.
    pub request: Request,
    pub state: State,
    /// `Err` says that the image is gone.
    pub source: Result<Source, String>,
}

/// The begin of a custom resource's event.
#[derive(Debug)]
pub enum Beginning {
    Run(Box<Begun>),
    /// There is nothing to do.
    Answer(Answer),
}

/// Reads the source, refuses what cannot be copied or shared, and plans. `only`: a lasting share's
/// request is its whole list.
pub async fn begin(aws: &Aws, request: Request, run: &str, only: bool) -> Result<Begun, Error> {
    let source = aws
        .read_source(&request.source_image, &request.source_region)
        .await;
    let mut source = match source {
        Err(Error::SourceNotFound(gone)) if request.sharing.unshare => {
            return begin_with_remains(aws, request, run, gone).await;
        }
        other => other?,
    };
    plan::check_keys(&request, &source)?;
    aws.read_keys(&mut source, &request.source_region).await?;
    let members = match &request.audience {
        Some(audience) => {
            aws.members(audience, request.needs_members(), &source.owner)
                .await?
        }
        None => Members::default(),
    };
    let mut request = request.with_members(&members.accounts, &source.owner)?;
    for (word, region, key) in request.keys_of_staging(&source.owner) {
        let found = aws.staging_key(&word, key, &source.owner, &region);
        *key = found.await?.into();
    }
    let now = aws.now();
    let state = match request.mode {
        Mode::Copy => {
            let state = plan::distribute(&request, &source, run, now)?;
            plan::name_audience(state, members.arns)?
        }
        Mode::Share => plan::share(&request, &source, members.arns, only, run, now)?,
    };
    info!(run, plan = %Plan(&state), "planned");
    Ok(Begun {
        request,
        state,
        source: Ok(source),
    })
}

/// Accepts the request in the ledger, before anything is opened. From then on the state names an
/// attempt of its run, which opens what the ledger lists and nothing else. `whole` says that the
/// request of a lasting share lists all its principals.
pub async fn accept(
    aws: &Aws,
    begun: &mut Begun,
    asked_by: &str,
    whole: bool,
) -> Result<(), Error> {
    if begun.request.sharing.unshare {
        let gone = gone(&begun.state);
        aws.accept_end(&mut begun.state, gone.as_ref()).await
    } else {
        aws.accept(&mut begun.state, asked_by, whole).await
    }
}

/// Returns the principals that a request takes a share back from; `None` for all.
fn gone(state: &State) -> Option<Principals> {
    if state.order.share.as_ref().is_some_and(|share| share.only) {
        return None;
    }
    let accounts = state
        .targets
        .iter()
        .map(|target| target.account_id.to_string());
    let audience = state
        .order
        .share
        .iter()
        .flat_map(|share| share.gone.clone());
    Some(accounts.chain(audience).collect())
}

/// Begins to take back a share of an image that is gone. Nobody launches from it, but its snapshots
/// and keys may still be open.
async fn begin_with_remains(
    aws: &Aws,
    request: Request,
    run: &str,
    gone: String,
) -> Result<Begun, Error> {
    let (image, region) = (&request.source_image, &request.source_region);
    let remains = aws
        .remains(run, image, region, None)
        .await
        .map_err(Error::from_refusal)?;
    let Some(remains) = remains else {
        return Err(Error::SourceNotFound(gone));
    };
    let state = plan::unshare_all(&request, remains, run, aws.now());
    info!(run, plan = %Plan(&state), "planned");
    Ok(Begun {
        request,
        state,
        source: Err(gone),
    })
}

/// Returns the run of a direct call: the same words are the same run.
pub fn run_of(words: &serde_json::Value, request: &Request) -> String {
    let whole = match request.mode {
        Mode::Copy => digest([words.to_string().as_str(), request.source_region.as_str()]),
        // All calls share one lasting share of an image, so that one call can take back what
        // another shared.
        Mode::Share => digest([
            "share",
            request.source_image.as_str(),
            request.source_region.as_str(),
        ]),
    };
    whole[..16].to_owned()
}

/// Returns the request of a custom resource, whose type gives the mode where its properties do not.
pub fn request_of(resource: &CustomResource, defaults: &Defaults) -> Result<Request, Error> {
    Request::parse_as(mode_of(resource), &resource.properties, defaults)
}

fn mode_of(resource: &CustomResource) -> Mode {
    if SHARING_RESOURCES.contains(&resource.resource_type.as_str()) {
        Mode::Share
    } else {
        Mode::Copy
    }
}

impl Handler {
    /// Begins what a custom resource asks for. Boxed, as several ways in wait for it.
    pub fn begin_resource<'a>(
        &'a self,
        aws: &'a Aws,
        resource: &'a CustomResource,
        defaults: &'a Defaults,
    ) -> BoxFuture<'a, Result<Beginning, Error>> {
        Box::pin(async move {
            match resource.request_type {
                RequestType::Delete => delete::begin_delete(aws, resource, defaults).await,
                RequestType::Create | RequestType::Update => {
                    let request = request_of(resource, defaults)?;
                    self.permit(aws, &request).await?;
                    let begun = begin_copy(aws, request, resource, defaults).await?;
                    // The process that continues accepts the run: an execution names itself first.
                    Ok(Beginning::Run(Box::new(begun)))
                }
            }
        })
    }
}

async fn begin_copy(
    aws: &Aws,
    request: Request,
    resource: &CustomResource,
    defaults: &Defaults,
) -> Result<Begun, Error> {
    if request.sharing.unshare {
        return Err(Error::invalid(
            "Unshare",
            "is for direct calls; a resource ends its sharing when it is deleted",
        ));
    }
    let run = resource.run_id(&request.source_image);
    let mut begun = begin(aws, request, &run, true).await?;
    begun.state.event = resource.identity();
    if begun.request.wait {
        begun.state.end_by = resource.end_by(begun.state.started);
    }
    if resource.request_type == RequestType::Update {
        let old = Request::parse_as(mode_of(resource), &resource.old_properties, defaults);
        // CloudFormation makes a new physical resource for a changed image, and deletes the old one
        // by an event of its own.
        if let Ok(old) = old
            && old.source_image == begun.request.source_image
        {
            if renews(&begun.request, &old) {
                begun.state.order.renewal = Some(match begun.request.on_delete {
                    OnDelete::Retain => Renewal::Keep,
                    OnDelete::Deregister => Renewal::Remove,
                });
            }
            let ended = ended_roles(&begun.request, &old);
            plan::amend(&mut begun.state, retags(&begun.request, &old), ended)?;
            let gone = no_longer_wanted(&begun.request, old);
            plan::take_off(&mut begun.state, &gone)?;
        }
    }
    Ok(begun)
}

/// Whether an update asks for copies under another name, or another key where there are some
/// already.
fn renews(new: &Request, old: &Request) -> bool {
    let rekeyed = |t: &Target| {
        let mut before = old.targets.iter();
        before.any(|o| o.account == t.account && o.region == t.region && o.key != t.key)
    };
    let both_copy = new.mode == Mode::Copy && old.mode == Mode::Copy;
    both_copy && (new.name != old.name || new.targets.iter().any(rekeyed))
}

/// Returns the service-linked roles that are to launch from copies no longer.
fn ended_roles(new: &Request, old: &Request) -> Vec<ServiceLinkedRole> {
    if old.mode != Mode::Copy {
        return Vec::new();
    }
    // A share's grants are on the source keys.
    let stays = |role: &&ServiceLinkedRole| {
        new.mode == Mode::Copy && new.service_linked_roles.contains(role)
    };
    let roles = old.service_linked_roles.iter();
    roles.filter(|role| !stays(role)).cloned().collect()
}

/// Returns the changes of an update to the tags of copies.
fn retags(new: &Request, old: &Request) -> Option<Retag> {
    let both_copy = new.mode == Mode::Copy && old.mode == Mode::Copy;
    let asked = |request: &Request| (request.tags.clone(), request.copy_tags);
    let ((old, old_copied), (new, new_copied)) = (asked(old), asked(new));
    let retag = tags::retag((&old, old_copied), (&new, new_copied));
    retag.filter(|_| both_copy)
}

/// Returns the targets whose copies an update takes away: those off the list, and all where copies
/// become a share.
fn no_longer_wanted(new: &Request, old: Request) -> Vec<Target> {
    let on_delete = match new.mode {
        Mode::Copy => new.on_delete,
        Mode::Share => old.on_delete,
    };
    if old.mode != Mode::Copy || on_delete != OnDelete::Deregister {
        return Vec::new();
    }
    let kept = |t: &Target| {
        let mut wanted = new.targets.iter();
        new.mode == Mode::Copy && wanted.any(|n| n.account == t.account && n.region == t.region)
    };
    old.targets.into_iter().filter(|t| !kept(t)).collect()
}

/// Makes the targets wait for a worker of an earlier event. That worker notices this event before
/// the next thing it makes; what it is making meanwhile shows by then.
fn wait_for_the_overtaken(state: &mut State, now: i64) {
    for target in &mut state.targets {
        if target.phase == TargetPhase::Removing {
            target.work.last_start = now;
            target.pace.due = target.work.shown_by();
        }
    }
}
