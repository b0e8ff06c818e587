//! Fast snapshot restores: the times of their states.

use std::time::{Duration, SystemTime};

use super::Aws;
use crate::model::FastRestore;

/// The time that a fast restore is `enabling`, and `disabling` (unproved).
const SWITCHING: Duration = Duration::from_mins(1);
/// The time to optimize a TiB (EBS guide, fast snapshot restore).
const PER_TIB: Duration = Duration::from_hours(1);
const GIB_PER_TIB: u32 = 1024;

/// (account that enabled it, snapshot ID, Availability Zone)
pub(crate) type FastRestoreKey = (String, String, String);

/// The fast restore of a snapshot in an Availability Zone.
#[derive(Clone, Debug)]
pub(crate) struct LiveFastRestore {
    pub region: String,
    pub enabled: SystemTime,
    /// The size of the snapshot's volume, in GiB.
    pub size: u32,
    pub disabled: Option<SystemTime>,
}

impl LiveFastRestore {
    /// Returns the states that the fast restore has entered so far, with their times.
    pub(crate) fn states(&self, aws: &Aws) -> Vec<(&'static str, SystemTime)> {
        let optimizing = self.enabled + aws.rules.scaled(SWITCHING);
        let takes = PER_TIB * self.size / GIB_PER_TIB;
        let mut states = vec![
            ("enabling", self.enabled),
            ("optimizing", optimizing),
            ("enabled", optimizing + aws.rules.scaled(takes)),
        ];
        if let Some(disabled) = self.disabled {
            states.retain(|(_, at)| *at <= disabled);
            states.push(("disabling", disabled));
            states.push(("disabled", disabled + aws.rules.scaled(SWITCHING)));
        }
        states.retain(|(_, at)| *at <= aws.now);
        states
    }

    pub(crate) fn state(&self, aws: &Aws) -> &'static str {
        let states = self.states(aws);
        states.last().map_or("enabling", |(state, _)| state)
    }
}

impl Aws {
    /// Returns the fast restores that an account enabled in a Region.
    pub(crate) fn fast_restores_of(&self, account: &str, region: &str) -> Vec<FastRestore> {
        let all = self.fast_restores.iter();
        let own = all.filter(|((owner, _, _), live)| owner == account && live.region == region);
        own.map(|((_, snapshot, zone), live)| FastRestore {
            snapshot_id: snapshot.clone(),
            availability_zone: zone.clone(),
            state: live.state(self).to_owned(),
        })
        .collect()
    }
}
