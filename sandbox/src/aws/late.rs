//! Late reads: a change is in effect at once, and each kind of read shows it after a delay of its
//! own.
//!
//! Only describe and list calls use this module. Every other call uses the current value.
//!
//! Source: EC2 API reference and KMS guide, eventual consistency.

use std::time::{Duration, SystemTime};

use crate::wire::time::scaled;
use crate::world::LateReads;

/// The former values of something, oldest first, each with the moment until which reads show it.
///
/// A read shows the oldest value whose moment has not come. Changes therefore show in their order,
/// whatever their delays.
#[derive(Clone, Debug)]
pub(crate) struct Late<T> {
    former: Vec<(SystemTime, T)>,
}

impl<T> Default for Late<T> {
    fn default() -> Self {
        Self { former: Vec::new() }
    }
}

impl<T> Late<T> {
    /// Records that `former` is no longer current, and that reads show it until this moment.
    fn replaced(&mut self, former: T, now: SystemTime, until: SystemTime) {
        self.former.retain(|(end, _)| *end > now);
        if until > now {
            self.former.push((until, former));
        }
    }

    /// Returns the value that reads show at this moment.
    pub(crate) fn shown<'a>(&'a self, current: &'a T, now: SystemTime) -> &'a T {
        let former = self.former.iter().find(|(until, _)| *until > now);
        former.map_or(current, |(_, value)| value)
    }

    pub(super) fn is_settled(&self, now: SystemTime) -> bool {
        self.former.iter().all(|(until, _)| *until <= now)
    }
}

/// A kind of read with a delay of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Read {
    Tags,
    Permissions,
    Grants,
    Images,
    Snapshots,
    Listings,
}

/// The delays of this world, and the number of delays drawn so far.
#[derive(Debug)]
pub(crate) struct Lateness {
    reads: LateReads,
    speed: f64,
    drawn: u64,
}

impl Lateness {
    pub(super) fn of(reads: LateReads, speed: f64) -> Self {
        Self {
            reads,
            speed,
            drawn: 0,
        }
    }

    /// Records that `former` was replaced now. Reads of this kind show the new value after `least`
    /// at the earliest.
    pub(super) fn replace<T>(
        &mut self,
        late: &mut Late<T>,
        former: T,
        (read, least): (Read, Duration),
        now: SystemTime,
    ) {
        let until = self.until(read, least, now);
        late.replaced(former, now, until);
    }

    fn until(&mut self, read: Read, least: Duration, now: SystemTime) -> SystemTime {
        let given = match read {
            Read::Tags => self.reads.tags,
            Read::Permissions => self.reads.permissions,
            Read::Grants => self.reads.grants,
            Read::Images => self.reads.images,
            Read::Snapshots => self.reads.snapshots,
            Read::Listings => self.reads.listings,
        };
        let delay = self.reads.seed.map_or(given, |seed| self.draw(seed, given));
        now + scaled(delay.max(least), self.speed)
    }

    fn draw(&mut self, seed: u64, longest: Duration) -> Duration {
        self.drawn += 1;
        let number = mixed(seed ^ mixed(self.drawn));
        // A quarter of all changes show at once: one prompt kind among late ones is the case to
        // test.
        if number.is_multiple_of(4) {
            return Duration::ZERO;
        }
        let most = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX - 1);
        Duration::from_millis(number / 4 % (most + 1)).min(longest)
    }
}

/// Mixes the bits of a number by splitmix64.
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
