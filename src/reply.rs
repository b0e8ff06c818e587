//! The reply of a task or direct call.

use serde_json::{Map, Value, json};

use crate::cause::Cause;
use crate::error::Error;
use crate::request::LaunchTemplate;
use crate::state::{State, TargetPhase, TargetState};

pub mod cloudformation;
pub mod metrics;
pub mod notice;
pub mod outcome;
pub mod progress;
pub mod put;
mod stuck;

/// The end of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Every target has its AMI, and nothing is left open.
    Succeeded,
    /// Some targets have their AMI; the others failed and were tidied.
    PartiallySucceeded,
    /// No target has an AMI.
    Failed,
    /// Clean-up failed: a person must act.
    Stuck,
    /// A later event of the custom resource has gone before: there is nothing to tell of this one.
    Overtaken,
}

impl Status {
    /// Derives the status of a run from its targets and what it could not close.
    pub fn of(state: &State) -> Self {
        let good = state.targets.iter().filter(|t| succeeded(t)).count();
        if state.sharing.stuck.is_some() || state.targets.iter().any(is_stuck) {
            Self::Stuck
        } else if state.targets.iter().any(is_overtaken) {
            Self::Overtaken
        } else if good == state.targets.len() && state.sharing.refused.is_none() {
            Self::Succeeded
        } else if good == 0 {
            Self::Failed
        } else {
            Self::PartiallySucceeded
        }
    }

    /// Returns the word of replies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "Succeeded",
            Self::PartiallySucceeded => "PartiallySucceeded",
            Self::Failed => "Failed",
            Self::Stuck => "Stuck",
            Self::Overtaken => "Overtaken",
        }
    }
}

fn is_overtaken(target: &TargetState) -> bool {
    let cause = target.failure.as_ref().map(|failure| failure.cause);
    target.phase == TargetPhase::Failed && cause == Some(Cause::Overtaken)
}

fn is_stuck(target: &TargetState) -> bool {
    matches!(target.phase, TargetPhase::Stuck { .. })
}

fn succeeded(target: &TargetState) -> bool {
    matches!(target.phase, TargetPhase::Succeeded | TargetPhase::Removed)
}

/// Returns the places where the target's image is published, with the values that were there
/// before.
fn published(state: &State, target: &TargetState) -> Option<Value> {
    let (wish, done) = (state.order.publish.as_ref()?, &target.published);
    let mut told = Map::new();
    if done.launched {
        told.insert("LaunchTest".to_owned(), json!("Passed"));
    }
    if let (Some(parameter), Some(name)) = (&done.parameter, &wish.parameter) {
        let mut of_parameter = json!({
            "Name": name.fill(&target.account_id, &target.region),
            "Version": parameter.version,
        });
        if let Some(former) = &parameter.former {
            of_parameter["FormerImageId"] = json!(former);
        }
        told.insert("Parameter".to_owned(), of_parameter);
    }
    if let (Some(template), Some(named)) = (&done.template, &wish.launch_template) {
        let mut of_template = json!({"Version": template.version});
        match named {
            LaunchTemplate::Id(id) => of_template["LaunchTemplateId"] = json!(id),
            LaunchTemplate::Name(name) => of_template["LaunchTemplateName"] = json!(name),
        }
        if let Some(former) = template.former {
            of_template["FormerDefaultVersion"] = json!(former);
        }
        told.insert("LaunchTemplate".to_owned(), of_template);
    }
    (!told.is_empty()).then_some(Value::Object(told))
}

/// Returns the reply of a run that has ended.
pub fn reply(state: &State) -> Result<Value, Error> {
    let status = Status::of(state);
    let targets: Vec<Value> = state.targets.iter().map(|t| target(state, t)).collect();
    let mut result = json!({
        "RunId": state.run,
        "SourceImageId": state.source.image_id,
        "Targets": targets,
    });
    if let Some(audience) = audience(state) {
        result["Audience"] = audience;
    }
    if status == Status::Stuck {
        result["Stuck"] = stuck::what_is_left(state);
    }
    let mut told = json!({"Status": status.as_str(), "Result": result});
    if state.part {
        // The whole run needs the state: to close, and to report each target.
        told["State"] = serde_json::to_value(state).map_err(|e| Error::Internal(e.to_string()))?;
    }
    Ok(told)
}

/// Returns the organization and its units, which have their launch permission as such.
fn audience(state: &State) -> Option<Value> {
    let share = state.order.share.as_ref()?;
    let (arns, done) = if share.gone.is_empty() {
        (&share.audience, "Succeeded")
    } else {
        (&share.gone, "Unshared")
    };
    if arns.is_empty() {
        return None;
    }
    let mut told = json!({"Arns": arns, "Status": done});
    if let Some(said) = &state.sharing.refused {
        told["Status"] = json!("Failed");
        told["Reason"] = json!(said);
        told["Remedy"] = json!(Cause::sharing_remedy(state.run_ref(), Some(said)));
    }
    Some(told)
}

fn target(state: &State, target: &TargetState) -> Value {
    let mut told = json!({
        "AccountId": target.account_id,
        "Region": target.region,
        "Status": match target.phase {
            TargetPhase::Succeeded => "Succeeded",
            TargetPhase::Removed if state.order.share.is_some() => "Unshared",
            TargetPhase::Removed => "Deregistered",
            TargetPhase::Stuck { .. } => "Stuck",
            _ => "Failed",
        },
    });
    if let Some(key) = target.kms_key_id.arn() {
        told["KmsKeyArn"] = json!(key);
    }
    // A target stuck over tidying up still has its image. A target stuck over undoing has forgotten
    // its copies.
    let stands = target.stands() || (is_stuck(target) && !target.work.copies.is_empty());
    if let (true, Some(image)) = (stands, &target.image_id) {
        told["ImageId"] = json!(image);
    }
    if stands && state.order.share.is_none() && !target.work.copies.is_empty() {
        let pairs = state.source.snapshots.iter().zip(&target.work.copies);
        let snapshots: Map<String, Value> = pairs
            .filter_map(|(from, to)| Some((from.to_string(), json!(to.as_ref()?))))
            .collect();
        told["Snapshots"] = Value::Object(snapshots);
    }
    if let (true, Some(published)) = (stands, published(state, target)) {
        told["Published"] = published;
    }
    let mut notes = state.order.notes.clone();
    let kept = target.failure.iter();
    notes.extend(target.note.clone());
    notes.extend(kept.map(|failure| failure.reason.clone()));
    if target.phase == TargetPhase::Succeeded && !notes.is_empty() {
        told["Notes"] = json!(notes);
    }
    if let (false, Some(failure)) = (target.phase == TargetPhase::Succeeded, &target.failure) {
        told["Reason"] = json!(failure.reason);
        told["Cause"] = json!(failure.cause);
        told["Remedy"] = json!(failure.cause.remedy(state.run_ref(), target));
    }
    told
}
