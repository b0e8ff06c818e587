//! How the deletion of a custom resource begins: the run takes back what the resource has.

use super::{Beginning, Begun, NOTHING, gone, request_of, wait_for_the_overtaken};
use crate::aws::Aws;
use crate::error::Error;
use crate::event::custom_resource::{CustomResource, physical_id};
use crate::handler::stack::asked_by;
use crate::ledger::RunStatus;
use crate::plan;
use crate::reply::cloudformation::Answer;
use crate::request::{Defaults, Mode, OnDelete, Request};
use crate::source::Source;
use crate::state::{SourceRef, State};

/// Begins the run of a deleted resource. A resource that never existed is deleted already.
/// Whatever its run has open at the source is closed in any case.
pub(super) async fn begin_delete(
    aws: &Aws,
    resource: &CustomResource,
    defaults: &Defaults,
) -> Result<Beginning, Error> {
    let id = resource
        .physical_resource_id
        .clone()
        .unwrap_or_else(|| NOTHING.to_owned());
    let nothing = || {
        let said = "there is nothing of this resource to delete";
        Ok(Beginning::Answer(Answer::success(&id, said)))
    };
    let Ok(mut request) = request_of(resource, defaults) else {
        return nothing();
    };
    let run = resource.run_id(&request.source_image);
    if id != physical_id(&run) {
        // Where CloudFormation never had an answer, the ID is its own: the run follows from the
        // resource all the same.
        if is_ours(&id) || !aws.knows_run(&run).await? {
            return nothing();
        }
    }
    let (place, source) = source_or_remains(aws, &request, &run, resource).await?;
    let now = aws.now();
    let mut state = planned(aws, &mut request, place, &run, now).await?;
    state.event = resource.identity();
    state.end_by = resource.end_by(now);
    if request.mode == Mode::Share {
        let gone = gone(&state);
        aws.accept_end(&mut state, gone.as_ref()).await?;
    } else {
        let keep = request.on_delete == OnDelete::Retain;
        let asked_by = asked_by(resource);
        let before = aws.accept_withdrawal(&mut state, &asked_by, keep).await?;
        if before.is_some_and(|run| run.status == RunStatus::Live) {
            wait_for_the_overtaken(&mut state, now);
        }
    }
    Ok(Beginning::Run(Box::new(Begun {
        request,
        state,
        source,
    })))
}

/// Plans what is taken back, and completes the request with the members of its audience.
async fn planned(
    aws: &Aws,
    request: &mut Request,
    place: SourceRef,
    run: &str,
    now: i64,
) -> Result<State, Error> {
    Ok(match (request.mode, request.on_delete) {
        (Mode::Share, _) => plan::unshare_all(request, place, run, now),
        (Mode::Copy, OnDelete::Retain) => {
            // The records in the ledger name the principals to close to. Members that can be
            // listed are in the reply.
            if let Some(audience) = &request.audience
                && let Ok(members) = aws.members(audience, true, &place.account_id).await
                && let Ok(whole) = request
                    .clone()
                    .with_members(&members.accounts, &place.account_id)
            {
                *request = whole;
            }
            plan::withdraw(request, place, true, run, now)
        }
        (Mode::Copy, OnDelete::Deregister) => {
            if let Some(audience) = &request.audience {
                let members = aws.members(audience, true, &place.account_id).await?;
                let whole = request.clone();
                *request = whole.with_members(&members.accounts, &place.account_id)?;
            }
            plan::withdraw(request, place, false, run, now)
        }
    })
}

/// Whether a physical ID is one that this function gives.
fn is_ours(id: &str) -> bool {
    let run = id.strip_prefix("amiferry-");
    run.is_some_and(|run| run.len() == 16 && run.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Reads the image; where it is gone, returns what this run left of it.
async fn source_or_remains(
    aws: &Aws,
    request: &Request,
    run: &str,
    resource: &CustomResource,
) -> Result<(SourceRef, Result<Source, String>), Error> {
    let (image, region) = (&request.source_image, &request.source_region);
    match aws.read_source(image, region).await {
        Ok(mut source) => {
            if request.reencrypt_key.is_some() || !request.staging_keys.is_empty() {
                aws.read_keys(&mut source, region).await?;
            }
            let mut place = plan::source_ref(request, &source);
            // No run ever opened these.
            place
                .keys
                .retain(|key| !source.aws_managed_keys.contains(key));
            place.managed_keys.clear();
            Ok((place, Ok(source)))
        }
        Err(Error::SourceNotFound(said)) => {
            let account = resource.stack_account();
            let remains = aws.remains(run, image, region, account).await;
            let remains = remains.map_err(Error::from_refusal)?;
            let place =
                remains.ok_or_else(|| Error::invalid("StackId", "is not the ARN of a stack"))?;
            Ok((place, Err(said)))
        }
        Err(error) => Err(error),
    }
}
