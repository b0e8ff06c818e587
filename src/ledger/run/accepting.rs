//! The rules by which a run accepts requests, and admits what a `State` wants to open.

use serde_json::Value;

use super::{Attempt, Earlier, Kind, Principals, Run, RunStatus};

/// The number of earlier attempts whose workers are remembered.
const MOST_EARLIER: usize = 20;
/// The number of remembered events of a custom resource; the latest stay.
const MOST_EVENTS: usize = 50;

/// The reason why a `State` may open nothing.
pub type Refused = String;

impl Run {
    /// Returns whether both ask for the same.
    fn same_request(&self, other: &Self) -> bool {
        self.order == other.order
            && self.targets == other.targets
            && self.audience == other.audience
    }

    fn note_event(&mut self, event: Option<&String>) {
        self.events
            .extend(event.filter(|event| !self.events.contains(event)).cloned());
        let surplus = self.events.len().saturating_sub(MOST_EVENTS);
        self.events.drain(..surplus);
    }

    /// Returns the run with an attempt that takes back what a copying resource has. The attempt
    /// opens nothing, and closes everything that earlier attempts hold.
    #[must_use]
    pub fn withdrawn(&self, asked: &Self, keep: bool) -> Self {
        let mut new = self.next();
        new.note_event(asked.events.last());
        if new.events.len() == self.events.len() && new.events.last() == asked.events.last() {
            // The same event was delivered again.
            return self.clone();
        }
        new.follow(self);
        new.joined = false;
        let had = std::mem::take(&mut new.targets);
        if keep && self.kind == Kind::Copy {
            new.retained.extend(had);
        }
        new.kind = Kind::Copy;
        new.audience.clear();
        new.asked_by.clone_from(&asked.asked_by);
        new.since = asked.since;
        new.executions.clone_from(&asked.executions);
        new.calls = asked.calls;
        new.status = RunStatus::Live;
        new.closing_since = None;
        for earlier in new.earlier.values_mut() {
            earlier.closing = true;
        }
        new
    }

    /// Makes this the attempt after that of `former`.
    fn follow(&mut self, former: &Self) {
        self.attempt = former.attempt.saturating_add(1);
        let earlier = Earlier {
            executions: former.executions.clone(),
            calls: former.calls,
            closing: former.status != RunStatus::Live,
            ..Earlier::default()
        };
        self.earlier.insert(former.attempt, earlier);
        while self.earlier.len() > MOST_EARLIER {
            self.earlier.pop_first();
        }
    }

    /// Accepts a request for this run: it joins the live attempt if it asks for the same, and
    /// otherwise begins the next.
    ///
    /// Each request of a lasting share begins an attempt, which takes over what the earlier ones
    /// hold. `whole` means that the request lists all principals of the share.
    #[must_use]
    pub fn accept(former: Option<&Self>, asked: Self, whole: bool) -> Self {
        let mut new = asked;
        let Some(former) = former else {
            new.attempt = 1;
            return new;
        };
        new.earlier.clone_from(&former.earlier);
        new.retained.clone_from(&former.retained);
        new.revision = former.revision.saturating_add(1);
        new.resources.extend(former.resources.iter().cloned());
        new.stages |= former.stages;
        new.staged_in.extend(former.staged_in.iter().cloned());
        new.grants |= former.grants;
        new.edits_policies |= former.edits_policies;
        new.receipt.clone_from(&former.receipt);
        let event = new.events.pop();
        new.events.clone_from(&former.events);
        new.note_event(event.as_ref());
        if new.kind == Kind::Share && !whole {
            new.targets.extend(former.targets.iter().cloned());
            new.audience.extend(former.audience.iter().cloned());
        }
        let joins = former.kind == Kind::Copy
            && former.status == RunStatus::Live
            && former.same_request(&new);
        new.joined = joins;
        if joins {
            new.attempt = former.attempt;
            new.since = former.since;
            new.asked_by.clone_from(&former.asked_by);
            new.executions.extend(former.executions.iter().cloned());
            new.calls |= former.calls;
        } else {
            new.follow(former);
        }
        if former.kind == Kind::Share && new.kind == Kind::Share {
            if whole {
                // The latest list replaces the others: an older `State` must not open by its own
                // order.
                new.earlier
                    .values_mut()
                    .for_each(|earlier| earlier.order = Value::Null);
            } else if let Some(earlier) = new.earlier.get_mut(&former.attempt) {
                earlier.order.clone_from(&former.order);
            }
        }
        if former.kind == Kind::Share && new.kind == Kind::Copy {
            // The copy closes the openings of the former share with its own.
            for earlier in new.earlier.values_mut() {
                earlier.closing = true;
            }
        }
        new
    }

    /// Returns the run without the principals `gone`, or without any.
    #[must_use]
    pub fn without(&self, gone: Option<&Principals>, event: &str) -> Self {
        let stays = |who: &str| gone.is_some_and(|gone| !gone.contains(who));
        let mut new = self.next();
        let event = event.to_owned();
        new.note_event(Some(&event).filter(|event| !event.is_empty()));
        new.targets.retain(|target| stays(&target.account_id));
        new.audience.retain(|who| stays(who));
        new
    }

    /// Checks that an attempt may open what is asked: only what its request was accepted for, while
    /// the attempt is live. The error is a sentence for the reply.
    pub fn admits(&self, attempt: &Attempt, asked: &Self) -> Result<(), Refused> {
        if self.run != attempt.run || attempt.number > self.attempt || attempt.number == 0 {
            return Err(format!("the ledger knows no attempt {attempt}"));
        }
        let over = self.attempt != attempt.number || self.status != RunStatus::Live;
        if over && self.kind != Kind::Share {
            return Err(format!("attempt {attempt} is over"));
        }
        let of = |run: &Self| {
            let source = [&run.source_image_id, &run.source_region, &run.account_id];
            source.map(String::clone)
        };
        let order = match self.earlier.get(&attempt.number) {
            Some(earlier) if over => &earlier.order,
            _ => &self.order,
        };
        if *order != asked.order || of(self) != of(asked) {
            return Err(format!(
                "what the State says of the request is not what run {} was accepted with",
                self.run
            ));
        }
        let mut targets = asked.targets.iter();
        if let Some(other) = targets.find(|target| !self.targets.contains(target)) {
            return Err(format!(
                "run {} was not accepted for account {} in {} with role {}",
                self.run, other.account_id, other.region, other.role_name
            ));
        }
        let mut audience = asked.audience.iter();
        if let Some(other) = audience.find(|who| !self.audience.contains(*who)) {
            return Err(format!("run {} was not accepted for {other}", self.run));
        }
        Ok(())
    }
}
