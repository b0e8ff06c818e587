//! The record of one resource: who holds it open, who is closing it, who has closed it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Attempt, FRESH, LONGEST_LIFE, Principals, SCHEMA, VERIFIED_AFTER, when};

/// The openings of one source snapshot, image or key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Record {
    /// The schema of the object; see [`SCHEMA`].
    pub schema: u64,
    /// Grows with every write, so no two states of the record have the same ETag.
    pub revision: u64,
    /// The ID of the snapshot or image, or the ARN of the key.
    pub resource: String,
    /// The Region of the resource.
    pub region: String,
    /// The source account.
    pub account_id: String,
    /// Preexisting permissions, of the principals below.
    #[serde(default)]
    pub before: Principals,
    /// Permissions that an attempt found within fifteen minutes of a closing. A slow process or a
    /// person may have added them. The last closing takes them away, and the receipt names them.
    #[serde(default, skip_serializing_if = "Principals::is_empty")]
    pub unclear: Principals,
    /// The attempts that hold the resource open.
    #[serde(default)]
    pub holders: BTreeMap<Attempt, Holding>,
    /// The attempts that may take permissions away at this moment.
    #[serde(default)]
    pub closing: BTreeMap<Attempt, Closing>,
    /// The attempts whose closing is not verified yet.
    #[serde(default)]
    pub closed: BTreeMap<Attempt, Closed>,
    /// Whether the key's policy may contain statements of a run: a process has had the lock on it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub edited: bool,
    /// The process that edits the key's policy at this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit: Option<Edit>,
}

/// Why an attempt holds a resource open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Until the copies are done.
    Copy,
    /// Until an unshare.
    Share,
    /// For ever, because the request said `RevokeAfterCopy: false`.
    Kept,
}

/// An attempt that needs the resource open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Holding {
    /// Why the attempt holds the resource.
    pub kind: Kind,
    /// The principals that the attempt needs.
    #[serde(flatten)]
    pub principals: Principals,
    /// Unix seconds of the first hold.
    #[serde(with = "when")]
    pub since: i64,
    /// Unix seconds of the latest hold.
    #[serde(with = "when")]
    pub latest: i64,
}

/// An attempt that may take permissions away at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Closing {
    /// The principals whose permissions may be taken away.
    #[serde(flatten)]
    pub principals: Principals,
    /// Unix seconds of the first hold.
    #[serde(with = "when")]
    pub opened: i64,
    /// Unix seconds of the latest hold. A permission added then may not show for a minute.
    #[serde(with = "when")]
    pub latest: i64,
    /// Unix seconds of the announcement.
    #[serde(with = "when")]
    pub since: i64,
    /// The ID of the process that closes.
    pub by: String,
    /// Whether another process closed the same attempt before. The slower of the two may take away
    /// late.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub contested: bool,
}

/// An attempt whose openings were taken away; kept until the closing is verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Closed {
    /// The principals whose permissions were taken away.
    #[serde(flatten)]
    pub principals: Principals,
    /// Unix seconds of the first hold.
    #[serde(with = "when")]
    pub opened: i64,
    /// Unix seconds of the end of the closing.
    #[serde(with = "when")]
    pub at: i64,
    /// Whether two processes closed the attempt.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub contested: bool,
}

/// A process that reads, merges and writes the key's policy. KMS has no version to compare, so the
/// record has a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Edit {
    /// The ID of the process.
    pub by: String,
    /// Unix seconds of the lock.
    #[serde(with = "when")]
    pub since: i64,
}

/// The decision about an attempt that wants to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// Write this record, then change the permission.
    Hold(Box<Record>),
    /// The record holds already: change the permission.
    Held,
    /// Another attempt closes, or has closed contested.
    Wait {
        /// When to try again (Unix seconds).
        until: i64,
        /// The attempt that closes.
        attempt: Attempt,
    },
    /// The closing of this attempt was left half-way: finish it first.
    Finish(Attempt),
    /// The attempt closes or has closed, so it opens nothing more.
    Over,
}

/// The decision about an attempt that wants to close.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Close {
    /// Write this record, then take away, then bury.
    Announce(Box<Record>),
    /// The attempt holds none of the principals.
    Nothing,
}

impl Record {
    /// Returns a record without openings. `region` and `account_id` are those of the resource.
    pub fn new(resource: &str, region: &str, account_id: &str) -> Self {
        Self {
            schema: SCHEMA,
            revision: 0,
            resource: resource.to_owned(),
            region: region.to_owned(),
            account_id: account_id.to_owned(),
            before: Principals::default(),
            unclear: Principals::default(),
            holders: BTreeMap::new(),
            closing: BTreeMap::new(),
            closed: BTreeMap::new(),
            edited: false,
            edit: None,
        }
    }

    /// Returns whether the record has no openings, so that it may be deleted.
    pub fn is_empty(&self) -> bool {
        self.holders.is_empty()
            && self.closing.is_empty()
            && self.closed.is_empty()
            && self.edit.is_none()
    }

    /// Returns whether the permissions that exist now must be read before these principals can be
    /// held.
    ///
    /// They must be if nobody holds or closes one of them. They must be as well if a permission is
    /// preexisting, because somebody may have taken it away since.
    pub fn needs_reading(&self, wanted: &Principals) -> bool {
        wanted
            .iter()
            .any(|who| !self.is_in_use(who) || self.before.contains(who))
    }

    /// Decides whether an attempt may open to the principals `wanted` (rule 1). `permitted` are the
    /// principals permitted now.
    pub fn open(
        &self,
        attempt: &Attempt,
        kind: Kind,
        wanted: &Principals,
        permitted: &Principals,
        now: i64,
    ) -> Opening {
        if self.is_over(attempt, kind, wanted) {
            return Opening::Over;
        }
        if let Some(wait) = self.waits_for(attempt, wanted, now) {
            return wait;
        }
        if self.holds(attempt, wanted) {
            return Opening::Held;
        }
        let mut new = self.next();
        for who in wanted.iter().filter(|who| !self.is_in_use(who)) {
            // A tombstone means that a run may have added the permission, unless the permission is
            // known to be older.
            let known = self.before.contains(who) || !self.was_closed(who);
            let one: Principals = [who].into_iter().collect();
            new.before.remove_all(&one);
            new.unclear.remove_all(&one);
            match (permitted.contains(who), known) {
                (true, true) => new.before.insert(who),
                (true, false) => new.unclear.insert(who),
                (false, _) => {}
            }
        }
        for who in wanted
            .iter()
            .filter(|who| self.was_taken_away(who, permitted, now))
        {
            new.before.remove_all(&[who].into_iter().collect());
        }
        let since = match kind {
            Kind::Share => new.take_over(attempt, wanted).unwrap_or(now),
            Kind::Copy | Kind::Kept => now,
        };
        let holding = new.holders.entry(attempt.clone());
        let holding = holding.or_insert_with(|| Holding {
            kind,
            principals: Principals::default(),
            since,
            latest: now,
        });
        holding.principals.extend(wanted);
        (holding.kind, holding.latest) = (kind, now);
        Opening::Hold(Box::new(new))
    }

    /// Takes principals over from the earlier attempts of a lasting share, which would pile up.
    /// Returns since when they are held.
    fn take_over(&mut self, attempt: &Attempt, wanted: &Principals) -> Option<i64> {
        let mut since = None;
        for (earlier, holding) in &mut self.holders {
            if earlier.same_run(attempt) && earlier.number < attempt.number {
                holding.principals.remove_all(wanted);
                since = Some(since.map_or(holding.since, |s: i64| s.min(holding.since)));
            }
        }
        self.holders
            .retain(|a, h| a == attempt || !a.same_run(attempt) || !h.principals.is_empty());
        since
    }

    /// Returns whether this attempt and later ones of the same run hold all of these.
    pub fn holds(&self, attempt: &Attempt, wanted: &Principals) -> bool {
        let of_run = self.holders.iter();
        let of_run = of_run.filter(|(a, _)| a.same_run(attempt) && a.number >= attempt.number);
        let mut held = Principals::default();
        let mut any = false;
        for (_, holding) in of_run {
            held.extend(&holding.principals);
            any = true;
        }
        any && wanted.is_subset(&held)
    }

    /// Announces that an attempt closes the principals `gone` (rule 2). `again` closes once more
    /// what the attempt has closed already: this process may have opened it since.
    pub fn close(
        &self,
        attempt: &Attempt,
        gone: &Principals,
        by: &str,
        again: bool,
        now: i64,
    ) -> Close {
        let holding = self.holders.get(attempt);
        let half = self.closing.get(attempt);
        let closed = self.closed.get(attempt).filter(|_| again);
        let held = holding.map(|h| h.principals.common(gone));
        let bare = holding.is_some_and(|h| h.principals.is_empty());
        let nothing = held.as_ref().is_none_or(Principals::is_empty) && !bare;
        if nothing && half.is_none() && closed.is_none() {
            return Close::Nothing;
        }
        let mut new = self.next();
        let opened = [
            holding.map(|h| h.since),
            half.map(|h| h.opened),
            closed.map(|c| c.opened),
        ];
        let latest = [
            holding.map(|h| h.latest),
            half.map(|h| h.latest),
            // A permission may have been added behind the former closing.
            closed.map(|_| now),
        ];
        let mut principals = held.unwrap_or_default();
        // A process of the former closing can take nothing away once its longest life is over.
        let alive = |half: &&Closing| now < half.since.saturating_add(LONGEST_LIFE);
        let contested = half.filter(alive).is_some_and(|half| half.contested || half.by != by)
            || closed.is_some()
            // The entry replaces a contested one, so it must be contested too.
            || self.closed.get(attempt).is_some_and(|c| c.contested);
        if let Some(half) = half {
            principals.extend(&half.principals);
        }
        if let Some(closed) = closed {
            principals.extend(&closed.principals);
            new.closed.remove(attempt);
        }
        if let Some(holding) = new.holders.get_mut(attempt) {
            holding.principals.remove_all(&principals);
            if holding.principals.is_empty() {
                new.holders.remove(attempt);
            }
        }
        let closing = Closing {
            principals,
            opened: opened.into_iter().flatten().min().unwrap_or(now),
            latest: latest.into_iter().flatten().max().unwrap_or(now),
            since: now,
            by: by.to_owned(),
            contested,
        };
        new.closing.insert(attempt.clone(), closing);
        Close::Announce(Box::new(new))
    }

    /// Returns the principals that an attempt in `Closing` may take away, by the record as it wrote
    /// it.
    pub fn to_take_away(&self, attempt: &Attempt) -> Principals {
        let Some(closing) = self.closing.get(attempt) else {
            return Principals::default();
        };
        let free = self.of_nobody_else(&closing.principals);
        free.filter(|who| !self.before.contains(who))
    }

    /// Returns the same for a permission that contains the run's name, which only other attempts of
    /// the run need.
    pub fn to_take_away_of_run(&self, attempt: &Attempt) -> Principals {
        let Some(closing) = self.closing.get(attempt) else {
            return Principals::default();
        };
        let held = |who: &str| {
            let mut others = self.holders.iter();
            others.any(|(a, h)| a.same_run(attempt) && h.principals.contains(who))
        };
        closing.principals.filter(|who| !held(who))
    }

    /// Returns whether an organization or a unit is held as such, so its members need not be
    /// listed.
    pub fn holds_audience(&self) -> bool {
        let mut holders = self.holders.values();
        holders.any(|h| h.principals.len() > h.principals.accounts().count())
    }

    /// Returns whether a later attempt of the same run holds the resource open to a principal.
    pub fn held_later(&self, attempt: &Attempt, who: &str) -> bool {
        let mut later = self.holders.iter().filter(|(a, _)| a.same_run(attempt));
        later.any(|(a, h)| a.number > attempt.number && h.principals.contains(who))
    }

    /// Returns the principals that no attempt of any run holds.
    pub fn of_nobody_else(&self, principals: &Principals) -> Principals {
        let held = |who: &str| self.holders.values().any(|h| h.principals.contains(who));
        principals.filter(|who| !held(who))
    }

    /// Returns all principals that an attempt of this run holds, closes or has closed.
    pub fn touched_by_run(&self, run: &str) -> Principals {
        let mut all = self.held_by_run(run);
        for (_, closing) in self.closing.iter().filter(|(a, _)| a.run == run) {
            all.extend(&closing.principals);
        }
        for (_, closed) in self.closed.iter().filter(|(a, _)| a.run == run) {
            all.extend(&closed.principals);
        }
        all
    }

    /// Returns whether the closing of an attempt is still as the process `by` announced it. Another
    /// process that joined has more to take away, and buries everything.
    pub fn is_closed_by(&self, attempt: &Attempt, by: &str) -> bool {
        self.closing
            .get(attempt)
            .is_some_and(|closing| closing.by == by)
    }

    /// Buries the closing of an attempt.
    #[must_use]
    pub fn bury(&self, attempt: &Attempt, now: i64) -> Self {
        let mut new = self.next();
        let Some(closing) = new.closing.remove(attempt) else {
            return new;
        };
        let earlier = new.closed.remove(attempt);
        let mut closed = Closed {
            principals: closing.principals,
            opened: closing.opened,
            at: now,
            contested: closing.contested,
        };
        if let Some(earlier) = earlier {
            closed.principals.extend(&earlier.principals);
            closed.opened = closed.opened.min(earlier.opened);
            closed.contested |= earlier.contested;
        }
        new.closed.insert(attempt.clone(), closed);
        new
    }

    /// Announces the verification of a closing (rule 5); `None` before its time.
    pub fn verify(&self, attempt: &Attempt, by: &str, now: i64) -> Option<Self> {
        let closed = self.closed.get(attempt)?;
        if now < closed.at.saturating_add(VERIFIED_AFTER) || self.closing.contains_key(attempt) {
            return None;
        }
        let mut new = self.next();
        new.closed.remove(attempt);
        let closing = Closing {
            principals: closed.principals.clone(),
            opened: closed.opened,
            latest: closed.opened,
            since: now,
            by: by.to_owned(),
            contested: closed.contested,
        };
        new.closing.insert(attempt.clone(), closing);
        Some(new)
    }

    /// Drops the closing of an attempt after its verification.
    #[must_use]
    pub fn forget(&self, attempt: &Attempt) -> Self {
        let mut new = self.next();
        new.closing.remove(attempt);
        let named = |who: &str| new.is_in_use(who) || new.was_closed(who);
        let (before, unclear) = (new.before.filter(named), new.unclear.filter(named));
        (new.before, new.unclear) = (before, unclear);
        new
    }

    /// Holds the resource for no principal, so that the record leads to an attempt with staged
    /// copies. Returns `None` if the record names the attempt already.
    pub fn hold_nothing(&self, attempt: &Attempt, now: i64) -> Option<Self> {
        let known = self.holders.contains_key(attempt)
            || self.closing.contains_key(attempt)
            || self.closed.contains_key(attempt);
        if known {
            return None;
        }
        let mut new = self.next();
        let holding = Holding {
            kind: Kind::Copy,
            principals: Principals::default(),
            since: now,
            latest: now,
        };
        new.holders.insert(attempt.clone(), holding);
        Some(new)
    }

    /// Turns a holding for a copy into a permanent one (`RevokeAfterCopy: false`). Returns `None`
    /// if there is nothing to turn.
    pub fn keep(&self, attempt: &Attempt) -> Option<Self> {
        let holding = self.holders.get(attempt)?;
        if holding.kind == Kind::Kept {
            return None;
        }
        let mut new = self.next();
        new.holders.get_mut(attempt)?.kind = Kind::Kept;
        Some(new)
    }

    /// Returns all principals that the attempts of one run hold.
    pub fn held_by_run(&self, run: &str) -> Principals {
        let mut held = Principals::default();
        for (_, holding) in self.holders.iter().filter(|(a, _)| a.run == run) {
            held.extend(&holding.principals);
        }
        held
    }

    /// Returns the attempts of one run that hold or close the resource; with `closed`, also the
    /// attempts that have closed it.
    pub fn attempts_of(&self, run: &str, closed: bool) -> Vec<Attempt> {
        let ended = self.closed.keys().filter(|_| closed);
        let all = self.holders.keys().chain(self.closing.keys()).chain(ended);
        let mut of_run: Vec<Attempt> = all.filter(|a| a.run == run).cloned().collect();
        of_run.sort();
        of_run.dedup();
        of_run
    }

    /// Returns the attempts whose closing was left half-way.
    pub fn half_closed(&self, now: i64) -> Vec<Attempt> {
        let old = |closing: &Closing| now >= closing.since.saturating_add(LONGEST_LIFE);
        let half = self.closing.iter().filter(|(_, closing)| old(closing));
        half.map(|(attempt, _)| attempt.clone()).collect()
    }

    /// Returns the record with its next revision.
    #[must_use]
    pub fn next(&self) -> Self {
        let mut new = self.clone();
        new.revision = new.revision.saturating_add(1);
        new
    }

    fn is_in_use(&self, who: &str) -> bool {
        self.holders.values().any(|h| h.principals.contains(who))
            || self.closing.values().any(|c| c.principals.contains(who))
    }

    /// Returns whether a preexisting permission does not exist any more. The run then adds it anew,
    /// and the last closing takes it away. A minute after the hold that saw the permission, no read
    /// can be older than that one.
    fn was_taken_away(&self, who: &str, permitted: &Principals, now: i64) -> bool {
        let mut holders = self.holders.values().filter(|h| h.principals.contains(who));
        let long_ago = |holding: &Holding| now.saturating_sub(holding.since) > FRESH;
        self.is_in_use(who)
            && self.before.contains(who)
            && !permitted.contains(who)
            && holders.all(long_ago)
    }

    fn was_closed(&self, who: &str) -> bool {
        self.closed.values().any(|c| c.principals.contains(who))
    }

    fn is_over(&self, attempt: &Attempt, kind: Kind, wanted: &Principals) -> bool {
        let closing = self.closing.get(attempt).map(|c| &c.principals);
        let closed = self.closed.get(attempt).map(|c| &c.principals);
        let mut ended = closing.into_iter().chain(closed);
        match kind {
            Kind::Copy | Kind::Kept => ended.next().is_some(),
            Kind::Share => ended.any(|gone| !gone.is_disjoint(wanted)),
        }
    }

    /// Returns the decision to wait for another attempt that closes one of the principals; `None`
    /// if there is none.
    fn waits_for(&self, attempt: &Attempt, wanted: &Principals, now: i64) -> Option<Opening> {
        let closing = self
            .closing
            .iter()
            .find(|(a, closing)| *a != attempt && !closing.principals.is_disjoint(wanted));
        if let Some((other, closing)) = closing {
            let dead = closing.since.saturating_add(LONGEST_LIFE);
            return Some(if now >= dead {
                Opening::Finish(other.clone())
            } else {
                Opening::Wait {
                    until: dead,
                    attempt: other.clone(),
                }
            });
        }
        let contested = self.closed.iter().find(|(a, closed)| {
            let alive = now < closed.at.saturating_add(LONGEST_LIFE);
            *a != attempt && closed.contested && alive && !closed.principals.is_disjoint(wanted)
        });
        contested.map(|(other, closed)| Opening::Wait {
            until: closed.at.saturating_add(LONGEST_LIFE),
            attempt: other.clone(),
        })
    }
}
