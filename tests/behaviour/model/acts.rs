//! Scenarios: the acts of callers and of other people, one after another, in a world of two
//! accounts with three places. Each is drawn from a seed.

use serde_json::{Value, json};

use crate::chaos::schedule::Random;
use crate::support::*;

pub const PLACES: [Place; 3] = [
    ("222222222222", HOME),
    ("222222222222", "us-east-1"),
    ("333333333333", HOME),
];
pub const OURS: [&str; 2] = ["222222222222", "333333333333"];
/// The accounts that others permit, the targets among them.
pub const ANYBODY: [&str; 4] = [OURS[0], OURS[1], "888888888888", "999999999999"];

/// A resource of the source that can be shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Thing {
    Root,
    Data,
    Image,
}

pub const THINGS: [Thing; 3] = [Thing::Root, Thing::Data, Thing::Image];

impl Thing {
    pub fn id(self) -> &'static str {
        match self {
            Self::Root => ROOT,
            Self::Data => DATA,
            Self::Image => AMI,
        }
    }
}

/// A request to the function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    Copy {
        places: Vec<Place>,
        stage: u64,
    },
    Share {
        accounts: Vec<&'static str>,
        snapshots: bool,
    },
    Unshare {
        accounts: Vec<&'static str>,
    },
}

impl Wish {
    pub fn event(&self) -> Value {
        let share = |accounts: &[&str]| {
            json!({"SourceImageId": AMI, "Mode": "Share",
            "TargetAccountIds": accounts.join(",")})
        };
        let request = match self {
            Self::Copy { places, stage } => {
                let mut request = request(places);
                request["Tags"] = json!({"stage": format!("run-{stage}")});
                request
            }
            Self::Share {
                accounts,
                snapshots,
            } => {
                let mut request = share(accounts);
                request["ShareSnapshots"] = json!(snapshots);
                request
            }
            Self::Unshare { accounts } => {
                let mut request = share(accounts);
                request["Unshare"] = json!(true);
                request
            }
        };
        json!({ "Distribute": request })
    }

    pub fn accounts(&self) -> Vec<&'static str> {
        match self {
            Self::Copy { places, .. } => places.iter().map(|(account, _)| *account).collect(),
            Self::Share { accounts, .. } | Self::Unshare { accounts } => accounts.clone(),
        }
    }

    /// Returns whether the request may open, or close, this resource to that account.
    pub fn touches(&self, thing: Thing, who: &str) -> bool {
        let about = match self {
            Self::Copy { .. } => thing != Thing::Image,
            Self::Share { snapshots, .. } => thing == Thing::Image || *snapshots,
            Self::Unshare { .. } => true,
        };
        about && self.accounts().contains(&who)
    }
}

/// An act of other people. Numbers choose among the things that exist at that moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Theirs {
    Permit(Thing, &'static str),
    Forbid(Thing, &'static str),
    /// Others make a grant on the source key, to an account or to its copy role.
    Grant {
        to: &'static str,
        role: bool,
    },
    Revoke(usize),
    /// Revokes a grant of a run.
    RevokeOurs(usize),
    Tag(Thing, u64),
    Untag(Thing, u64),
    /// Others make a snapshot in a target, perhaps with the tags of a copy of ours but
    /// `amiferry:key`.
    Snapshot {
        place: usize,
        like_ours: bool,
    },
    /// Others make an image in a target: with our name, with our tags but the key, or on a copy of
    /// ours.
    Image {
        place: usize,
        our_name: bool,
        like_ours: bool,
        on_ours: bool,
    },
    /// Removes the tag by which a copy is found, or names another run in it.
    Retag {
        place: usize,
        which: usize,
        key: bool,
    },
    DeleteCopy {
        place: usize,
        which: usize,
    },
    Deregister {
        place: usize,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    Begin(Wish),
    /// A call of the function. The others act at its AWS call of that number.
    Go {
        process: usize,
        meanwhile: Vec<(u64, Theirs)>,
    },
    /// A call of the function, killed at its AWS call of that number. A forgetful caller sends
    /// the first event again.
    Kill {
        process: usize,
        call: u64,
        after: bool,
        forgets: bool,
    },
    /// A call of each of two processes, whose AWS calls interleave in any order.
    Together {
        one: usize,
        other: usize,
        seed: u64,
    },
    /// An old state is handed in again, beside whatever else is under way.
    Again {
        process: usize,
        state: usize,
    },
    Wait(u64),
    /// A sweep, in which nothing is old enough to be closed.
    Sweep,
    Others(Theirs),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// The speed of copies in MiB a second.
    pub rate: u64,
    /// Seconds until a tag shows.
    pub tags_late: u64,
    pub acts: Vec<Act>,
}

impl Scenario {
    pub fn of(seed: u64) -> Self {
        let mut random = Random::of(seed);
        let rate = random.pick(&[400, 1024, 4096]);
        let tags_late = random.pick(&[0, 0, 0, 3]);
        let mut acts: Vec<Act> = (0..random.below(4))
            .map(|_| Act::Others(theirs(&mut random)))
            .collect();
        acts.push(Act::Begin(wish(&mut random)));
        for _ in 0..4 + random.below(12) {
            acts.push(act(&mut random));
        }
        Self {
            rate,
            tags_late,
            acts,
        }
    }

    /// Returns smaller scenarios, those without the greatest parts first.
    pub fn smaller(&self) -> Vec<Self> {
        let without = |from: usize, count: usize| {
            let mut less = self.clone();
            less.acts.drain(from..from + count);
            less
        };
        let mut all = Vec::new();
        let mut count = self.acts.len() / 2;
        while count > 0 {
            all.extend((0..=self.acts.len() - count).map(|from| without(from, count)));
            count /= 2;
        }
        for (n, act) in self.acts.iter().enumerate() {
            if let Act::Go { process, meanwhile } = act {
                for part in 0..meanwhile.len() {
                    let mut fewer = meanwhile.clone();
                    fewer.remove(part);
                    let mut less = self.clone();
                    less.acts[n] = Act::Go {
                        process: *process,
                        meanwhile: fewer,
                    };
                    all.push(less);
                }
            }
        }
        all
    }
}

fn some<T: Copy>(random: &mut Random, all: &[T]) -> Vec<T> {
    let chosen: Vec<T> = all.iter().copied().filter(|_| random.chance(60)).collect();
    if chosen.is_empty() {
        vec![random.pick(all)]
    } else {
        chosen
    }
}

fn wish(random: &mut Random) -> Wish {
    match random.below(10) {
        0..=5 => Wish::Copy {
            places: some(random, &PLACES),
            stage: random.below(3),
        },
        6..=7 => Wish::Share {
            accounts: some(random, &OURS),
            snapshots: random.chance(60),
        },
        _ => Wish::Unshare {
            accounts: some(random, &OURS),
        },
    }
}

fn number(random: &mut Random, most: u64) -> usize {
    usize::try_from(random.below(most)).unwrap_or_default()
}

fn act(random: &mut Random) -> Act {
    let process = number(random, 5);
    match random.below(100) {
        0..=17 => Act::Begin(wish(random)),
        18..=42 => Act::Go {
            process,
            meanwhile: (0..random.pick(&[0, 0, 1, 2]))
                .map(|_| (random.below(60), theirs(random)))
                .collect(),
        },
        43..=50 => Act::Kill {
            process,
            call: random.below(70),
            after: random.chance(60),
            forgets: random.chance(40),
        },
        51..=58 => Act::Together {
            one: process,
            other: number(random, 5),
            seed: random.next(),
        },
        59..=63 => Act::Again {
            process,
            state: number(random, 6),
        },
        64..=71 => Act::Wait(random.pick(&[1, 8, 30, 120, 600])),
        72..=73 => Act::Sweep,
        _ => Act::Others(theirs(random)),
    }
}

fn theirs(random: &mut Random) -> Theirs {
    let thing = random.pick(&THINGS);
    let place = number(random, 3);
    match random.below(100) {
        0..=24 => Theirs::Permit(thing, random.pick(&ANYBODY)),
        25..=39 => Theirs::Forbid(thing, random.pick(&ANYBODY)),
        40..=47 => Theirs::Grant {
            to: random.pick(&OURS),
            role: random.chance(50),
        },
        48..=52 => Theirs::Revoke(number(random, 4)),
        53..=54 => Theirs::RevokeOurs(number(random, 4)),
        55..=61 => Theirs::Tag(thing, random.below(3)),
        62..=66 => Theirs::Untag(thing, random.below(3)),
        67..=74 => Theirs::Snapshot {
            place,
            like_ours: random.chance(60),
        },
        75..=84 => Theirs::Image {
            place,
            our_name: random.chance(20),
            like_ours: random.chance(60),
            on_ours: random.chance(30),
        },
        85..=89 => Theirs::Retag {
            place,
            which: number(random, 4),
            key: random.chance(50),
        },
        90..=93 => Theirs::DeleteCopy {
            place,
            which: number(random, 4),
        },
        _ => Theirs::Deregister { place },
    }
}
