//! The runs that count on the copies of an image in a place: each run whose object in the ledger wants one there. Two runs that want the same copy
//! share it, and the last of them takes it away.

use aws_sdk_ec2::types::Image;

use super::naming::made_by;
use crate::ledger::Run;
use crate::state::{State, TargetState};

/// The runs that have to do with the copies of one image in one place.
pub struct Counting<'a> {
    own: &'a str,
    /// Runs that want no copy there any more.
    over: Vec<&'a Run>,
    /// Of the others, a run that has no image of its own: it uses another run's.
    without_own: Option<&'a Run>,
}

/// The fate of an image when a run's copies are removed.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate {
    Removed,
    /// The image is another run's.
    Others,
    /// Another run counts on it, and which.
    Kept(String),
}

impl<'a> Counting<'a> {
    pub fn of(runs: &'a [Run], state: &'a State, target: &TargetState, images: &[Image]) -> Self {
        let image = state.source.image_id.as_str();
        let (account, region) = (target.account_id.as_str(), target.region.as_str());
        let not_own = runs.iter().filter(|run| run.run != state.run);
        let (others, over): (Vec<&Run>, Vec<&Run>) =
            not_own.partition(|run| run.counts_on(image, account, region));
        let has_own = |run: &Run| images.iter().any(|image| made_by(image) == Some(&run.run));
        Self {
            own: &state.run,
            over,
            without_own: others.into_iter().find(|run| !has_own(run)),
        }
    }

    pub fn fate(&self, image: &Image) -> Fate {
        let by = made_by(image).unwrap_or_default();
        let is_over = by == self.own || self.over.iter().any(|run| run.run == by);
        if !is_over {
            return Fate::Others;
        }
        match self.without_own {
            Some(run) => Fate::Kept(format!("run {} ({}) counts on it", run.run, run.asked_by)),
            None => Fate::Removed,
        }
    }
}
