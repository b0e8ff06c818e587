//! How often, how long, how many times. All in seconds.

/// A copy may take this long: the longest time-based copy that EC2 offers is 48 hours.
pub const COPY_LIMIT: i64 = 49 * 3600;
/// Seconds that a run's copies may take. EC2 begins a time-based copy of a snapshot when the one before it has ended (EBS user guide,
/// time-based copies), so those of all targets add up.
pub fn copy_limit(minutes: Option<u64>, targets: usize) -> i64 {
    let serial = minutes.map_or(0, |minutes| {
        let targets = u64::try_from(targets).unwrap_or(u64::MAX);
        minutes
            .saturating_mul(60)
            .saturating_mul(targets)
            .saturating_add(3600)
    });
    COPY_LIMIT.max(i64::try_from(serial).unwrap_or(i64::MAX))
}

/// A new permission or grant is "usually" usable within five minutes (KMS developer guide, grants).
pub const VISIBILITY_LIMIT: i64 = 330;
/// A fresh resource may be missing from the lists for this long before it counts as gone.
pub const UNSEEN_LIMIT: i64 = 120;
/// Consecutive stumbles before giving up: six to seven minutes.
pub const MOST_TRIES: u32 = 11;
/// Denials of deleting something before that is told: more than a minute, because what is gone is listed for so long, and has no tags by
/// which a policy would allow to delete it. No wait between them is longer than a call waits inside: the next would look first, and
/// count anew.
pub const MOST_DENIALS_OF_DELETING: u32 = 20;
/// Denials of closing the source before that is told.
pub const MOST_DENIALS: u32 = 5;
/// Seconds between them at most.
pub const DENIED_AGAIN: i64 = 4;
/// Looks for a service-linked role that nobody asked to be made: a quarter of a minute, for one made just before.
pub const MOST_TRIES_FOR_A_ROLE: u32 = 4;
/// New copies after one that ended in error.
pub const MOST_AGAIN: u32 = 2;

/// Between two polls: an eighth of the time the copy has taken so far, so that the wait after its end stays in proportion
/// to it, and the number of polls grows with the logarithm of its length. The longest copies are polled every five minutes: an
/// execution's history holds 25,000 events, a dozen for each poll.
pub fn poll_interval(since: i64, now: i64) -> i64 {
    let elapsed = now.saturating_sub(since);
    let most = if elapsed < 3600 { 60 } else { 300 };
    (elapsed / 8).clamp(5, most)
}

/// After the `tries`-th consecutive stumble.
pub fn backoff(tries: u32) -> i64 {
    1_i64.checked_shl(tries.min(6)).unwrap_or(64).min(60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_grow_with_the_logarithm() {
        let polls = |length: i64| {
            let (mut now, mut count) = (0, 0);
            while now < length {
                now += poll_interval(0, now);
                count += 1;
            }
            count
        };
        assert!(polls(60) <= 12, "{}", polls(60));
        assert!(polls(3600) <= 90, "{}", polls(3600));
        assert!(polls(COPY_LIMIT) <= 700, "{}", polls(COPY_LIMIT));
    }

    #[test]
    fn time_based_copies_of_one_snapshot_take_their_times_one_after_another() {
        assert_eq!(copy_limit(None, 1000), COPY_LIMIT);
        assert_eq!(copy_limit(Some(2880), 1), COPY_LIMIT);
        assert_eq!(copy_limit(Some(480), 7), 57 * 3600);
    }

    #[test]
    fn giving_up_takes_minutes_not_hours() {
        let total: i64 = (1..=MOST_TRIES).map(backoff).sum();
        assert!((VISIBILITY_LIMIT..600).contains(&total), "{total}");
    }
}
