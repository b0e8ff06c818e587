//! `{"Promote": …}` and `{"Rollback": …}`: one parameter moves in all targets, or in none. All
//! targets are looked at before the first is changed; where one refuses, the others go back.

use std::time::Duration;

use futures::stream::{self, StreamExt};
use serde_json::{Value, json};
use tracing::info;

use super::{Handler, Invocation, PATIENCE, budget, in_time, targets_of, too_slow};
use crate::aws::{Aws, ChannelTarget};
use crate::channel::{Decided, apart, decide};
use crate::error::{Error, Refusal};
use crate::ids::AccountId;
use crate::plan;
use crate::request::{Channel, Move};
use crate::state::TargetState;

/// Targets that are worked on at once.
const AT_ONCE: usize = 20;
/// Looks at a value that Systems Manager validates after it was written, and the time between two.
const MOST_LOOKS: u32 = 12;
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// One target on its way.
struct Moving {
    target: TargetState,
    /// The parameter that moves, by its name there.
    name: String,
    there: Option<ChannelTarget>,
    decided: Decided,
    status: &'static str,
    reason: Option<String>,
}

impl Handler {
    pub(super) async fn channel(
        &self,
        aws: &Aws,
        channel: Channel,
        invocation: &Invocation,
    ) -> Result<Value, Error> {
        let owner = self.owner(aws, invocation).await?;
        let budget = budget(aws, invocation, PATIENCE)?;
        let moving = in_time(aws, &budget, move_all(aws, channel, &owner));
        moving.await.unwrap_or_else(|| Err(too_slow()))
    }
}

async fn move_all(aws: &Aws, channel: Channel, owner: &AccountId) -> Result<Value, Error> {
    let Channel {
        wanted,
        apply,
        places,
    } = channel;
    let targets = targets_of(aws, places, owner).await?;
    let (wanted, targets) = (&wanted, targets.iter().map(plan::to_look_at));
    let looking: Vec<_> = targets
        .map(|target| async move { look(aws, wanted, target, owner, apply).await })
        .collect();
    let mut all: Vec<Moving> = stream::iter(looking).buffered(AT_ONCE).collect().await;
    let blocked = all.iter().any(|one| matches!(one.decided, Decided::Not(_)));
    let apart = apart(all.iter().map(|one| &one.decided));
    if let Some(why) = &apart {
        for one in &mut all {
            (one.status, one.reason) = ("Failed", Some(why.clone()));
        }
    }
    if apply && !blocked && apart.is_none() {
        all = write_all(all).await;
    }
    Ok(told(&all, apply))
}

/// Looks at one target, and decides about it.
async fn look(
    aws: &Aws,
    wanted: &Move,
    target: TargetState,
    owner: &AccountId,
    apply: bool,
) -> Moving {
    let fill = |name: &crate::request::ParameterName| name.fill(&target.account_id, &target.region);
    let (from, to) = match wanted {
        Move::Promote { from, to } => (Some(fill(from)), fill(to)),
        Move::Rollback { parameter, .. } => (None, fill(parameter)),
    };
    let names: Vec<String> = from.iter().cloned().chain([to.clone()]).collect();
    let looked = async {
        let there = aws.channel_target(&target, owner, &names, apply).await?;
        let facts = there.read(from.as_deref(), &to).await?;
        let decided = decide(wanted, &facts, from.as_deref().unwrap_or(&to));
        Ok::<_, Refusal>((there, decided))
    };
    let (there, decided) = match looked.await {
        Ok((there, decided)) => (Some(there), decided),
        Err(refusal) => (None, Decided::Not(refusal.to_string())),
    };
    let (status, reason) = match &decided {
        Decided::There { .. } => ("Unchanged", None),
        Decided::Write { .. } => ("WouldMove", None),
        Decided::Not(why) => ("Failed", Some(why.clone())),
    };
    Moving {
        target,
        name: to,
        there,
        decided,
        status,
        reason,
    }
}

/// Writes all targets. Where one does not take its value, those that did go back.
async fn write_all(all: Vec<Moving>) -> Vec<Moving> {
    let writing: Vec<_> = all.into_iter().map(write_one).collect();
    let mut all: Vec<Moving> = stream::iter(writing).buffered(AT_ONCE).collect().await;
    if all.iter().any(|one| one.status == "Failed") {
        let returning: Vec<_> = all.into_iter().map(take_back).collect();
        all = stream::iter(returning).buffered(AT_ONCE).collect().await;
    }
    all
}

async fn write_one(mut one: Moving) -> Moving {
    let (Some(there), Decided::Write { image, typed, .. }) = (&one.there, &one.decided) else {
        return one;
    };
    let written = put(there, &one.name, image.as_str(), *typed).await;
    (one.status, one.reason) = match written {
        Ok(()) => ("Moved", None),
        Err(why) => ("Failed", Some(why)),
    };
    let (account, region) = (one.target.account_id.as_str(), one.target.region.as_str());
    info!(account, region, parameter = one.name, image = %image, status = one.status, "channel");
    one
}

/// Brings the former value back, also where it is unknown whether the new one was taken.
async fn take_back(mut one: Moving) -> Moving {
    let (
        Some(there),
        Decided::Write {
            image,
            former,
            typed,
            ..
        },
    ) = (&one.there, &one.decided)
    else {
        return one;
    };
    let holds = there.holds(&one.name, image.as_str()).await;
    if matches!(holds, Ok(false)) {
        return one;
    }
    let Some(former) = former else {
        one.status = "Left";
        let why = "it has no former value; delete the parameter if nobody may use the image";
        one.reason = Some(why.to_owned());
        return one;
    };
    (one.status, one.reason) = match put(there, &one.name, former, *typed).await {
        Ok(()) => ("RolledBack", one.reason),
        Err(why) => ("Left", Some(why)),
    };
    one
}

/// Writes a value and waits until it shows, because Systems Manager validates it afterwards.
async fn put(there: &ChannelTarget, name: &str, value: &str, typed: bool) -> Result<(), String> {
    let words = |refusal: Refusal| refusal.to_string();
    there.write(name, value, typed).await.map_err(words)?;
    for _ in 0..MOST_LOOKS {
        if there.holds(name, value).await.map_err(words)? {
            return Ok(());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Err(format!(
        "{name} does not show {value} a minute after PutParameter"
    ))
}

fn told(all: &[Moving], apply: bool) -> Value {
    let any = |status: &str| all.iter().any(|one| one.status == status);
    let status = if any("Left") {
        "Stuck"
    } else if any("Failed") || any("RolledBack") {
        "Failed"
    } else {
        "Succeeded"
    };
    let targets: Vec<Value> = all.iter().map(of_target).collect();
    json!({"Status": status, "Applied": apply, "Targets": targets})
}

fn of_target(one: &Moving) -> Value {
    let mut told = json!({
        "AccountId": one.target.account_id,
        "Region": one.target.region,
        "Parameter": one.name,
        "Status": one.status,
    });
    match &one.decided {
        Decided::There { image, .. } => told["ImageId"] = json!(image),
        Decided::Write {
            image,
            source,
            former,
            ..
        } => {
            told["ImageId"] = json!(image);
            told["SourceImageId"] = json!(source);
            if let Some(former) = former {
                told["FormerImageId"] = json!(former);
            }
        }
        Decided::Not(_) => {}
    }
    if let Some(reason) = &one.reason {
        told["Reason"] = json!(reason);
    }
    told
}
