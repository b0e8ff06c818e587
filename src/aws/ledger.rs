//! The ledger's objects in the function's bucket: read, and changed by conditional writes. What may
//! be written is decided in [`crate::ledger`].

use aws_sdk_s3::primitives::{ByteStream, DateTime};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Aws, refusal};
use crate::error::Refusal;
use crate::ledger::{Attempt, OPENINGS, Record, Run, Site, record_key, run_key};

/// Conditional writes of one object that others change at the same time, before that is told.
const MOST_RACES: usize = 24;

/// The decision about an object.
#[derive(Debug)]
pub enum Change<T, R> {
    /// Written, unless somebody else writes first.
    Write(T, R),
    /// Deleted, unless somebody else writes first.
    Delete(R),
    /// Left as it is.
    Leave(R),
}

impl Change<Record, ()> {
    /// The record becomes this one; without any entry it is deleted.
    pub fn to_record(record: Record) -> Self {
        if record.is_empty() {
            Self::Delete(())
        } else {
            Self::Write(record, ())
        }
    }
}

/// An object as it was read.
#[derive(Debug, Clone)]
pub struct Found<T> {
    pub value: T,
    etag: String,
}

impl Aws {
    /// Reads the record of a run, if the ledger has one.
    pub async fn run_record(&self, run: &str) -> Result<Option<Run>, Refusal> {
        let found = self.ledger_object(&run_key(run)).await?;
        Ok(found.map(|found| found.value))
    }

    /// The run of an attempt that a resource's record names; as little as the record says of it, if
    /// its object is gone.
    pub(super) async fn run_of(&self, attempt: &Attempt, site: &Site) -> Result<Run, Refusal> {
        let (account, region) = (site.account.as_str(), site.region.as_str());
        let found = self.run_record(&attempt.run).await?;
        Ok(found.unwrap_or_else(|| Run::unknown(attempt, account, region)))
    }

    /// Reads the record of an opening, if the ledger has one.
    pub async fn opening_record(&self, resource: &str) -> Result<Option<Record>, Refusal> {
        let found = self.ledger_object(&record_key(resource)).await?;
        Ok(found.map(|found| found.value))
    }

    /// Changes a run's object as `decide` says, which is asked again whenever somebody else wrote
    /// first.
    pub async fn change_run<R>(
        &self,
        run: &str,
        decide: impl FnMut(Option<&Run>) -> Change<Run, R> + Send,
    ) -> Result<R, Refusal> {
        self.change(&run_key(run), decide).await
    }

    /// The same of a resource's record.
    pub async fn change_record<R>(
        &self,
        resource: &str,
        decide: impl FnMut(Option<&Record>) -> Change<Record, R> + Send,
    ) -> Result<R, Refusal> {
        self.change(&record_key(resource), decide).await
    }

    async fn change<T: Serialize + DeserializeOwned, R>(
        &self,
        key: &str,
        mut decide: impl FnMut(Option<&T>) -> Change<T, R> + Send,
    ) -> Result<R, Refusal> {
        for race in 0..MOST_RACES {
            let found: Option<Found<T>> = self.ledger_object(key).await?;
            let (written, result) = match decide(found.as_ref().map(|found| &found.value)) {
                Change::Leave(result) => return Ok(result),
                Change::Write(value, result) => {
                    let written = self.write_object(key, &value, found.as_ref()).await?;
                    (written, result)
                }
                Change::Delete(result) => match &found {
                    Some(found) => (self.delete_object(key, found).await?, result),
                    None => return Ok(result),
                },
            };
            if written {
                return Ok(result);
            }
            self.pause_after_race(race).await;
        }
        Err(self.too_many_races(key))
    }

    pub(super) fn too_many_races(&self, key: &str) -> Refusal {
        let message = "others change it at the same time, again and again".to_owned();
        self.of_ledger("PutObject", key, "LedgerChanging", message)
    }

    /// Reads an object of the ledger; `None` if there is none.
    pub(super) async fn ledger_object<T: DeserializeOwned>(
        &self,
        key: &str,
    ) -> Result<Option<Found<T>>, Refusal> {
        let bucket = self.bucket()?;
        let name = format!("s3://{bucket}/{key}");
        let got = self.s3().get_object().bucket(bucket).key(key).send().await;
        let object = match got.map_err(|e| refusal("GetObject", &self.here(), &name, &e)) {
            Ok(object) => object,
            Err(refusal) if refusal.code == "NoSuchKey" => return Ok(None),
            // Without its words a 404 may speak of anything.
            Err(refusal) if matches!(refusal.code.as_str(), "NotFound" | "Http404") => {
                let code = "UnreadableAnswer".to_owned();
                return Err(Refusal { code, ..refusal });
            }
            Err(refusal) => return Err(refusal),
        };
        let etag = object.e_tag().unwrap_or_default().to_owned();
        let body = object.body.collect().await;
        let unreadable = |said: String| self.of_ledger("GetObject", key, "UnreadableAnswer", said);
        let body = body.map_err(|e| unreadable(format!("it broke off: {e}")))?;
        let value = serde_json::from_slice(&body.into_bytes()).map_err(|e| {
            unreadable(format!(
                "it is not as this version writes it ({e}); the bucket keeps its earlier \
                     versions"
            ))
        })?;
        Ok(Some(Found { value, etag }))
    }

    /// Writes an object if it is still as it was found; tells whether it was.
    pub(super) async fn write_object<T: Serialize>(
        &self,
        key: &str,
        value: &T,
        found: Option<&Found<T>>,
    ) -> Result<bool, Refusal> {
        let bucket = self.bucket()?;
        let body = serde_json::to_vec_pretty(value)
            .map_err(|e| self.of_ledger("PutObject", key, "NotSent", e.to_string()))?;
        let put = self
            .s3()
            .put_object()
            .bucket(bucket)
            .key(key)
            .content_type("application/json")
            .body(ByteStream::from(body));
        let put = match found {
            Some(found) => put.if_match(&found.etag),
            None => put.if_none_match("*"),
        };
        let name = format!("s3://{bucket}/{key}");
        let sent = put.send().await;
        won(sent
            .map(drop)
            .map_err(|e| refusal("PutObject", &self.here(), &name, &e)))
    }

    async fn delete_object<T>(&self, key: &str, found: &Found<T>) -> Result<bool, Refusal> {
        let bucket = self.bucket()?;
        let name = format!("s3://{bucket}/{key}");
        let sent = self
            .s3()
            .delete_object()
            .bucket(bucket)
            .key(key)
            .if_match(&found.etag)
            .send()
            .await;
        won(sent
            .map(drop)
            .map_err(|e| refusal("DeleteObject", &self.here(), &name, &e)))
    }

    /// The resources that have a record.
    pub async fn open_resources(&self) -> Result<Vec<String>, Refusal> {
        let keys = self.keys_below(OPENINGS).await?;
        let resources = keys.iter().filter_map(|(key, _)| {
            key.strip_prefix(OPENINGS)?
                .strip_suffix(".json")
                .map(str::to_owned)
        });
        Ok(resources.collect())
    }

    /// The keys that begin so, with the time of their last change (Unix seconds).
    pub(super) async fn keys_below(&self, prefix: &str) -> Result<Vec<(String, i64)>, Refusal> {
        let bucket = self.bucket()?;
        let name = format!("s3://{bucket}/{prefix}");
        let list = self.s3().list_objects_v2().bucket(bucket).prefix(prefix);
        let mut pages = list.into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| refusal("ListObjectsV2", &self.here(), &name, &e))?;
            for object in page.contents() {
                let changed = object.last_modified().map_or(0, DateTime::secs);
                keys.extend(object.key().map(|key| (key.to_owned(), changed)));
            }
        }
        Ok(keys)
    }

    fn bucket(&self) -> Result<&str, Refusal> {
        self.bucket.as_deref().ok_or_else(|| {
            let message = "the function has no bucket for its ledger: set AMIFERRY_BUCKET";
            self.of_ledger("GetObject", "", "AMIFERRY_BUCKET", message.to_owned())
        })
    }

    /// Returns a refusal that this function makes itself, about an object of the ledger.
    fn of_ledger(
        &self,
        operation: &'static str,
        key: &str,
        code: &str,
        message: String,
    ) -> Refusal {
        let bucket = self.bucket.as_deref().unwrap_or_default();
        let at = self.here();
        Refusal::ours(
            operation,
            &at,
            format!("s3://{bucket}/{key}"),
            code,
            message,
        )
    }

    /// Longer each time.
    pub(super) async fn pause_after_race(&self, race: usize) {
        let longest = 40_u64 << race.min(6);
        tokio::time::sleep(Self::jitter(longest)).await;
    }
}

/// A write that lost a race has no effect and is no error: 412 where another came first, 409 at the
/// same moment, 404 where it was deleted.
fn won(sent: Result<(), Refusal>) -> Result<bool, Refusal> {
    match sent {
        Ok(()) => Ok(true),
        Err(refusal) => match refusal.code.as_str() {
            "PreconditionFailed" | "ConditionalRequestConflict" | "NoSuchKey" => Ok(false),
            _ => Err(refusal),
        },
    }
}
