//! The ways that the bytes of a plan take between Regions: from the source into each target, or
//! once into each Region (`StagingKmsKeyIds`).

use std::collections::{BTreeMap, BTreeSet};

use amiferry::ids::AccountId;
use amiferry::request::{Request, Strategy};
use serde_json::Value;

/// The copies of a plan, by where they are made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Route {
    /// The number of copies.
    pub copies: usize,
    /// The copies for other accounts in each Region but the source's.
    away: BTreeMap<String, usize>,
    /// The copies for the source account in other Regions, which are never staged.
    own_away: usize,
    /// The Regions into which the image is copied once.
    staged: BTreeSet<String>,
    can_stage: bool,
}

impl Route {
    /// Sorts the copies of these targets of a plan.
    pub fn of<'a>(
        request: &Request,
        owner: &AccountId,
        targets: impl Iterator<Item = &'a Value>,
    ) -> Self {
        let keys = request.staging_keys.keys().map(ToString::to_string);
        let mut route = Self {
            staged: keys.collect(),
            can_stage: request.strategy != Strategy::Image,
            ..Self::default()
        };
        for target in targets {
            route.copies += 1;
            let word = |key: &str| target[key].as_str().unwrap_or_default();
            if word("Region") == request.source_region.as_str() {
                continue;
            }
            if word("AccountId") == owner.as_str() {
                route.own_away += 1;
            } else {
                *route.away.entry(word("Region").to_owned()).or_default() += 1;
            }
        }
        route
            .staged
            .retain(|region| route.away.contains_key(region));
        route
    }

    /// Returns how often the image crosses between Regions.
    pub fn crossings(&self) -> usize {
        let each = self.away.iter().map(|(region, count)| {
            if self.staged.contains(region) {
                1
            } else {
                *count
            }
        });
        each.sum::<usize>() + self.own_away
    }

    /// Returns whether some targets copy from staged copies.
    pub fn is_staged(&self) -> bool {
        !self.staged.is_empty()
    }

    /// Returns the Regions for which the two ways differ.
    pub fn shared_regions(&self) -> Vec<&str> {
        let more = |(region, count): (&'_ String, &usize)| {
            let staged = self.staged.contains(region);
            let pays = *count > 1 && self.can_stage && !self.is_staged();
            staged || pays
        };
        let regions = self
            .away
            .iter()
            .filter(|(region, count)| more((region, count)));
        regions.map(|(region, _)| region.as_str()).collect()
    }

    /// Returns the same copies by the other way.
    pub fn other_way(&self) -> Self {
        let staged = if self.is_staged() {
            BTreeSet::new()
        } else {
            self.shared_regions()
                .into_iter()
                .map(str::to_owned)
                .collect()
        };
        Self {
            staged,
            ..self.clone()
        }
    }
}
