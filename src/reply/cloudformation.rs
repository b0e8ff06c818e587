//! The answer to CloudFormation: a body of at most 4,096 bytes, PUT to the ResponseURL with an
//! empty Content-Type (any other breaks the URL's signature). Source: CloudFormation user guide,
//! custom resource response objects.

use serde_json::{Map, Value, json};

use crate::cause::Cause;
use crate::event::custom_resource::CustomResource;
use crate::reply::Status;
use crate::state::{State, TargetPhase, shorten};

/// CloudFormation's limit for the body.
pub const LARGEST: usize = 4096;
const REASON_BYTES: usize = 1200;
/// CloudFormation's limit for an output of a stack: 1,024 characters.
const IMAGES_BYTES: usize = 980;

/// An answer to CloudFormation.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Whether the answer is `SUCCESS`; `FAILED` otherwise.
    pub success: bool,
    /// The words that CloudFormation shows in the stack's events.
    pub reason: String,
    /// The `PhysicalResourceId` of the resource.
    pub physical_id: String,
    /// The attributes of the resource, for `Fn::GetAtt`.
    pub data: Map<String, Value>,
}

impl Answer {
    /// Returns the words about a run that has ended.
    pub fn ended(state: &State, physical_id: &str) -> Self {
        let status = Status::of(state);
        let success = status == Status::Succeeded;
        Self {
            success,
            reason: reason(state),
            physical_id: physical_id.to_owned(),
            data: if success { data(state) } else { Map::new() },
        }
    }

    /// Returns the words about a run that goes on when CloudFormation waits no longer.
    pub fn late(state: &State, physical_id: &str) -> Self {
        let said = state.targets.iter().find_map(|target| {
            let failure = target.failure.as_ref()?;
            let remedy = failure.cause.remedy(state.run_ref(), target);
            let (account, region) = (&target.account_id, &target.region);
            Some(format!("{account} {region}: {}. {remedy}", failure.reason))
        });
        let said = said.unwrap_or_else(|| Cause::sooner(state.run_ref()));
        let run = &state.run;
        let reason = format!("run {run} goes on after the ServiceTimeout of the resource: {said}");
        Self::failure(physical_id, &reason)
    }

    /// Makes an answer of success without attributes.
    pub fn success(physical_id: &str, reason: &str) -> Self {
        Self {
            success: true,
            reason: reason.to_owned(),
            physical_id: physical_id.to_owned(),
            data: Map::new(),
        }
    }

    /// Makes an answer of failure without attributes.
    pub fn failure(physical_id: &str, reason: &str) -> Self {
        Self {
            success: false,
            reason: reason.to_owned(),
            physical_id: physical_id.to_owned(),
            data: Map::new(),
        }
    }

    /// The body. What does not fit is left out of Data: first the whole list, then single images
    /// from the end.
    pub fn body(&self, to: &CustomResource) -> String {
        let mut data = self.data.clone();
        loop {
            let body = json!({
                "Status": if self.success { "SUCCESS" } else { "FAILED" },
                "Reason": shorten(&self.reason, REASON_BYTES),
                "PhysicalResourceId": self.physical_id,
                "StackId": to.stack_id,
                "RequestId": to.request_id,
                "LogicalResourceId": to.logical_resource_id,
                "Data": data,
            })
            .to_string();
            if body.len() <= LARGEST || data.is_empty() {
                return body;
            }
            if data.remove("ImageIds").is_none() {
                let last = data
                    .keys()
                    .rfind(|key| key.starts_with("Image."))
                    .or_else(|| data.keys().next_back())
                    .cloned();
                last.and_then(|key| data.remove(&key));
            }
        }
    }
}

fn data(state: &State) -> Map<String, Value> {
    let images: Vec<(String, String, &str)> = state
        .targets
        .iter()
        .filter(|t| t.phase == TargetPhase::Succeeded)
        .filter_map(|t| {
            Some((
                t.account_id.to_string(),
                t.region.to_string(),
                t.image_id.as_ref()?.as_str(),
            ))
        })
        .collect();
    let list: Vec<String> = images
        .iter()
        .map(|(account, region, image)| format!("{account}/{region}={image}"))
        .collect();
    let mut data = Map::new();
    data.insert("RunId".to_owned(), json!(state.run));
    data.insert("Count".to_owned(), json!(images.len().to_string()));
    data.insert("ImageIds".to_owned(), json!(list.join(",")));
    data.insert("Images".to_owned(), json!(as_many_as_fit(&list)));
    for (account, region, image) in images {
        data.insert(format!("Image.{account}.{region}"), json!(image));
    }
    data
}

/// The list for a stack's outputs: an attribute that is not there would fail the whole stack, so it
/// is always there, cut if need be behind a whole entry.
fn as_many_as_fit(list: &[String]) -> String {
    let mut text = String::new();
    for (n, entry) in list.iter().enumerate() {
        if text.len() + entry.len() > IMAGES_BYTES {
            return format!("{text},… ({} more)", list.len() - n);
        }
        if n > 0 {
            text.push(',');
        }
        text.push_str(entry);
    }
    text
}

/// The first target that failed, and how many others.
fn reason(state: &State) -> String {
    let mut failed = state
        .targets
        .iter()
        .filter(|t| !matches!(t.phase, TargetPhase::Succeeded | TargetPhase::Removed));
    let first = failed.next();
    let others = failed.count();
    match (first, &state.sharing.stuck) {
        (None, None) => match &state.sharing.refused {
            Some(said) => format!(
                "{said}. {}",
                Cause::sharing_remedy(state.run_ref(), Some(said))
            ),
            None => format!("{} targets done{}", state.targets.len(), unseen(state)),
        },
        (None, Some(said)) => format!(
            "The copies are made, but the source could not be closed again, run {}: {said}",
            state.run
        ),
        (Some(target), _) => {
            let (why, remedy) = target.failure.as_ref().map_or_else(
                || ("unknown".to_owned(), String::new()),
                |failure| {
                    (
                        failure.reason.clone(),
                        failure.cause.remedy(state.run_ref(), target),
                    )
                },
            );
            let more = if others == 0 {
                String::new()
            } else {
                format!(
                    " ({others} other targets failed too; see the log of run {})",
                    state.run
                )
            };
            format!(
                "{} {}: {why}. {remedy}{more}",
                target.account_id, target.region
            )
        }
    }
}

/// Targets where something was to be taken away and stays, or may, and why.
fn unseen(state: &State) -> String {
    let removed = state
        .targets
        .iter()
        .filter(|t| matches!(t.phase, TargetPhase::Removed | TargetPhase::Succeeded));
    let said = removed.filter_map(|t| {
        let (account, region) = (&t.account_id, &t.region);
        let Some(failure) = &t.failure else {
            let note = t.note.as_ref()?;
            return Some(format!("; {account} {region}: {note}"));
        };
        let what = match failure.cause {
            Cause::CountedOn => "",
            _ => " could not be looked into, and may keep what is there",
        };
        let reason = &failure.reason;
        Some(format!("; {account} {region}{what}: {reason}"))
    });
    said.collect()
}
