//! The experiments, in the order in which each finds what it needs.

use amiferry::error::Refusal;

use super::fact::{Fact, Held, Row, Seen};
use super::party::Party;
use super::scene::Scene;

mod copying;
mod granting;
mod images;
mod runs;
mod sessions;

/// A check under way.
#[derive(Debug)]
pub struct Course<'a> {
    scene: &'a Scene,
    /// An AMI with billing data, if one was given.
    billed: Option<&'a str>,
    /// The session of the role.
    role: Party,
    /// The rows so far.
    rows: &'a mut Vec<Row>,
}

impl<'a> Course<'a> {
    /// Assumes the role. `rows` has what was seen, whenever and however the check ends.
    pub async fn begin(
        scene: &'a Scene,
        billed: Option<&'a str>,
        rows: &'a mut Vec<Row>,
    ) -> Result<Self, Refusal> {
        let (role, _) = scene.check.assume(None).await?;
        Ok(Self {
            scene,
            billed,
            role,
            rows,
        })
    }

    /// Tries every fact. `told` hears of each before it is tried.
    pub async fn run(&mut self, told: &impl Fn(&str)) -> Result<(), Refusal> {
        self.copying(told).await?;
        self.images(told).await?;
        self.granting(told).await?;
        self.sessions(told).await;
        self.runs(told).await
    }

    /// Returns whether a fact that was tried held.
    fn held(&self, fact: &Fact) -> Held {
        let row = self.rows.iter().find(|row| row.fact == *fact);
        row.map_or(Held::Unknown, |row| row.seen.held)
    }

    fn note(&mut self, fact: Fact, seen: impl Into<Seen>) {
        let seen = seen.into();
        self.rows.push(Row { fact, seen });
    }
}
