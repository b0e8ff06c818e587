//! `{"Preflight": {request}}`: what would stand in the way of this request, all of it at once.
//! Nothing is changed.

use serde_json::Value;
use tracing::info;

use super::begin::run_of;
use super::{Handler, Invocation, PATIENCE, budget, in_time, too_slow};
use crate::aws::{Aws, Members};
use crate::error::Error;
use crate::ids::{ImageId, Region};
use crate::losses::{licensed, losses, serial, too_short};
use crate::plan::{self, Plan};
use crate::preflight::{Finding, Level, reply};
use crate::request::{Mode, Request};
use crate::source::{Problem, Source};
use crate::state::State;

impl Handler {
    pub(super) async fn preflight(
        &self,
        aws: &Aws,
        words: &Value,
        invocation: &Invocation,
    ) -> Result<Value, Error> {
        let request = Request::parse(words, &self.defaults(invocation)?)?;
        let budget = budget(aws, invocation, PATIENCE)?;
        self.permit(aws, &request).await?;
        let run = run_of(words, &request);
        let looking = in_time(aws, &budget, look(aws, request, &run));
        looking.await.unwrap_or_else(|| Err(too_slow()))
    }
}

async fn look(aws: &Aws, request: Request, run: &str) -> Result<Value, Error> {
    let region = request.source_region.clone();
    let source = match read(aws, &request.source_image, &region).await {
        Ok(source) => source,
        // Without the image there is nothing to compare the targets with.
        Err(error @ (Error::SourceNotFound(_) | Error::AccessDenied { .. })) => {
            let finding = unreadable(&region, &error);
            return Ok(reply(vec![finding], None));
        }
        Err(error) => return Err(error),
    };
    let members = match &request.audience {
        Some(audience) => {
            aws.members(audience, request.needs_members(), &source.owner)
                .await?
        }
        None => Members::default(),
    };
    let mut request = request.with_members(&members.accounts, &source.owner)?;
    let mut findings: Vec<Finding> = problems(&request, &source)
        .into_iter()
        .map(|problem| {
            let account = Some(&source.owner);
            let Problem { what, remedy } = problem;
            Finding::of_source(Level::Error, "Source", account, &region, what, remedy)
        })
        .collect();
    findings.extend(keys_of_staging(aws, &mut request, &source).await?);
    let state = plan::draft(&request, &source, members.arns, run, aws.now())?;
    let mut words = Plan(&state).to_string();
    if request.mode == Mode::Copy {
        findings.extend(warnings(&state, &source));
        if let Some(Problem { what, remedy }) = plan::strategy_problem(&state, request.strategy) {
            let owner = Some(&source.owner);
            let level = Level::Error;
            findings.push(Finding::of_source(
                level, "Strategy", owner, &region, what, remedy,
            ));
        } else if let Some(why) = plan::why_image(&state, request.strategy, &source) {
            words = format!("{words}\nCopied as a whole, by CopyImage: {why}");
        }
    }
    findings.extend(aws.preflight(&state, &source).await);
    info!(run, findings = findings.len(), "preflight");
    Ok(reply(findings, Some(words)))
}

/// Finds the keys for copies of the source in its own account, and leaves out those that cannot be
/// used.
async fn keys_of_staging(
    aws: &Aws,
    request: &mut Request,
    source: &Source,
) -> Result<Vec<Finding>, Error> {
    let owner = &source.owner;
    let (mut findings, mut home, mut elsewhere) = (Vec::new(), true, Vec::new());
    for (word, region, key) in request.keys_of_staging(owner) {
        match aws.staging_key(&word, key, owner, &region).await {
            Ok(found) => *key = found.into(),
            Err(error @ (Error::InvalidRequest { .. } | Error::AccessDenied { .. })) => {
                let (name, _) = word.split_once('.').unwrap_or((&word, ""));
                let check = if name == "ReencryptKmsKeyId" {
                    home = false;
                    "ReencryptKmsKeyId"
                } else {
                    elsewhere.push(region.clone());
                    "StagingKmsKeyIds"
                };
                findings.push(Finding::of_source(
                    Level::Error,
                    check,
                    Some(owner),
                    &region,
                    error.to_string(),
                    format!(
                        "Name a symmetric key of account {owner} in {region} as {check} that is \
                         enabled, and that the function's role may use"
                    ),
                ));
            }
            Err(error) => return Err(error),
        }
    }
    if !home {
        request.reencrypt_key = None;
    }
    for region in elsewhere {
        request.staging_keys.remove(&region);
    }
    Ok(findings)
}

async fn read(aws: &Aws, image: &ImageId, region: &Region) -> Result<Source, Error> {
    let mut source = aws.read_source(image, region).await?;
    aws.read_keys(&mut source, region).await?;
    Ok(source)
}

/// Lists what a copy would lack, or may not live up to.
fn warnings(state: &State, source: &Source) -> Vec<Finding> {
    let lost = losses(state, source).into_iter();
    let all = lost
        .map(|loss| ("NotCarried", loss))
        .chain(licensed(state, source).map(|found| ("Licence", found)))
        .chain(too_short(state, source).map(|found| ("CopyCompletionMinutes", found)))
        .chain(serial(state, source).map(|found| ("CopyCompletionMinutes", found)));
    let (owner, region) = (Some(&source.owner), &state.source.region);
    all.map(|(check, Problem { what, remedy })| {
        Finding::of_source(Level::Warning, check, owner, region, what, remedy)
    })
    .collect()
}

fn unreadable(region: &Region, error: &Error) -> Finding {
    let remedy = match error {
        Error::AccessDenied { remedy, .. } => remedy.clone(),
        _ => "Check SourceImageId and SourceRegion; only the image's owner can distribute it"
            .to_owned(),
    };
    Finding::of_source(
        Level::Error,
        "Source",
        None,
        region,
        error.to_string(),
        remedy,
    )
}

fn problems(request: &Request, source: &Source) -> Vec<Problem> {
    match request.mode {
        Mode::Copy => source.problems_of_copying(!request.needs_sharing(&source.owner)),
        Mode::Share => source.problems_of_sharing(request.sharing.snapshots),
    }
}
