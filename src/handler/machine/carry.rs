//! Data that one call of the state machine hands to the next: in the reply where it is small, in
//! the bucket where it is not.

use serde_json::{Value, json};

use super::part::Part;
use crate::aws::Aws;
use crate::error::Error;
use crate::handler::{Handler, Invocation};
use crate::reply::{notice, outcome};
use crate::state::{PAYLOADS, State, shorten};

/// A state machine carries 256 KiB; several things of this size go with one step.
pub(super) const INLINE: usize = 60_000;
/// The time for which a part needs the function as it begins.
const SECONDS_OF_A_BEGINNING: u32 = 2;
/// Parts come back as they end, with their reasons: several times as large as they went out.
const INLINE_PARTS: usize = 20_000;

impl Handler {
    /// Returns the parts of the targets that are still on their way; without any, the machine only
    /// concludes. They begin one after another: each needs the function at its beginning, and
    /// whenever a copy of it ends.
    pub(super) async fn parts_of(
        &self,
        aws: &Aws,
        state: &State,
        at_once: u32,
    ) -> Result<Value, Error> {
        let going = (0..state.targets.len()).filter(|&i| !state.targets[i].phase.is_terminal());
        let delay = |n: u32| n.saturating_mul(SECONDS_OF_A_BEGINNING) / at_once;
        let part = |(n, i): (u32, usize)| json!({"State": state.part(i), "Delay": delay(n)});
        let parts: Vec<String> = (0..)
            .zip(going)
            .map(|going| part(going).to_string())
            .collect();
        if parts.is_empty() {
            return self.whole(aws, "Ready", None, state, INLINE).await;
        }
        let mut told = self.whole(aws, "Opened", None, state, INLINE).await?;
        let text = format!("[{}]", parts.join(","));
        let carried = self.carried(aws, state, "parts.json", text, INLINE_PARTS);
        carried.await?.put(["Parts", "PartsAt"], &mut told)?;
        Ok(told)
    }

    /// A reply that carries the state of the whole run, or where it is if it has more bytes than
    /// `inline`.
    pub(in crate::handler) async fn whole(
        &self,
        aws: &Aws,
        status: &str,
        wait: Option<u32>,
        state: &State,
        inline: usize,
    ) -> Result<Value, Error> {
        let mut told = json!({ "Status": status });
        if let Some(seconds) = wait {
            told["WaitSeconds"] = json!(seconds);
        }
        let text = serde_json::to_string(state).map_err(|e| Error::Internal(e.to_string()))?;
        let carried = self.carried(aws, state, "state.json", text, inline);
        carried.await?.put(["State", "StateAt"], &mut told)?;
        Ok(told)
    }

    /// Keeps JSON in the bucket if it is larger than `inline` bytes.
    async fn carried(
        &self,
        aws: &Aws,
        state: &State,
        name: &str,
        text: String,
        inline: usize,
    ) -> Result<Carried, Error> {
        match &self.settings.bucket {
            Some(bucket) if text.len() > inline => {
                let key = format!("{}{name}", state.prefix());
                aws.keep(bucket, &key, text.into_bytes()).await?;
                Ok(Carried::At(json!({"Bucket": bucket, "Key": key})))
            }
            _ => Ok(Carried::Here(text)),
        }
    }

    pub(in crate::handler) async fn last_state(
        &self,
        aws: &Aws,
        last: &Value,
    ) -> Result<Option<State>, Error> {
        match (last.get("State"), last.get("StateAt")) {
            (Some(state), _) => State::open(state).map(Some),
            (None, Some(at)) => {
                check_place(at)?;
                State::parse(&self.fetch(aws, at).await?).map(Some)
            }
            (None, None) => Ok(None),
        }
    }

    /// Returns an object that an earlier reply, or the machine itself, left in the bucket.
    async fn fetch(&self, aws: &Aws, at: &Value) -> Result<Vec<u8>, Error> {
        let bucket = at["Bucket"].as_str().unwrap_or_default();
        let key = at["Key"].as_str().unwrap_or_default();
        if self.settings.bucket.as_deref() != Some(bucket) {
            return Err(Error::invalid_state(format!(
                "is kept in bucket {bucket:?}, which is not this function's (AMIFERRY_BUCKET)"
            )));
        }
        let body = aws.kept(bucket, key).await?;
        body.ok_or_else(|| {
            Error::invalid_state(format!("s3://{bucket}/{key} is not there any more"))
        })
    }

    /// Hands on the Map's results one by one: the list of the children's outputs, or the objects of
    /// its ResultWriter.
    pub(super) async fn each_part(
        &self,
        aws: &Aws,
        parts: &Value,
        mut take: impl FnMut(Part),
    ) -> Result<(), Error> {
        for part in parts.as_array().into_iter().flatten() {
            take(Part::read(&part.to_string()));
        }
        let Some(details) = parts.get("ResultWriterDetails") else {
            return Ok(());
        };
        let manifest = self.fetch(aws, details).await?;
        let manifest: Value =
            serde_json::from_slice(&manifest).map_err(|error| is_not_json(details, &error))?;
        for kind in ["SUCCEEDED", "FAILED"] {
            let files = manifest["ResultFiles"][kind].as_array();
            for file in files.into_iter().flatten() {
                let at = json!({"Bucket": details["Bucket"], "Key": file["Key"]});
                let object = self.fetch(aws, &at).await?;
                Part::each(&object, &mut take).map_err(|error| is_not_json(&at, &error))?;
            }
        }
        Ok(())
    }

    pub(super) async fn told(
        &self,
        aws: &Aws,
        state: &State,
        invocation: &Invocation,
    ) -> Result<Value, Error> {
        let mut told = self.ended(aws, state, invocation).await?;
        told["Notice"] = notice::of(state);
        told["Event"] = outcome::of(state, &told["Result"]);
        self.shrink_result(aws, state, &mut told, INLINE).await?;
        Ok(told)
    }

    /// Leaves a result of more bytes than `inline` in the bucket, and tells where.
    pub(in crate::handler) async fn shrink_result(
        &self,
        aws: &Aws,
        state: &State,
        told: &mut Value,
        inline: usize,
    ) -> Result<(), Error> {
        let text = told["Result"].to_string();
        if let Carried::At(at) = self
            .carried(aws, state, "result.json", text, inline)
            .await?
        {
            told["Result"] = json!({
                "RunId": state.run,
                "SourceImageId": state.source.image_id,
                "Count": state.targets.len(),
                "ResultAt": at,
            });
        }
        Ok(())
    }
}

/// JSON of a reply: here, or at its place in the bucket.
enum Carried {
    Here(String),
    At(Value),
}

impl Carried {
    /// Puts the JSON under the first name into the reply, or its place under the second.
    fn put(self, [here, there]: [&str; 2], told: &mut Value) -> Result<(), Error> {
        match self {
            Self::At(at) => told[there] = at,
            Self::Here(text) => {
                told[here] =
                    serde_json::from_str(&text).map_err(|e| Error::Internal(e.to_string()))?;
            }
        }
        Ok(())
    }
}

/// Refuses the place of a state that is none of this function's replies.
fn check_place(at: &Value) -> Result<(), Error> {
    let key = at["Key"].as_str().unwrap_or_default();
    if key.starts_with(PAYLOADS) {
        return Ok(());
    }
    let key = shorten(key, 200);
    Err(Error::invalid_state(format!(
        "is kept at {key:?}, which is no place of a state; hand back the StateAt of the last reply \
         unchanged"
    )))
}

fn is_not_json(at: &Value, error: &serde_json::Error) -> Error {
    let word = |key: &str| at[key].as_str().unwrap_or_default();
    let (bucket, key) = (word("Bucket"), word("Key"));
    Error::invalid_state(format!("s3://{bucket}/{key} is not JSON: {error}"))
}
