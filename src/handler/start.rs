//! Starting the state machine, and EventBridge's word that an image became available.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tracing::{info, warn};

use super::begin::{Begun, accept, begin, run_of};
use super::turn::check_carried;
use super::{Handler, Invocation, in_time, too_slow, turn_budget};
use crate::aws::Aws;
use crate::command::tag;
use crate::digest::digest;
use crate::error::Error;
use crate::event::{ImageChange, Turn};
use crate::request::Request;

/// The tag that an image must carry to be distributed when it becomes available, and its value.
const OPT_IN: (&str, &str) = ("amiferry:distribute", "true");
/// Keys that the event itself says.
const SAID_BY_THE_EVENT: [&str; 4] = ["SourceImageId", "AmiId", "SourceRegion", "Region"];

/// Seconds within which the builder of an image has tagged it.
const TAGGED_WITHIN: i64 = 300;
/// Seconds in which Packer has copied its intermediate image, and deregistered it.
const PASSING_WITHIN: i64 = 600;
/// Seconds between two looks at an image: first, and at most.
const FIRST_LOOK: i64 = 5;
const LONGEST_LOOK: i64 = 60;

/// Whether the owner of an image wants it to be distributed.
pub(super) fn is_opted_in(tags: &BTreeMap<String, String>) -> bool {
    tags.get(OPT_IN.0).is_some_and(|value| value == OPT_IN.1)
}

/// Whether an image may be one that Packer copies, encrypts and deregisters: those have a name of
/// seven letters and digits. Others have such names too, so it is only looked for longer.
fn may_be_passing(name: &str) -> bool {
    name.len() == 7 && name.bytes().all(|b| b.is_ascii_alphanumeric())
}

impl Handler {
    /// Starts an execution; one of this name that runs or ran is as good. Tells whether it is at
    /// work.
    pub(super) async fn start(&self, aws: &Aws, name: &str, input: &Value) -> Result<bool, Error> {
        let machine = self.settings.state_machine.as_deref();
        let machine = machine
            .ok_or_else(|| Error::Internal("AMIFERRY_STATE_MACHINE_ARN is not set".to_owned()))?;
        let new = aws.start_execution(machine, name, input).await?;
        info!(execution = name, new, "started");
        if new {
            return Ok(true);
        }
        aws.is_running(machine, name)
            .await
            .map_err(Error::from_refusal)
    }

    /// Whether an execution of this name exists or existed.
    pub(super) async fn has_execution(&self, aws: &Aws, name: &str) -> Result<bool, Error> {
        let Some(machine) = self.settings.state_machine.as_deref() else {
            return Ok(false);
        };
        let input = aws.execution_input(machine, name).await;
        Ok(input.map_err(Error::from_refusal)?.is_some())
    }

    /// Distributes an image that became available, if its owner wants that. Our own copies become
    /// available too: they never do.
    pub(super) async fn image_changed(
        &self,
        aws: &Aws,
        change: &ImageChange,
        invocation: &Invocation,
    ) -> Result<Value, Error> {
        let (image, region) = (change.image.as_str(), change.region.as_str());
        let nothing = |why: &str| {
            info!(image, region, state = change.state, why, "not distributed");
            Ok(json!({"Status": "Nothing", "Why": why}))
        };
        if change.state != "available" {
            return nothing("only an image that became available is distributed");
        }
        if self.settings.request.is_none() && self.settings.request_parameter.is_none() {
            return nothing(
                "the function has no request of its own: set AMIFERRY_REQUEST or \
                 AMIFERRY_REQUEST_PARAMETER",
            );
        }
        self.settings.needed_bucket()?;
        let mut request = self.own_request(aws).await?;
        if let Err(why) = self.wait_for_opt_in(aws, change, invocation).await? {
            return nothing(why);
        }
        request.insert("SourceImageId".to_owned(), json!(image));
        request.insert("SourceRegion".to_owned(), json!(region));
        let request = Value::Object(request);
        // Without the tag nobody has asked for anything.
        let parsed = Request::parse(&request, &self.defaults(invocation)?)?;
        self.permit(aws, &parsed).await?;
        if self.settings.state_machine.is_some() {
            // An image becomes available once; the event may come many times.
            let name = format!("amiferry-{image}-{}", &digest([image, region])[..8]);
            self.start(aws, &name, &json!({ "Distribute": request }))
                .await?;
            return Ok(json!({"Execution": name}));
        }
        let run = run_of(&request, &parsed);
        let budget = turn_budget(aws, invocation)?;
        let begun = in_time(aws, &budget, begin(aws, parsed, &run, false)).await;
        let mut begun = begun.unwrap_or_else(|| Err(too_slow()))?;
        check_carried(&begun.state)?;
        let by = "an event of EventBridge";
        let accepting = in_time(aws, &budget, accept(aws, &mut begun, by, false)).await;
        accepting.unwrap_or_else(|| Err(too_slow()))?;
        let turn = Turn::first(None, None, true);
        let Begun {
            mut state, source, ..
        } = begun;
        self.go_on(aws, &mut state, Some(source), &turn, invocation)
            .await
    }

    /// Waits until the image carries the opt-in tag. Whoever builds an image may tag it some time
    /// after it became available, as Packer does; what Packer only copies from, and deregisters
    /// then, has gone by the time that is waited for.
    async fn wait_for_opt_in(
        &self,
        aws: &Aws,
        change: &ImageChange,
        invocation: &Invocation,
    ) -> Result<Result<(), &'static str>, Error> {
        let budget = turn_budget(aws, invocation)?;
        let began = aws.now();
        let mut seen = false;
        loop {
            let age = aws.now().saturating_sub(began);
            let found = aws.name_and_tags_of(&change.image, &change.region).await?;
            let (why, longest) = match found {
                None if seen => {
                    return Ok(Err(
                        "it was deregistered a moment after it became available",
                    ));
                }
                None => ("this account has no such image", TAGGED_WITHIN),
                Some((_, tags))
                    if tags.contains_key(tag::RUN) || tags.contains_key(tag::SOURCE_IMAGE) =>
                {
                    return Ok(Err("it is a copy that amiferry made"));
                }
                Some((name, tags)) if is_opted_in(&tags) => {
                    if !may_be_passing(&name) || age >= PASSING_WITHIN {
                        return Ok(Ok(()));
                    }
                    seen = true;
                    let why = "its name is one that Packer gives an image which it deregisters";
                    (why, PASSING_WITHIN)
                }
                Some(_) => {
                    seen = true;
                    ("it has not the tag amiferry:distribute=true", TAGGED_WITHIN)
                }
            };
            let wait = (age / 2).clamp(FIRST_LOOK, LONGEST_LOOK);
            if age >= longest || !budget.lasts(aws.now() + wait) {
                return Ok(Err(why));
            }
            info!(image = change.image.as_str(), why, wait, "looked for again");
            tokio::time::sleep(Duration::from_secs(wait.unsigned_abs())).await;
        }
    }

    /// Returns the request that serves EventBridge's events.
    pub(super) async fn own_request(&self, aws: &Aws) -> Result<Map<String, Value>, Error> {
        let (name, text) = match (&self.settings.request, &self.settings.request_parameter) {
            (Some(text), _) => ("AMIFERRY_REQUEST", text.clone()),
            (None, Some(parameter)) => (
                "AMIFERRY_REQUEST_PARAMETER",
                aws.parameter(parameter).await?,
            ),
            (None, None) => {
                let problem = "is not set: the function has no request of its own, and \
                               AMIFERRY_REQUEST_PARAMETER is not set either";
                return Err(Error::invalid("AMIFERRY_REQUEST", problem));
            }
        };
        let object = match serde_json::from_str(&text) {
            Ok(Value::Object(object)) => object,
            Ok(_) => {
                return Err(Error::invalid(
                    name,
                    "must be a JSON object with the request's keys",
                ));
            }
            Err(e) => return Err(Error::invalid(name, format!("is not JSON: {e}"))),
        };
        if let Some(key) = SAID_BY_THE_EVENT
            .iter()
            .find(|key| object.contains_key(**key))
        {
            return Err(Error::invalid(
                format!("{name}.{key}"),
                "is what the event says; leave it out",
            ));
        }
        Ok(object)
    }

    /// Wakes the executions that wait for copies into this account and Region. A lost event costs
    /// only time, so nothing here fails.
    pub(super) async fn snapshot_ended(&self, aws: &Aws, account: &str, region: &str) -> Value {
        let Some(machine) = self.settings.state_machine.as_deref() else {
            info!(
                account,
                region, "snapshot notification: nobody waits, polling finds the copy's end"
            );
            return json!({"Woken": 0});
        };
        match aws.wake(machine, account, region).await {
            Ok(woken) => {
                info!(account, region, woken, "snapshot notification");
                json!({ "Woken": woken })
            }
            Err(refused) => {
                warn!(account, region, %refused, "snapshot notification: could not wake anybody");
                json!({"Woken": 0})
            }
        }
    }
}
