//! The rules of closing, burying and verifying (rules 2, 4 and 5).

use super::super::{LONGEST_LIFE, VERIFIED_AFTER};
use super::{Attempt, Close, Closed, Closing, Principals, Record};

impl Record {
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

    /// Returns the principals that no attempt of any run holds.
    pub fn of_nobody_else(&self, principals: &Principals) -> Principals {
        let held = |who: &str| self.holders.values().any(|h| h.principals.contains(who));
        principals.filter(|who| !held(who))
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

    /// Returns the attempts whose closing was left half-way.
    pub fn half_closed(&self, now: i64) -> Vec<Attempt> {
        let old = |closing: &Closing| now >= closing.since.saturating_add(LONGEST_LIFE);
        let half = self.closing.iter().filter(|(_, closing)| old(closing));
        half.map(|(attempt, _)| attempt.clone()).collect()
    }

    /// Returns whether a later attempt of the same run holds the resource open to a principal.
    pub fn held_later(&self, attempt: &Attempt, who: &str) -> bool {
        let mut later = self.holders.iter().filter(|(a, _)| a.same_run(attempt));
        later.any(|(a, h)| a.number > attempt.number && h.principals.contains(who))
    }
}
