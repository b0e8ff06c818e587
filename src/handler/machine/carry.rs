//! Data that one call of the state machine hands to the next: in the reply where it is small, in
//! the bucket where it is not.

use serde_json::{Value, json};

use crate::aws::Aws;
use crate::error::Error;
use crate::handler::{Handler, Invocation};
use crate::reply::{notice, outcome};
use crate::state::State;

/// A state machine carries 256 KiB; several things of this size go with one step.
const INLINE: usize = 60_000;
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
        let parts: Vec<Value> = (0..).zip(going).map(part).collect();
        if parts.is_empty() {
            return self.whole(aws, "Ready", None, state).await;
        }
        let mut told = self.whole(aws, "Opened", None, state).await?;
        let parts = Value::Array(parts);
        let size = parts.to_string().len();
        match &self.settings.bucket {
            Some(bucket) if size > INLINE_PARTS => {
                let key = format!("payloads/{}/parts.json", place_of(state));
                aws.keep(bucket, &key, parts.to_string().into_bytes())
                    .await?;
                told["PartsAt"] = json!({"Bucket": bucket, "Key": key});
            }
            _ => told["Parts"] = parts,
        }
        Ok(told)
    }

    /// A reply that carries the whole's state, or where it is.
    pub(super) async fn whole(
        &self,
        aws: &Aws,
        status: &str,
        wait: Option<u32>,
        state: &State,
    ) -> Result<Value, Error> {
        let mut told = json!({ "Status": status });
        if let Some(seconds) = wait {
            told["WaitSeconds"] = json!(seconds);
        }
        let value = serde_json::to_value(state).map_err(|e| Error::Internal(e.to_string()))?;
        let size = value.to_string().len();
        match &self.settings.bucket {
            Some(bucket) if size > INLINE => {
                let key = format!("payloads/{}/state.json", place_of(state));
                aws.keep(bucket, &key, value.to_string().into_bytes())
                    .await?;
                told["StateAt"] = json!({"Bucket": bucket, "Key": key});
            }
            _ => told["State"] = value,
        }
        Ok(told)
    }

    pub(super) async fn last_state(&self, aws: &Aws, last: &Value) -> Result<Option<State>, Error> {
        let value = match (last.get("State"), last.get("StateAt")) {
            (Some(state), _) => state.clone(),
            (None, Some(at)) => self.fetch(aws, at).await?,
            (None, None) => return Ok(None),
        };
        State::open(&value).map(Some)
    }

    /// JSON that an earlier reply, or the machine itself, left in the bucket.
    pub(super) async fn fetch(&self, aws: &Aws, at: &Value) -> Result<Value, Error> {
        let bucket = at["Bucket"].as_str().unwrap_or_default();
        let key = at["Key"].as_str().unwrap_or_default();
        if self.settings.bucket.as_deref() != Some(bucket) {
            return Err(Error::invalid_state(format!(
                "is kept in bucket {bucket:?}, which is not this function's (AMIFERRY_BUCKET)"
            )));
        }
        let body = aws.kept(bucket, key).await?;
        let body = body.ok_or_else(|| {
            Error::invalid_state(format!("s3://{bucket}/{key} is not there any more"))
        })?;
        serde_json::from_slice(&body)
            .map_err(|e| Error::invalid_state(format!("s3://{bucket}/{key} is not JSON: {e}")))
    }

    /// The Map's result: the children's outputs, or where its ResultWriter put them.
    pub(super) async fn parts(&self, aws: &Aws, parts: &Value) -> Result<Vec<Value>, Error> {
        if let Value::Array(parts) = parts {
            return Ok(parts.clone());
        }
        let Some(details) = parts.get("ResultWriterDetails") else {
            return Ok(Vec::new());
        };
        let manifest = self.fetch(aws, details).await?;
        let mut found = Vec::new();
        for kind in ["SUCCEEDED", "FAILED"] {
            let files = manifest["ResultFiles"][kind].as_array();
            for file in files.into_iter().flatten() {
                let at = json!({"Bucket": details["Bucket"], "Key": file["Key"]});
                let executions = self.fetch(aws, &at).await?;
                let outputs = executions.as_array().into_iter().flatten();
                let outputs = outputs.filter_map(|e| e["Output"].as_str());
                found.extend(outputs.filter_map(|o| serde_json::from_str::<Value>(o).ok()));
            }
        }
        Ok(found)
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
        let size = told["Result"].to_string().len();
        if let Some(bucket) = &self.settings.bucket
            && size > INLINE
        {
            let key = format!("payloads/{}/result.json", place_of(state));
            aws.keep(bucket, &key, told["Result"].to_string().into_bytes())
                .await?;
            let at = json!({"Bucket": bucket, "Key": key});
            told["Result"] = json!({
                "RunId": state.run,
                "SourceImageId": state.source.image_id,
                "Count": state.targets.len(),
                "ResultAt": at,
            });
        }
        Ok(told)
    }
}

/// Returns the key of this run's objects, apart from those of any other execution.
fn place_of(state: &State) -> &str {
    if state.execution.is_empty() {
        &state.run
    } else {
        &state.execution
    }
}
