//! `{"Enroll": …}`: targets of the function's own request that have no image of a channel yet, such
//! as those of an account that joined the organization, get the one that the others have.

use futures::stream::{self, StreamExt};
use serde_json::{Map, Value, json};
use tracing::{info, warn};

use super::start::is_opted_in;
use super::{Handler, Invocation, budget, in_time, too_slow};
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
        let defaults = self.defaults(invocation)?;
        let call = Enroll::parse(words, &defaults.region)?;
        if call.apply && self.settings.state_machine.is_none() {
            let problem = "is not set, and Enroll only starts executions; set it as template.yaml \
                           does, or leave Apply out";
            return Err(Error::invalid("AMIFERRY_STATE_MACHINE_ARN", problem));
        }
        self.settings.needed_bucket()?;
        let owner = match defaults.account {
            Some(account) => account,
            None => aws.caller().await?.account,
        };
        let budget = budget(aws, invocation, self.patience)?;
        let enrolling = async {
            let request = self.own_request(aws).await?;
            let places = call.places(&request)?;
            let members = match &places.audience {
                Some(audience) => aws.members(audience, true, &owner).await?.accounts,
                None => Vec::new(),
            };
            let targets = places.with_members(&members, &owner)?.targets;
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
        let mut told = Vec::new();
        for channel in own.call.channels(&own.request)? {
            told.push(self.enroll_into(aws, own, &channel).await?);
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
    ) -> Result<Value, Error> {
        let looking = own.targets.iter().map(|target| async move {
            let found = look(aws, own, channel, target).await;
            found.unwrap_or_else(|refusal| Held::Unread(refusal.to_string()))
        });
        let looking: Vec<_> = looking.collect();
        let all: Vec<Held> = stream::iter(looking).buffered(AT_ONCE).collect().await;
        let pairs = || own.targets.iter().zip(&all);
        let without = pairs().filter(|(_, held)| **held == Held::Nothing);
        let without: Vec<&Target> = without.map(|(target, _)| target).collect();
        let mut told = json!({"Parameter": channel, "Status": "Succeeded"});
        let source = match current(all.iter()) {
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

/// Looks at one target's channel.
async fn look(
    aws: &Aws,
    own: &Own<'_>,
    channel: &ParameterName,
    target: &Target,
) -> Result<Held, Refusal> {
    let name = channel.fill(&target.account, &target.region);
    let names = [name.clone()];
    let target = plan::to_look_at(target);
    let there = aws.channel_target(&target, &own.owner, &names, false);
    let facts = there.await?.read(None, &name).await?;
    Ok(held(&facts, &name))
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
