//! Plays the rules in every interleaving of three processes of two attempts, one death at any
//! point, a person, and the sweeper.
//!
//! The decisions are those of [`Record`]; the model covers only what happens between them, for one
//! principal on one resource. Two promises are checked:
//!
//! - **closed**: when nothing can happen any more, the principal is permitted if and only if a
//!   person added the permission. Either is right if the person did so while a run was at work.
//! - **usable**: while a live attempt that holds the resource copies, the principal is permitted.
//!
//! Each rule taken out breaks a promise, so the checks can fail. The model deletes no record.
//! Deleting takes a quarter of an hour without any change, and no process keeps what it read for so
//! long.

use std::collections::{HashMap, VecDeque};

use super::{Attempt, Close, Kind, LONGEST_LIFE, Opening, Principals, Record, VERIFIED_AFTER};

mod entries;
mod steps;

/// A rule that is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    TakeBackUnannounced,
    BeforeIgnoresClosed,
    NoVerification,
    NoWaitForClosing,
    CloseThenRecord,
    ReopenWhatCloses,
    NoRevision,
    ContestedUnmarked,
}

/// The step of a process. In `Closing` and `Close` the flag says whether the process closes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum At {
    Read,
    Look,
    Hold,
    Open,
    Check,
    TakeBack,
    Copy,
    Closing(bool),
    Close(bool),
    Remove,
    Bury,
    End,
    Dead,
}

/// The number of a record.
type Id = u32;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Process {
    at: At,
    /// The record that the process read or wrote last.
    seen: Id,
    permitted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct World {
    record: Id,
    permitted: bool,
    /// Whether a person added the permission.
    hand: bool,
    /// Whether the person did so while a run was at work.
    met: bool,
    deaths: u8,
    processes: [Process; 3],
}

/// The attempts of the three processes.
const ATTEMPTS: [u32; 3] = [1, 1, 2];

/// Every record that was met, with the decisions about it.
struct Model {
    broken: Option<Broken>,
    records: Vec<Record>,
    numbers: HashMap<String, Id>,
    opened: HashMap<(Id, u32, bool, bool), Decided>,
    changed: HashMap<(Id, u32, usize, u8), Option<Id>>,
}

#[derive(Debug, Clone, Copy)]
enum Decided {
    Hold(Id),
    Held,
    Wait,
    Finish(u32),
    Over,
}

fn attempt(number: u32) -> Attempt {
    Attempt::new(if number == 1 { "one" } else { "other" }, number)
}

fn number(attempt: &Attempt) -> u32 {
    attempt.number
}

fn everybody() -> Principals {
    ["222222222222"].into_iter().collect()
}

impl Model {
    fn new(broken: Option<Broken>) -> Self {
        let mut model = Self {
            broken,
            records: Vec::new(),
            numbers: HashMap::new(),
            opened: HashMap::new(),
            changed: HashMap::new(),
        };
        model.id(Record::new(
            "snap-0123456789abcdef0",
            "us-west-2",
            "111111111111",
        ));
        model
    }

    fn id(&mut self, mut record: Record) -> Id {
        if self.broken == Some(Broken::NoRevision) {
            record.revision = 0;
        }
        if self.broken == Some(Broken::ContestedUnmarked) {
            record
                .closing
                .values_mut()
                .for_each(|c| c.contested = false);
            record.closed.values_mut().for_each(|c| c.contested = false);
        }
        let text = serde_json::to_string(&record).expect("a record is JSON");
        let next = Id::try_from(self.records.len()).expect("so many records");
        let id = *self.numbers.entry(text).or_insert(next);
        if id == next {
            self.records.push(record);
        }
        id
    }

    fn record(&self, id: Id) -> &Record {
        &self.records[id as usize]
    }

    /// Returns the decision for an attempt that read this record and this permission. `late` means
    /// that the processes it might wait for are dead.
    fn open(&mut self, id: Id, of: u32, permitted: bool, late: bool) -> Decided {
        if let Some(decided) = self.opened.get(&(id, of, permitted, late)) {
            return *decided;
        }
        let record = self.record(id).clone();
        let mut seen = record.clone();
        match self.broken {
            Some(Broken::BeforeIgnoresClosed) => seen.closed.clear(),
            Some(Broken::NoWaitForClosing) => seen.closing.retain(|a, _| number(a) == of),
            Some(Broken::ReopenWhatCloses) => {
                seen.closing.retain(|a, _| number(a) != of);
                seen.closed.retain(|a, _| number(a) != of);
            }
            _ => {}
        }
        let now = if late { LONGEST_LIFE } else { 0 };
        let who = if permitted {
            everybody()
        } else {
            Principals::default()
        };
        let decided = match seen.open(&attempt(of), Kind::Copy, &everybody(), &who, now) {
            Opening::Hold(held) => {
                let mut new = *held;
                (new.closing, new.closed) = (record.closing, record.closed);
                // The model has no clock: only `late` says how long ago a hold was.
                let holding = new.holders.get_mut(&attempt(of)).expect("it holds");
                (holding.since, holding.latest) = (0, 0);
                Decided::Hold(self.id(new))
            }
            Opening::Held => Decided::Held,
            Opening::Wait { .. } => Decided::Wait,
            Opening::Finish(other) => Decided::Finish(number(&other)),
            Opening::Over => Decided::Over,
        };
        self.opened.insert((id, of, permitted, late), decided);
        decided
    }

    fn announce(&mut self, id: Id, of: u32, by: usize, again: bool) -> Option<Id> {
        let record = self.record(id).clone();
        let key = (id, of, by, u8::from(again));
        if let Some(known) = self.changed.get(&key) {
            return *known;
        }
        let by = format!("process {by}");
        let new = match record.close(&attempt(of), &everybody(), &by, again, 0) {
            Close::Announce(new) => Some(self.id(*new)),
            Close::Nothing => None,
        };
        self.changed.insert(key, new);
        new
    }

    /// Buries a closing; each process that joined does so.
    fn bury(&mut self, id: Id, of: u32, by: usize) -> Id {
        if !self
            .record(id)
            .is_closed_by(&attempt(of), &format!("process {by}"))
        {
            return id;
        }
        if let Some(Some(known)) = self.changed.get(&(id, of, by, 2)) {
            return *known;
        }
        let new = self.record(id).bury(&attempt(of), 0);
        let new = self.id(new);
        self.changed.insert((id, of, by, 2), Some(new));
        new
    }

    fn takes_away(&self, id: Id, of: u32) -> bool {
        !self.record(id).to_take_away(&attempt(of)).is_empty()
    }

    /// Lets the sweeper close what a dead attempt holds or was closing.
    fn swept(&mut self, world: World, of: u32) -> World {
        let Some(announced) = self.announce(world.record, of, 9, false) else {
            return world;
        };
        let takes = self.takes_away(announced, of);
        World {
            record: self.bury(announced, of, 9),
            permitted: world.permitted && !takes,
            ..world
        }
    }

    fn verified(&mut self, world: World, of: u32) -> Option<World> {
        let record = self.record(world.record).clone();
        let announced = record.verify(&attempt(of), "sweeper", VERIFIED_AFTER)?;
        let takes = !announced.to_take_away(&attempt(of)).is_empty();
        let new = if takes && world.permitted {
            announced.bury(&attempt(of), 0)
        } else {
            announced.forget(&attempt(of))
        };
        Some(World {
            record: self.id(new),
            permitted: world.permitted && !takes,
            ..world
        })
    }

    fn sweeps(&mut self, world: World) -> Vec<World> {
        let mut all = Vec::new();
        for of in [1, 2] {
            if lives(&world, of) {
                continue;
            }
            let record = self.record(world.record);
            let is_open = record.holders.contains_key(&attempt(of))
                || record.closing.contains_key(&attempt(of));
            if is_open {
                all.push(self.swept(world, of));
            } else if self.broken != Some(Broken::NoVerification) {
                all.extend(self.verified(world, of));
            }
        }
        all
    }

    fn nexts(&mut self, world: World) -> Vec<World> {
        let mut all = self.sweeps(world);
        for i in 0..world.processes.len() {
            all.extend(self.step(world, i));
            let is_over = matches!(world.processes[i].at, At::End | At::Dead);
            if !is_over && world.deaths == 0 {
                let mut dead = World { deaths: 1, ..world };
                dead.processes[i].at = At::Dead;
                all.push(dead);
            }
        }
        all.retain(|next| *next != world);
        all
    }

    /// Plays everything. Returns the number of worlds, or the path to a world with a broken
    /// promise.
    fn play(&mut self) -> Result<usize, Vec<World>> {
        let process = Process {
            at: At::Read,
            seen: 0,
            permitted: false,
        };
        let start = World {
            record: 0,
            permitted: false,
            hand: false,
            met: false,
            deaths: 0,
            processes: [process; 3],
        };
        let mut from: HashMap<World, Option<World>> = HashMap::from([(start, None)]);
        let mut waiting = VecDeque::from([start]);
        let way = |from: &HashMap<World, Option<World>>, to: World| {
            let mut way = vec![to];
            while let Some(Some(before)) = way.last().and_then(|world| from.get(world)) {
                way.push(*before);
            }
            way.reverse();
            way
        };
        while let Some(world) = waiting.pop_front() {
            for (process, of) in world.processes.iter().zip(ATTEMPTS) {
                let holds = self.record(world.record).holders.contains_key(&attempt(of));
                if process.at == At::Copy && holds && !world.permitted {
                    return Err(way(&from, world));
                }
            }
            let nexts = self.nexts(world);
            if nexts.is_empty() && world.permitted != world.hand && !world.met {
                return Err(way(&from, world));
            }
            for next in nexts.into_iter().chain(lets_in(self, world)) {
                from.entry(next).or_insert_with(|| {
                    waiting.push_back(next);
                    Some(world)
                });
            }
        }
        Ok(from.len())
    }
}

fn lives(world: &World, of: u32) -> bool {
    let mut processes = world.processes.iter().zip(ATTEMPTS);
    processes.any(|(process, a)| a == of && !matches!(process.at, At::End | At::Dead))
}

/// Lets a person add the permission, once.
fn lets_in(model: &Model, world: World) -> Option<World> {
    if world.hand {
        return None;
    }
    let record = model.record(world.record);
    let at_it = |p: &Process| !matches!(p.at, At::Read | At::End | At::Dead);
    let in_use = !record.is_empty() || world.processes.iter().any(at_it);
    Some(World {
        permitted: true,
        hand: true,
        met: in_use,
        ..world
    })
}

#[test]
fn every_interleaving_ends_closed_and_keeps_copies_readable() {
    match Model::new(None).play() {
        Ok(worlds) => {
            println!("{worlds} worlds, both promises hold");
            assert!(worlds > 100_000, "{worlds} worlds are not all of them");
        }
        Err(way) => panic!("a promise is broken: {way:#?}"),
    }
}

#[test]
fn each_rule_taken_out_breaks_a_promise() {
    for broken in [
        Broken::TakeBackUnannounced,
        Broken::BeforeIgnoresClosed,
        Broken::NoVerification,
        Broken::NoWaitForClosing,
        Broken::CloseThenRecord,
        Broken::ReopenWhatCloses,
        Broken::NoRevision,
        Broken::ContestedUnmarked,
    ] {
        let played = Model::new(Some(broken)).play();
        assert!(
            played.is_err(),
            "without the rule nothing breaks: {broken:?}"
        );
    }
}
