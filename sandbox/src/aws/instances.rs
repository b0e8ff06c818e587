//! Instances: the times of their states, and the reasons of failed launches.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::Aws;
use crate::model::{Image, Instance};
use crate::refusals::Refused;

/// The time that an instance is `pending`, and `shutting-down`. AWS takes seconds; nothing depends
/// on the exact time.
const STARTING: Duration = Duration::from_secs(10);
const STOPPING: Duration = Duration::from_secs(10);
/// The time for which a terminated instance is shown (EC2 guide, terminate instances).
const SHOWN: Duration = Duration::from_hours(1);
/// The time from `running` to the result of the first status checks. AWS takes a minute or two.
const CHECKING: Duration = Duration::from_secs(90);

#[derive(Clone, Debug)]
pub(crate) struct LiveInstance {
    pub id: String,
    pub reservation_id: String,
    pub owner: String,
    pub region: String,
    /// The image as it was at the launch.
    pub image: Image,
    pub instance_type: String,
    pub client_token: Option<String>,
    pub tags: BTreeMap<String, String>,
    pub subnet_id: Option<String>,
    /// The ARN of the instance profile.
    pub profile_arn: Option<String>,
    /// The state of IMDS tokens as the launch set it: `optional` or `required`.
    pub http_tokens: Option<String>,
    pub launched_by: String,
    pub launched: SystemTime,
    pub visible_at: SystemTime,
    /// The reason why the instance goes from `pending` to `terminated`, if it does.
    pub fails: Option<Refused>,
    /// The time at which a caller terminated the instance.
    pub terminated: Option<SystemTime>,
    /// (device, volume ID, deleted on termination)
    pub volumes: Vec<(String, String, bool)>,
}

/// AWS's number and name of a state (model, `InstanceState`).
pub(crate) type State = (i32, &'static str);

const PENDING: State = (0, "pending");
const RUNNING: State = (16, "running");
const SHUTTING_DOWN: State = (32, "shutting-down");
const TERMINATED: State = (48, "terminated");

impl LiveInstance {
    pub(crate) fn state(&self, aws: &Aws) -> State {
        let past = |from: SystemTime, time| aws.now >= from + aws.rules.scaled(time);
        let started = past(self.launched, STARTING);
        match self.terminated {
            _ if started && self.has_failed_by_itself(aws) => TERMINATED,
            Some(at) if past(at, STOPPING) => TERMINATED,
            Some(_) => SHUTTING_DOWN,
            None if started => RUNNING,
            None => PENDING,
        }
    }

    /// Returns whether the instance was terminated so long ago that nothing shows it.
    pub(crate) fn is_forgotten(&self, aws: &Aws) -> bool {
        let ended = self.terminated.map_or_else(
            || self.launched + aws.rules.scaled(STARTING),
            |at| at + aws.rules.scaled(STOPPING),
        );
        self.state(aws) == TERMINATED && aws.now >= ended + aws.rules.scaled(SHOWN)
    }

    /// Returns whether the launch failed before a caller terminated the instance.
    fn has_failed_by_itself(&self, aws: &Aws) -> bool {
        let ends = self.launched + aws.rules.scaled(STARTING);
        self.fails.is_some() && self.terminated.is_none_or(|at| at >= ends)
    }

    /// Returns code and message of the end, for an instance that is ending or has ended.
    pub(crate) fn reason(&self, aws: &Aws) -> Option<(String, String)> {
        let state = self.state(aws);
        if state == PENDING || state == RUNNING {
            return None;
        }
        let failed = self
            .fails
            .as_ref()
            .filter(|_| self.has_failed_by_itself(aws));
        Some(match failed {
            Some(no) => (no.refusal.code.to_owned(), no.message.clone()),
            None => (
                "Client.UserInitiatedShutdown".to_owned(),
                "Client.UserInitiatedShutdown: User initiated shutdown".to_owned(),
            ),
        })
    }

    /// Returns the status of the instance's own checks and of the system's.
    pub(crate) fn checks(&self, aws: &Aws) -> (&'static str, &'static str) {
        if !self.is_running(aws) {
            return ("not-applicable", "not-applicable");
        }
        if aws.now < self.launched + aws.rules.scaled(STARTING + CHECKING) {
            return ("initializing", "initializing");
        }
        let own = if aws.is_impaired(&self.image) {
            "impaired"
        } else {
            "ok"
        };
        (own, "ok")
    }

    /// Returns whether the instance runs, and so has its volumes attached.
    pub(crate) fn is_running(&self, aws: &Aws) -> bool {
        self.state(aws) == RUNNING
    }

    pub(crate) fn view(&self, aws: &Aws) -> Instance {
        Instance {
            instance_id: self.id.clone(),
            owner_id: self.owner.clone(),
            region: self.region.clone(),
            image_id: self.image.image_id.clone(),
            instance_type: self.instance_type.clone(),
            state: self.state(aws).1.to_owned(),
            state_reason: self.reason(aws),
            launched_by: self.launched_by.clone(),
            client_token: self.client_token.clone(),
            subnet_id: self.subnet_id.clone(),
            profile_arn: self.profile_arn.clone(),
            kept_volumes: {
                let volumes = self.volumes.iter();
                let kept = volumes.filter(|(_, _, deleted)| !deleted);
                kept.map(|(device, _, _)| device.clone()).collect()
            },
            tags: self.tags.clone(),
        }
    }
}

impl Aws {
    /// Makes the status checks of this image's instances end in `impaired`, those of running
    /// instances too. The image is named by its ID, its name, or the ID of the image that it was
    /// copied from.
    pub fn impair_instances_of(&mut self, image: &str) -> bool {
        self.impaired_images.insert(image.to_owned())
    }

    fn is_impaired(&self, image: &Image) -> bool {
        let source = image.source_image_id.as_ref();
        let names = [Some(&image.image_id), Some(&image.name), source];
        let mut names = names.into_iter().flatten();
        names.any(|name| self.impaired_images.contains(name))
    }
}
