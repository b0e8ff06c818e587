//! The runs that count on the copies of an image in one target. Two runs that want the same copy
//! share it, and the last of them takes it away.

use serde_json::Value;

use super::Run;

/// The runs that have to do with the copies of one image in one target.
#[derive(Debug)]
pub struct Counting<'a> {
    own: &'a str,
    /// Runs that want no copy there any more.
    over: Vec<&'a Run>,
    /// A run that counts on a copy and has no image of its own: it uses another run's.
    without_own: Option<&'a Run>,
}

/// The fate of an image when a run's copies are removed.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate {
    /// The run made the image, and nobody else counts on it.
    Removed,
    /// The image is another run's.
    Others,
    /// Another run counts on it: which, in words.
    Kept(String),
}

/// One image in one target.
#[derive(Debug, Clone, Copy)]
pub struct Counted<'a> {
    /// The AMI ID of the source.
    pub source_image: &'a str,
    /// The target's account.
    pub account: &'a str,
    /// The target's Region.
    pub region: &'a str,
}

impl<'a> Counting<'a> {
    /// Sorts the ledger's runs. `makers` are the runs that made the images which are there.
    pub fn of(runs: &'a [Run], own: &'a str, what: Counted<'_>, makers: &[&str]) -> Self {
        let not_own = runs.iter().filter(|run| run.run != own);
        let (others, over): (Vec<&Run>, Vec<&Run>) =
            not_own.partition(|run| run.counts_on(what.source_image, what.account, what.region));
        let has_own = |run: &Run| makers.contains(&run.run.as_str());
        Self {
            own,
            over,
            without_own: others.into_iter().find(|run| !has_own(run)),
        }
    }

    /// Decides about an image that this run made.
    pub fn fate(&self, maker: &str) -> Fate {
        let is_over = maker == self.own || self.over.iter().any(|run| run.run == maker);
        if !is_over {
            return Fate::Others;
        }
        match self.without_own {
            Some(run) => Fate::Kept(format!("run {} ({}) counts on it", run.run, run.asked_by)),
            None => Fate::Removed,
        }
    }
}

/// Finds a run that needs the grant by which this service-linked role launches in a target.
///
/// `makers` are the runs that made the copies under the grant's key. A maker that the ledger does
/// not have may need the grant: its copies may be in use.
pub fn needs_launch<'a>(
    runs: &'a [Run],
    own: &str,
    role: &Value,
    (account, region): (&str, &str),
    makers: &[&'a str],
) -> Option<&'a str> {
    let mut others = runs.iter().filter(|run| run.run != own);
    let other = others.find(|run| {
        run.has_launch_by(role) && run.counts_on(&run.source_image_id, account, region)
    });
    let known = |by: &str| by == own || runs.iter().any(|run| run.run == by);
    let unknown = || makers.iter().copied().find(|by| !known(by));
    other.map(|run| run.run.as_str()).or_else(unknown)
}
