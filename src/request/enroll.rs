//! `{"Enroll": …}`: targets of the function's own request that have no image yet get those of its
//! channels.

use serde_json::{Map, Value, json};

use super::channel::{call_fields, channel_name};
use super::fields::Fields;
use super::keys::{ENROLL_KEYS, KEYS, OF_TARGETS};
use super::{Mode, ParameterName, Places, Target, mode_of};
use crate::error::Error;
use crate::ids::{ImageId, Region};

/// A checked call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enroll {
    /// The channels; none if the request's own is meant.
    channels: Vec<ParameterName>,
    /// The Region of the source images.
    pub source_region: Region,
    /// Whether executions are started.
    pub apply: bool,
}

impl Enroll {
    /// Checks `{"Enroll": value}`. `region` is the function's.
    pub fn parse(value: &Value, region: &Region) -> Result<Self, Error> {
        let mut fields = call_fields("Enroll", &ENROLL_KEYS, value)?;
        let mut channels = Vec::new();
        for (i, name) in (0..).zip(fields.list("Channels")?.unwrap_or_default()) {
            let name = channel_name(&name);
            let key = || fields.key(&format!("Channels[{i}]"));
            channels.push(name.map_err(|problem| Error::invalid(key(), problem))?);
        }
        let source_region = fields.checked(&["SourceRegion"], Region::parse)?;
        let apply = fields.flag("Apply")?.unwrap_or(false);
        fields.finish()?;
        Ok(Self {
            channels,
            source_region: source_region.unwrap_or_else(|| region.clone()),
            apply,
        })
    }

    /// Reads the targets of the function's own request.
    pub fn places(&self, request: &Map<String, Value>) -> Result<Places, Error> {
        let mut fields = Fields::new("", &KEYS, request);
        if mode_of(&mut fields, Mode::Copy)? == Mode::Share {
            let problem = "is Share, but a channel holds copies; accounts of a shared organization \
                           need no run when they join";
            return Err(Error::invalid("Mode", problem));
        }
        Places::read(&mut fields, &self.source_region)
    }

    /// Returns the channels, which `request` names where the call does not.
    pub fn channels(&self, request: &Map<String, Value>) -> Result<Vec<ParameterName>, Error> {
        if !self.channels.is_empty() {
            return Ok(self.channels.clone());
        }
        let own = request.get("Publish").and_then(|it| it.get("Parameter"));
        let Some(own) = own.and_then(Value::as_str) else {
            let problem = "is required, because the function's request has no Publish.Parameter: \
                           the parameters by which people find the image";
            return Err(Error::invalid("Enroll.Channels", problem));
        };
        let name = channel_name(own);
        Ok(vec![name.map_err(|problem| {
            Error::invalid("Publish.Parameter", problem)
        })?])
    }

    /// Returns the request that gives these targets the image, and the channel with it.
    pub fn request(
        &self,
        own: &Map<String, Value>,
        channel: &ParameterName,
        image: &ImageId,
        targets: &[&Target],
    ) -> Value {
        let mut request = own.clone();
        // Each target says its own key and role.
        for key in OF_TARGETS {
            request.remove(key);
        }
        request.insert("SourceImageId".to_owned(), json!(image));
        request.insert("SourceRegion".to_owned(), json!(self.source_region));
        let targets: Vec<Value> = targets.iter().copied().map(of_target).collect();
        request.insert("Targets".to_owned(), json!(targets));
        let mut publish = match request.remove("Publish") {
            Some(Value::Object(publish)) => publish,
            _ => Map::new(),
        };
        publish.insert("Parameter".to_owned(), json!(channel));
        request.insert("Publish".to_owned(), Value::Object(publish));
        Value::Object(request)
    }
}

fn of_target(target: &Target) -> Value {
    let mut told = json!({
        "AccountId": target.account,
        "Region": target.region,
        "KmsKeyId": target.key,
        "RoleName": target.role,
    });
    if let Some(external_id) = &target.external_id {
        told["ExternalId"] = json!(external_id);
    }
    told
}
