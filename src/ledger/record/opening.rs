//! The rules of opening (rule 1).

use super::super::{FRESH, LONGEST_LIFE};
use super::{Attempt, Holding, Kind, Opening, Principals, Record};

impl Record {
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
        if let Some(until) = self.doubted_until(wanted, permitted, now) {
            let attempt = attempt.clone();
            return Opening::Wait { until, attempt };
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

    /// Returns when an invisible preexisting permission can be told from a removed one (Unix
    /// seconds). Within a minute of the hold, the read may be older than the one that saw it.
    fn doubted_until(&self, wanted: &Principals, permitted: &Principals, now: i64) -> Option<i64> {
        let doubted = wanted.filter(|who| self.before.contains(who) && !permitted.contains(who));
        let since = |who: &String| {
            let holders = self.holders.values();
            let holders = holders.filter(|h| h.principals.contains(who));
            holders.map(|h| h.since.saturating_add(FRESH + 1)).max()
        };
        let latest = doubted.iter().filter_map(since).max();
        latest.filter(|until| now < *until)
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
