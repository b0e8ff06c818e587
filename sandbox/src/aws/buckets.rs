//! Buckets and their objects, and how tests may change them. S3 is strongly consistent: every
//! change takes effect at once.
//!
//! Source: S3 guide, data consistency model; S3 API reference, Object (ETag).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use md5::{Digest, Md5};
use serde_json::{Value, json};

use super::{Aws, Partition, build};
use crate::iam::Policy;
use crate::wire::time;
use crate::world::WorldError;

#[derive(Clone, Debug)]
pub(crate) struct LiveBucket {
    pub account: String,
    pub region: String,
    /// The policy as put; nothing if the bucket has no policy.
    pub policy_text: Option<String>,
    pub policy: Option<Arc<Policy>>,
    pub objects: BTreeMap<String, LiveObject>,
}

#[derive(Clone, Debug)]
pub(crate) struct LiveObject {
    pub body: Bytes,
    /// The MD5 digest of the content, in quotes. Equal content has an equal ETag.
    pub etag: String,
    pub modified: SystemTime,
    pub content_type: String,
    /// The checksum kept with the object: header name and value.
    pub checksum: Option<(&'static str, String)>,
}

impl LiveObject {
    pub(crate) fn new(body: Bytes, modified: SystemTime) -> Self {
        Self {
            etag: format!("\"{}\"", hex::encode(Md5::digest(&body))),
            body,
            modified,
            content_type: "binary/octet-stream".to_owned(),
            checksum: None,
        }
    }
}

impl LiveBucket {
    pub(crate) fn arn(&self, name: &str) -> String {
        let partition = Partition::of_region(&self.region).name;
        format!("arn:{partition}:s3:::{name}")
    }

    /// Returns the bucket as `/_sandbox/world` shows it.
    pub(crate) fn shown(&self, name: &str) -> Value {
        let objects = self.objects.iter().map(|(key, object)| {
            json!({
                "key": key, "etag": object.etag, "last_modified": time::iso(object.modified),
                "body": String::from_utf8_lossy(&object.body),
            })
        });
        let objects: Vec<Value> = objects.collect();
        json!({"name": name, "policy": self.policy_text, "objects": objects})
    }
}

impl Aws {
    pub(crate) fn objects_of(&self, bucket: &str) -> BTreeMap<String, Vec<u8>> {
        let objects = self.s3_buckets.get(bucket).map(|live| live.objects.iter());
        let objects = objects.into_iter().flatten();
        objects
            .map(|(key, object)| (key.clone(), object.body.to_vec()))
            .collect()
    }

    /// Writes an object, whatever was there before and whatever policies say.
    pub fn put_object(&mut self, bucket: &str, key: &str, content: impl Into<Vec<u8>>) -> bool {
        let now = self.now;
        let live = self.s3_buckets.get_mut(bucket);
        let object = LiveObject::new(Bytes::from(content.into()), now);
        live.map(|live| live.objects.insert(key.to_owned(), object))
            .is_some()
    }

    /// Deletes an object.
    pub fn delete_object(&mut self, bucket: &str, key: &str) -> bool {
        let live = self.s3_buckets.get_mut(bucket);
        live.is_some_and(|live| live.objects.remove(key).is_some())
    }

    /// Deletes all objects of a bucket; the bucket stays.
    pub fn clear_bucket(&mut self, bucket: &str) -> bool {
        let live = self.s3_buckets.get_mut(bucket);
        live.map(|live| live.objects.clear()).is_some()
    }

    /// Deletes the bucket with its objects.
    pub fn drop_bucket(&mut self, bucket: &str) -> bool {
        self.s3_buckets.remove(bucket).is_some()
    }

    /// Replaces the bucket policy.
    pub fn set_bucket_policy(&mut self, bucket: &str, json: &str) -> Result<bool, WorldError> {
        let Some(live) = self.s3_buckets.get_mut(bucket) else {
            return Ok(false);
        };
        live.policy = Some(build::bucket_policy(json, &live.arn(bucket), "policy")?);
        live.policy_text = Some(json.to_owned());
        Ok(true)
    }

    /// Removes the bucket policy.
    pub fn drop_bucket_policy(&mut self, bucket: &str) -> bool {
        let live = self.s3_buckets.get_mut(bucket);
        live.is_some_and(|live| {
            live.policy_text = None;
            live.policy.take().is_some()
        })
    }
}
