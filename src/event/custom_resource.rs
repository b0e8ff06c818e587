//! CloudFormation's custom resource event. Its ResponseURL is a secret: everybody who knows it can
//! forge the answer.

use std::fmt;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde_json::{Map, Value, json};
use url::Url;

use crate::digest::digest;
use crate::error::Error;
use crate::ids::{AccountId, ImageId};
use crate::kms::Arn;

/// The key that keeps the time of the event when its ResponseURL, which contains that time, is kept
/// elsewhere.
const SENT_AT: &str = "SentAt";
/// Seconds reserved for undoing and answering, if the time-out is long enough.
const SHORTEST_END: i64 = 15;
/// Bytes of the longest ResponseURL; those of CloudFormation have several hundred.
const LONGEST_URL: usize = 8192;

/// A URL that takes the answer; secret, so its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct ResponseUrl(String);

impl ResponseUrl {
    /// Checks that the URL uses HTTPS, or HTTP on this machine. The error never shows the URL.
    pub fn parse(url: impl Into<String>) -> Result<Self, Error> {
        let url = url.into();
        let is_good = Url::parse(&url).is_ok_and(|url| {
            let local = url.host_str() == Some("127.0.0.1");
            // `http://127.0.0.1.example.com` and `http://127.0.0.1@example.com` only begin like
            // this machine.
            (url.scheme() == "https" || url.scheme() == "http" && local)
                && url.username().is_empty()
                && url.password().is_none()
        });
        if !is_good || url.len() > LONGEST_URL {
            return Err(Error::invalid("ResponseURL", "must be an https URL"));
        }
        Ok(Self(url))
    }

    /// Returns when CloudFormation signed the URL (Unix seconds): then it sent the event.
    fn signed_at(&self) -> Option<i64> {
        let url = Url::parse(&self.0).ok()?;
        let (_, date) = url.query_pairs().find(|(key, _)| key == "X-Amz-Date")?;
        // 20260131T235959Z
        let (day, time) = date.strip_suffix('Z')?.split_once('T')?;
        let part = |text: &str, from: usize, to: usize| text.get(from..to).map(str::to_owned);
        let iso = format!(
            "{}-{}-{}T{}:{}:{}Z",
            part(day, 0, 4)?,
            part(day, 4, 6)?,
            part(day, 6, 8)?,
            part(time, 0, 2)?,
            part(time, 2, 4)?,
            part(time, 4, 6)?
        );
        let at = DateTime::from_str(&iso, Format::DateTime).ok()?;
        Some(at.secs())
    }

    /// Returns the URL, for the one request that goes there.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ResponseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseUrl(…)")
    }
}

/// The change that CloudFormation makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestType {
    /// The resource is created.
    Create,
    /// The resource is updated.
    Update,
    /// The resource is deleted.
    Delete,
}

/// A custom resource's event. Keys that CloudFormation may add one day are ignored.
#[derive(Debug, Clone)]
pub struct CustomResource {
    /// The change that CloudFormation makes.
    pub request_type: RequestType,
    /// The URL for the answer; `None` if it is kept elsewhere.
    pub response_url: Option<ResponseUrl>,
    /// The ARN of the stack.
    pub stack_id: String,
    /// The ID of the event.
    pub request_id: String,
    /// The resource's name in its template.
    pub logical_resource_id: String,
    /// The resource's type.
    pub resource_type: String,
    /// The resource's physical ID; absent in a Create.
    pub physical_resource_id: Option<String>,
    /// The unchecked request.
    pub properties: Value,
    /// The unchecked request before an Update; otherwise `Null`.
    pub old_properties: Value,
    /// When CloudFormation sent the event (Unix seconds), if that is known.
    sent_at: Option<i64>,
}

/// Seconds that CloudFormation waits for an answer, unless the resource has a ServiceTimeout.
const SERVICE_TIMEOUT: i64 = 3600;

impl CustomResource {
    /// Reads an event. Fails with `InvalidRequest` if a text is missing or too long.
    pub fn parse(value: &Value) -> Result<Self, Error> {
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let required = |key: &str| {
            text(key).filter(|t| !t.is_empty()).ok_or_else(|| {
                Error::invalid(key, "is required: a string, as CloudFormation sends it")
            })
        };
        // The answer contains all four, and has room for 4,096 bytes.
        for (key, most) in [
            ("StackId", 1024),
            ("RequestId", 256),
            ("LogicalResourceId", 256),
            ("PhysicalResourceId", 1024),
        ] {
            let odd = |t: &String| t.len() > most || t.chars().any(char::is_control);
            if text(key).is_some_and(|t| odd(&t)) {
                let problem = format!("must be at most {most} bytes, as CloudFormation sends it");
                return Err(Error::invalid(key, problem));
            }
        }
        let request_type = match required("RequestType")?.as_str() {
            "Create" => RequestType::Create,
            "Update" => RequestType::Update,
            "Delete" => RequestType::Delete,
            _ => {
                return Err(Error::invalid(
                    "RequestType",
                    "must be Create, Update or Delete",
                ));
            }
        };
        let response_url = match value.get("ResponseURL") {
            None | Some(Value::Null) => None,
            Some(url) => Some(ResponseUrl::parse(url.as_str().unwrap_or_default())?),
        };
        let object = |key: &str| match value.get(key) {
            Some(Value::Object(object)) => Value::Object(object.clone()),
            _ => Value::Object(Map::new()),
        };
        let sent_at = value.get(SENT_AT).and_then(Value::as_i64);
        let sent_at = sent_at.or_else(|| response_url.as_ref()?.signed_at());
        Ok(Self {
            request_type,
            sent_at,
            response_url,
            stack_id: required("StackId")?,
            request_id: required("RequestId")?,
            logical_resource_id: required("LogicalResourceId")?,
            resource_type: text("ResourceType").unwrap_or_default(),
            physical_resource_id: text("PhysicalResourceId").filter(|id| !id.is_empty()),
            properties: object("ResourceProperties"),
            old_properties: object("OldResourceProperties"),
        })
    }

    /// Returns when the work must end (Unix seconds), with time to undo it and to answer before
    /// CloudFormation gives up.
    pub fn end_by(&self, now: i64) -> i64 {
        let timeout = self.timeout();
        let sent_at = self
            .sent_at
            .unwrap_or(now)
            .clamp(now.saturating_sub(timeout), now);
        sent_at + timeout - reserve(timeout)
    }

    /// Returns when the answer is due even if a run still undoes what must end at `end_by` (Unix
    /// seconds): half of the reserve is left for the way of the answer.
    pub fn answer_due(&self, end_by: i64) -> i64 {
        end_by + reserve(self.timeout()) / 2
    }

    /// Returns the seconds that CloudFormation waits for the answer.
    fn timeout(&self) -> i64 {
        let timeout = match &self.properties["ServiceTimeout"] {
            Value::String(text) => text.trim().parse().ok(),
            other => other.as_i64(),
        };
        timeout.unwrap_or(SERVICE_TIMEOUT).clamp(1, SERVICE_TIMEOUT)
    }

    /// Returns the event as CloudFormation sent it, with the time of its ResponseURL in place of
    /// the URL.
    pub fn without_url(&self) -> Value {
        json!({
            SENT_AT: self.sent_at,
            "RequestType": match self.request_type {
                RequestType::Create => "Create",
                RequestType::Update => "Update",
                RequestType::Delete => "Delete",
            },
            "StackId": self.stack_id,
            "RequestId": self.request_id,
            "LogicalResourceId": self.logical_resource_id,
            "ResourceType": self.resource_type,
            "PhysicalResourceId": self.physical_resource_id,
            "ResourceProperties": self.properties,
            "OldResourceProperties": self.old_properties,
        })
    }

    /// Returns the run's ID, the same for every event about this resource and this image. So a
    /// changed list of targets updates in place, and a changed image is a new physical resource.
    pub fn run_id(&self, image: &ImageId) -> String {
        digest([
            self.stack_id.as_str(),
            self.logical_resource_id.as_str(),
            image.as_str(),
        ])[..16]
            .to_owned()
    }

    /// Returns the event's identity, the same for every delivery of the event.
    pub fn identity(&self) -> String {
        digest([self.stack_id.as_str(), self.request_id.as_str()])[..32].to_owned()
    }

    /// Returns the name of the execution that handles the event: a second delivery starts nothing.
    pub fn execution(&self) -> String {
        format!("amiferry-{}", self.identity())
    }

    /// Returns the key of the object that keeps the event's ResponseURL.
    pub fn url_at(&self) -> String {
        format!("answers/{}", self.execution())
    }

    /// Returns the stack's account, from its ARN.
    pub fn stack_account(&self) -> Option<AccountId> {
        Arn::parse(&self.stack_id).and_then(|arn| AccountId::parse(arn.account).ok())
    }
}

/// Returns the seconds of a time-out that are kept for undoing and for the answer: a twelfth, which
/// is five minutes of the hour.
fn reserve(timeout: i64) -> i64 {
    (timeout / 12).max(SHORTEST_END.min(timeout / 2))
}

/// Returns the physical ID of a run.
pub fn physical_id(run: &str) -> String {
    format!("amiferry-{run}")
}
