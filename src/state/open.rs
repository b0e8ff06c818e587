//! Opens a state that is handed in from outside, and refuses by name whatever this function does
//! not write.

use serde::Deserialize;
use serde_json::Value;

use super::{Pace, SCHEMA, State, TargetPhase, TargetState};
use crate::error::Error;
use crate::event::job::is_execution_name;
use crate::ids::{ImageId, InstanceId, KeyArn, SnapshotId, is_test_group};
use crate::request::{MAX_TARGETS, check_tags};

fn check_schema(schema: Option<&Value>) -> Result<(), Error> {
    match schema.and_then(Value::as_u64) {
        Some(SCHEMA) => Ok(()),
        Some(newer) if newer > SCHEMA => Err(Error::invalid_state(format!(
            "Schema {newer} was written by a newer version; this one reads up to {SCHEMA}: deploy \
             that version again to finish the run"
        ))),
        _ => Err(Error::invalid_state(format!("Schema must be {SCHEMA}"))),
    }
}

fn is_not_whole(error: &serde_json::Error) -> Error {
    Error::invalid_state(format!(
        "is not whole ({error}); hand back the State of the last reply unchanged"
    ))
}

impl State {
    /// Opens a state that is handed in from outside. Fails with `InvalidState` if this version
    /// cannot continue with it.
    pub fn open(value: &Value) -> Result<Self, Error> {
        let Value::Object(object) = value else {
            return Err(Error::invalid_state(
                "must be the object a former reply carried".to_owned(),
            ));
        };
        check_schema(object.get("Schema"))?;
        Self::deserialize(value)
            .map_err(|error| is_not_whole(&error))?
            .checked()
    }

    /// Opens a state that is kept as text, as [`open`](Self::open) does. A tree of values would
    /// take several times the memory.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Head {
            schema: Option<Value>,
        }
        let head: Head = serde_json::from_slice(text).map_err(|error| is_not_whole(&error))?;
        check_schema(head.schema.as_ref())?;
        serde_json::from_slice::<Self>(text)
            .map_err(|error| is_not_whole(&error))?
            .checked()
    }

    fn checked(self) -> Result<Self, Error> {
        self.check()?;
        Ok(self)
    }

    fn check(&self) -> Result<(), Error> {
        let invalid = |problem: &str| {
            Err(Error::invalid_state(format!(
                "{problem}; hand back the State of the last reply unchanged"
            )))
        };
        let lasting = self.order.share.is_some();
        if (self.targets.is_empty() && !lasting) || self.targets.len() > MAX_TARGETS {
            return invalid("Targets is empty or too long");
        }
        let takes_away =
            |t: &TargetState| t.phase == TargetPhase::Removing || t.phase.is_terminal();
        if self.source.snapshots.is_empty() && !lasting && !self.targets.iter().all(takes_away) {
            return invalid("Source.Snapshots is empty");
        }
        if !(8..=32).contains(&self.run.len()) || !self.run.bytes().all(|b| b.is_ascii_hexdigit()) {
            return invalid("Run is not a run ID");
        }
        if self.targets.iter().any(|t| {
            !t.work.copies.is_empty() && t.work.copies.len() != self.source.snapshots.len()
        }) {
            return invalid("a target's Copies do not match Source.Snapshots");
        }
        if !self.staging_is_sound() {
            return invalid(
                "Source.Staged, Source.ManagedKeys and Order.ReencryptKey do not fit each other",
            );
        }
        // Other times and counters were not written by this function, and could overflow.
        let sane = |time: i64| (0..=i64::from(u32::MAX)).contains(&time);
        let paced = |pace: &Pace| sane(pace.due) && pace.tries < 1000;
        let times = |t: &TargetState| {
            let work = &t.work;
            paced(&t.pace)
                && sane(work.since)
                && sane(work.last_start)
                && work.again < 1000
                && work.lost_images < 1000
        };
        let shared = &self.sharing;
        if !(sane(self.started)
            && sane(self.end_by)
            && sane(shared.at)
            && paced(&shared.pace)
            && sane(shared.staged_at)
            && self.unread < 1000
            && self.targets.iter().all(times))
        {
            return invalid("a time or a counter is out of range");
        }
        self.check_words()
    }

    /// Refuses texts that this function never wrote, because they would go into calls, policies, or
    /// commands that a person runs.
    fn check_words(&self) -> Result<(), Error> {
        let invalid = |what: &str| {
            Err(Error::invalid_state(format!(
                "{what} is not what this function wrote; hand back the State of the last reply \
                 unchanged"
            )))
        };
        if !is_execution_name(&self.execution) {
            return invalid("Execution");
        }
        if let Err(error) = check_tags(&self.order.tags) {
            return invalid(&format!("Order.{error}; it"));
        }
        let former = self.order.retag.iter().flat_map(|retag| &retag.former);
        let former = former.filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
        if let Err(error) = check_tags(&former.collect()) {
            return invalid(&format!("Order.Retag.{error}; it"));
        }
        let is_principal = |arn: &String| {
            let organizations = arn.split(':').nth(2) == Some("organizations");
            let plain = |b: u8| b.is_ascii_alphanumeric() || b":/-".contains(&b);
            arn.starts_with("arn:") && organizations && arn.bytes().all(plain)
        };
        let shares = self.order.share.iter();
        if !shares
            .flat_map(|s| s.audience.iter().chain(&s.gone))
            .all(is_principal)
        {
            return invalid("Order.Share");
        }
        if !self.order.audience.iter().all(is_principal) {
            return invalid("Order.Audience");
        }
        let is_made = |id: &String| {
            ImageId::parse(id).is_ok()
                || SnapshotId::parse(id).is_ok()
                || KeyArn::parse(id).is_ok()
                || InstanceId::parse(id).is_ok()
                || is_test_group(id)
        };
        let mut left = self.targets.iter().flat_map(|t| t.phase.left());
        if !left.all(is_made) {
            return invalid("a target's Left");
        }
        Ok(())
    }
}
