//! Late reads of a schedule: each kind of read shows changes by a delay of its own.

use std::time::Duration;

use amiferry_sandbox::world::LateReads;

use super::schedule::Random;

/// The first seed that may draw late reads. Seeds below it give the schedules that they gave
/// before.
const FIRST: u64 = 200_000;

/// Returns the delays of a seed, which half the seeds from `FIRST` on have. Each kind of read lags
/// by up to a minute, either fixed or drawn anew for each change.
pub fn late_reads(seed: u64) -> LateReads {
    // A generator of its own leaves the rest of the schedule as it was.
    let mut random = Random::of(seed ^ 0x1A7E);
    if seed < FIRST || !random.chance(50) {
        return LateReads::default();
    }
    let mut delay = || Duration::from_secs(random.pick(&[0, 2, 6, 20, 40, 60]));
    let late = LateReads {
        seed: None,
        tags: delay(),
        permissions: delay(),
        grants: delay(),
        images: delay(),
        snapshots: delay(),
        listings: delay(),
    };
    LateReads {
        seed: random.chance(50).then_some(seed),
        ..late
    }
}

#[test]
fn seeds_below_the_first_late_one_draw_no_late_reads() {
    let late = |seed| late_reads(seed) != LateReads::default();
    assert!(!(0..FIRST).any(late));
    let drawn = (FIRST..FIRST + 1000).filter(|seed| late(*seed)).count();
    assert!((400..600).contains(&drawn), "{drawn}");
}
