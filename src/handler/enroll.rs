//! `{"Enroll": …}`: targets of the function's own request that have no image of a channel yet, such
//! as those of an account that joined the organization, get the one that the others have.

use futures::stream::{self, StreamExt};
use serde_json::{Map, Value, json};
use tracing::{info, warn};

use super::start::is_opted_in;
use super::{Handler, Invocation, budget, in_time, targets_of, too_slow};
use crate::aws::Aws;
use crate::digest::digest;
use crate::enroll::{Held, current, held};
use crate::error::{Error, Refusal};
use crate::ids::{AccountId, ImageId};
use crate::plan;
use crate::request::{Enroll, MAX_TARGETS, ParameterName, Request, Target};

/// Targets that are looked at once.
const AT_ONCE: usize = 20;
/// An execution that failed is started again after so many seconds.
const AGAIN_AFTER: i64 = 3600;

/// The function's own request, and where it is to be served.
struct Own<'a> {
    call: Enroll,
    request: Map<String, Value>,
    targets: Vec<Target>,
    owner: AccountId,
    invocation: &'a Invocation,
}

impl Handler {
    pub(super) async fn enroll(
        &self,
        aws: &Aws,
        words: &Value,
        invocation: &Invocation,
    ) -> Result<Value, Error> {
        let call = Enroll::parse(words, &self.region()?)?;
        if call.apply && self.settings.state_machine.is_none() {
            let problem = "is not set, and Enroll only starts executions; set it as template.yaml \
                           does, or leave Apply out";
            return Err(Error::invalid("AMIFERRY_STATE_MACHINE_ARN", problem));
        }
        self.settings.needed_bucket()?;
        let owner = self.owner(aws, invocation).await?;
        let budget = budget(aws, invocation, self.patience)?;
        let enrolling = async {
            let request = self.own_request(aws).await?;
            let targets = targets_of(aws, call.places(&request)?, &owner).await?;
            let own = Own {
                call,
                request,
                targets,
                owner,
                invocation,
            };
            self.enroll_all(aws, &own).await
        };
        let enrolling = in_time(aws, &budget, enrolling);
        enrolling.await.unwrap_or_else(|| Err(too_slow()))
    }

    async fn enroll_all(&self, aws: &Aws, own: &Own<'_>) -> Result<Value, Error> {
        let channels = own.call.channels(&own.request)?;
        let (seen, at_each) = (&channels, own.targets.iter());
        let looking = at_each.map(|target| async move { look(aws, own, seen, target).await });
        let looking: Vec<_> = looking.collect();
        let all: Vec<Vec<Held>> = stream::iter(looking).buffered(AT_ONCE).collect().await;
        let mut told = Vec::new();
        for (n, channel) in channels.iter().enumerate() {
            let held: Vec<&Held> = all.iter().map(|of_target| &of_target[n]).collect();
            told.push(self.enroll_into(aws, own, channel, &held).await?);
        }
        let count = |word: &str| told.iter().filter(|one| one["Status"] == word).count();
        let status = match (count("Succeeded"), count("Failed")) {
            (all, _) if all == told.len() => "Succeeded",
            (_, all) if all == told.len() => "Failed",
            _ => "PartiallySucceeded",
        };
        Ok(json!({"Status": status, "Applied": own.call.apply, "Channels": told}))
    }

    /// Gives one channel to the targets that have nothing in it.
    async fn enroll_into(
        &self,
        aws: &Aws,
        own: &Own<'_>,
        channel: &ParameterName,
        all: &[&Held],
    ) -> Result<Value, Error> {
        let pairs = || own.targets.iter().zip(all.iter().copied());
        let without = pairs().filter(|(_, held)| **held == Held::Nothing);
        let without: Vec<&Target> = without.map(|(target, _)| target).collect();
        let mut told = json!({"Parameter": channel, "Status": "Succeeded"});
        let source = match current(all.iter().copied()) {
            // Where nobody waits for the image, nobody needs to want it.
            Ok(source) if without.is_empty() => Ok(source),
            Ok(source) => may_be_served(aws, own, &source).await?.map(|()| source),
            Err(why) => Err(why),
        };
        let mut enrolls = false;
        match source {
            Ok(source) => {
                told["SourceImageId"] = json!(source);
                enrolls = true;
                if own.call.apply {
                    told["Executions"] = self
                        .executions(aws, own, channel, &source, &without)
                        .await?;
                }
            }
            // Nobody waits for an image: it need not be known.
            Err(_) if without.is_empty() => {}
            Err(why) => {
                warn!(parameter = ?channel, why, "not enrolled");
                (told["Status"], told["Reason"]) = (json!("Failed"), json!(why));
            }
        }
        let source = told["SourceImageId"].as_str().map(str::to_owned);
        let word = match (enrolls, own.call.apply) {
            (true, true) => "Enrolled",
            (true, false) => "WouldEnroll",
            (false, _) => "Without",
        };
        let shown =
            pairs().filter_map(|(target, held)| of_target(target, held, source.as_deref(), word));
        let shown: Vec<Value> = shown.collect();
        let unread = all
            .iter()
            .filter(|held| matches!(held, Held::Unread(_)))
            .count();
        if unread > 0 && told["Status"] == "Succeeded" {
            warn!(parameter = ?channel, unread, "targets could not be looked at");
            told["Status"] = json!("PartiallySucceeded");
        }
        told["UpToDate"] = json!(all.len() - shown.len());
        told["Targets"] = json!(shown);
        Ok(told)
    }

    /// Starts the executions that copy the image into these targets.
    async fn executions(
        &self,
        aws: &Aws,
        own: &Own<'_>,
        channel: &ParameterName,
        source: &ImageId,
        targets: &[&Target],
    ) -> Result<Value, Error> {
        let mut names = Vec::new();
        for some in targets.chunks(MAX_TARGETS) {
            let request = own.call.request(&own.request, channel, source, some);
            let parsed = Request::parse(&request, &self.defaults(own.invocation)?)?;
            self.permit(aws, &parsed).await?;
            let hour = (aws.now() / AGAIN_AFTER).to_string();
            let name = format!(
                "amiferry-enroll-{}",
                digest([request.to_string().as_str(), &hour])
            );
            let at_work = self
                .start(aws, &name, &json!({ "Distribute": request }))
                .await?;
            let parameter = request["Publish"]["Parameter"].as_str();
            info!(
                execution = name,
                at_work,
                parameter,
                targets = some.len(),
                "enrolling"
            );
            names.push(name);
        }
        Ok(json!(names))
    }
}

/// Looks at one target's channels.
async fn look(aws: &Aws, own: &Own<'_>, channels: &[ParameterName], target: &Target) -> Vec<Held> {
    let fill = |channel: &ParameterName| channel.fill(&target.account, &target.region);
    let names: Vec<String> = channels.iter().map(fill).collect();
    let unread = |refusal: Refusal| Held::Unread(refusal.to_string());
    let target = plan::to_look_at(target);
    let there = match aws.channel_target(&target, &own.owner, &names, false).await {
        Ok(there) => there,
        Err(refusal) => return vec![unread(refusal); names.len()],
    };
    let mut all = Vec::new();
    for name in &names {
        let facts = there.read(None, name).await;
        all.push(facts.map_or_else(unread, |facts| held(&facts, name)));
    }
    all
}

/// Returns whether the owner of the image still wants it to be distributed.
async fn may_be_served(
    aws: &Aws,
    own: &Own<'_>,
    source: &ImageId,
) -> Result<Result<(), String>, Error> {
    let found = aws
        .name_and_tags_of(source, &own.call.source_region)
        .await?;
    Ok(match found {
        Some((_, tags)) if is_opted_in(&tags) => Ok(()),
        Some(_) => Err(format!(
            "most targets hold copies of {source}, which has not the tag amiferry:distribute=true"
        )),
        None => Err(format!(
            "most targets hold copies of {source}, which the function's account does not have in \
             {}",
            own.call.source_region
        )),
    })
}

/// Returns a target as the reply tells it; `None` if its channel holds the image.
fn of_target(target: &Target, held: &Held, source: Option<&str>, word: &str) -> Option<Value> {
    let mut told = json!({"AccountId": target.account, "Region": target.region});
    match held {
        Held::Copy { source: held, .. } if source.is_none_or(|source| source == held) => {
            return None;
        }
        Held::Copy { image, source } => {
            told["Status"] = json!("Behind");
            (told["ImageId"], told["SourceImageId"]) = (json!(image), json!(source));
        }
        Held::Nothing => told["Status"] = json!(word),
        Held::Other(why) => (told["Status"], told["Reason"]) = (json!("Other"), json!(why)),
        Held::Unread(why) => (told["Status"], told["Reason"]) = (json!("Unread"), json!(why)),
    }
    Some(told)
}
