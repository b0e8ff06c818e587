//! Intervals, limits and numbers of tries; all times in seconds.

/// Seconds that one copy may take. The longest time-based copy of EC2 takes 48 hours.
pub const COPY_LIMIT: i64 = 49 * 3600;
/// Returns the seconds that a run's copies may take. EC2 makes time-based copies of one snapshot
/// one after another (EBS user guide, time-based copies), so the times of all targets add up.
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

/// Seconds until a new permission or grant is usable: "usually" five minutes (KMS developer guide,
/// grants).
pub const VISIBILITY_LIMIT: i64 = 330;
/// Seconds for which the lists may lack a new resource before it counts as gone.
pub const UNSEEN_LIMIT: i64 = 120;
/// Consecutive tries before giving up: six to seven minutes.
pub const MOST_TRIES: u32 = 11;
/// Denials of a deletion before it counts as failed: more than a minute.
///
/// AWS lists a deleted resource for that long, and without the tags by which a policy would allow
/// its deletion. No pause between the tries is longer than a call waits inside, because the next
/// call would look first and count anew.
pub const MOST_DENIALS_OF_DELETING: u32 = 20;
/// Tries of closing the source before it counts as failed: longer than a process lives, which may
/// have died with the lock on a key's policy.
pub const MOST_TRIES_OF_CLOSING: u32 = 22;
/// Denials of closing the source before it counts as failed.
pub const MOST_DENIALS: u32 = 5;
/// Seconds between two such tries at most.
pub const DENIED_AGAIN: i64 = 4;
/// Looks for a service-linked role that the run does not create: a quarter of a minute, for a role
/// made just before.
pub const MOST_TRIES_FOR_A_ROLE: u32 = 4;
/// New copies after one that ended in error.
pub const MOST_AGAIN: u32 = 2;

/// Returns the seconds to the next poll of a copy that has taken so long and will take `rest`
/// seconds more, as far as its progress tells.
///
/// Without progress it is an eighth of the time so far: the wait after the end stays in proportion
/// to the copy, and the number of polls grows with the logarithm of its length. The longest copies
/// are polled every five minutes: the history of an execution has room for 25,000 events, and each
/// poll adds a dozen.
///
/// With progress it is three quarters of the rest, so that a few polls come close to the end. The
/// rest is a guess, because EC2 copies unchanged blocks in no time, so it is at most half of the
/// time so far; and a percent is coarse, so it is at least a fortieth.
pub fn poll_interval(since: i64, now: i64, rest: Option<i64>) -> i64 {
    let elapsed = now.saturating_sub(since);
    match rest {
        None => (elapsed / 8).clamp(5, if elapsed < 3600 { 60 } else { 300 }),
        Some(rest) => (rest / 4 * 3)
            .min(elapsed / 2)
            .max(elapsed / 40)
            .clamp(5, 1800),
    }
}

/// Returns the seconds to the next poll of a child of the state machine, which an event wakes when
/// a copy ends. Events are best effort, so it polls, but a poll less close to the end costs nothing
/// where the event comes, and each costs a call and three transitions.
pub fn woken_interval(since: i64, now: i64, rest: Option<i64>) -> i64 {
    let elapsed = now.saturating_sub(since);
    match rest {
        None => (elapsed / 4).clamp(10, if elapsed < 3600 { 60 } else { 300 }),
        Some(rest) => rest.saturating_add(5).min(elapsed).clamp(10, 1800),
    }
}

/// Returns the seconds that a copy will take more at its speed so far; `None` before its first
/// percent.
pub fn rest_of(started: i64, now: i64, percent: u8) -> Option<i64> {
    let percent = i64::from(percent.min(100));
    let elapsed = now.saturating_sub(started);
    (percent > 0).then(|| elapsed.saturating_mul(100 - percent) / percent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::backoff;

    #[test]
    fn polls_grow_with_the_logarithm() {
        let polls = |length: i64| {
            let (mut now, mut count) = (0, 0);
            while now < length {
                now += poll_interval(0, now, None);
                count += 1;
            }
            count
        };
        assert!(polls(60) <= 12, "{}", polls(60));
        assert!(polls(3600) <= 90, "{}", polls(3600));
        assert!(polls(COPY_LIMIT) <= 700, "{}", polls(COPY_LIMIT));
    }

    #[test]
    fn progress_makes_polls_fewer_and_their_last_one_early() {
        for length in [60, 600, 3600, 36_000, COPY_LIMIT] {
            let (mut now, mut count) = (0, 0);
            while now < length {
                let percent = u8::try_from(now * 100 / length).unwrap();
                now += poll_interval(0, now, rest_of(0, now, percent));
                count += 1;
            }
            let late = now - length;
            assert!(late <= (length / 40).max(5), "{length}: {late} s late");
            let without = {
                let (mut now, mut count) = (0, 0);
                while now < length {
                    now += poll_interval(0, now, None);
                    count += 1;
                }
                count
            };
            assert!(
                count <= without.min(320),
                "{length}: {count} polls, {without} without"
            );
        }
    }

    /// Even where every event is lost, a copy that ends before its progress told so is seen in
    /// twice its time.
    #[test]
    fn a_child_that_events_wake_polls_few_times() {
        for length in [60, 600, 3600, 36_000] {
            let (mut now, mut count) = (0, 0);
            while now < length {
                let percent = u8::try_from(now * 100 / length).unwrap();
                let interval = woken_interval(0, now, rest_of(0, now, percent));
                assert!(interval <= now.max(10), "{interval} after {now}");
                now += interval;
                count += 1;
            }
            let late = now - length;
            assert!(late <= (length / 20).max(10), "{length}: {late} s late");
            // From half an hour on, the polls are no rarer.
            let most = 16 + length / 1700;
            assert!(count <= most, "{length}: {count} polls, {most} at most");
        }
    }

    #[test]
    fn time_based_copies_of_one_snapshot_add_up() {
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
