//! The steps of a process.

use super::{ATTEMPTS, At, Broken, Decided, Model, World, attempt, everybody, lives};

impl Model {
    /// Returns all worlds after one step of a process.
    pub(super) fn step(&mut self, world: World, i: usize) -> Vec<World> {
        let (process, of) = (world.processes[i], ATTEMPTS[i]);
        let to = |at: At| {
            let mut new = world;
            new.processes[i].at = at;
            new
        };
        let is_current = world.record == process.seen;
        let next = match process.at {
            At::Read => {
                let mut new = to(At::Look);
                new.processes[i].seen = world.record;
                new
            }
            At::Look => {
                let mut new = to(At::Hold);
                new.processes[i].permitted = world.permitted;
                new
            }
            At::Hold if !is_current => to(At::Read),
            At::Hold => return self.hold(world, i),
            At::Open => World {
                permitted: true,
                ..to(At::Check)
            },
            At::Check => {
                let holds = self.record(world.record).holds(&attempt(of), &everybody());
                if holds {
                    to(At::Copy)
                } else if self.broken == Some(Broken::TakeBackUnannounced) {
                    let mut new = to(At::TakeBack);
                    new.processes[i].seen = world.record;
                    new
                } else {
                    to(At::Closing(true))
                }
            }
            At::TakeBack => {
                let seen = self.record(process.seen);
                let keep = !seen.holders.is_empty() || !seen.before.is_empty();
                World {
                    permitted: world.permitted && keep,
                    ..to(At::End)
                }
            }
            At::Copy | At::Closing(_) | At::Close(_) | At::Remove | At::Bury => {
                self.step_of_closing(world, i)
            }
            At::End | At::Dead => return Vec::new(),
        };
        vec![next]
    }

    /// Returns the world after one step of a process that has copied.
    fn step_of_closing(&mut self, world: World, i: usize) -> World {
        let (process, of) = (world.processes[i], ATTEMPTS[i]);
        let to = |at: At| {
            let mut new = world;
            new.processes[i].at = at;
            new
        };
        let is_current = world.record == process.seen;
        match process.at {
            At::Copy => to(At::Closing(false)),
            At::Closing(again) => {
                let mut new = to(At::Close(again));
                new.processes[i].seen = world.record;
                new
            }
            At::Close(again) if !is_current => to(At::Closing(again)),
            At::Close(again) => match self.announce(world.record, of, i, again) {
                None => to(At::End),
                Some(announced) => {
                    let mut new = to(At::Remove);
                    new.processes[i].seen = announced;
                    if self.broken != Some(Broken::CloseThenRecord) {
                        new.record = announced;
                    }
                    new
                }
            },
            At::Remove => {
                let takes = self.takes_away(process.seen, of);
                World {
                    permitted: world.permitted && !takes,
                    ..to(At::Bury)
                }
            }
            At::Bury => {
                let record = if self.broken == Some(Broken::CloseThenRecord) {
                    let announced = self.announce(world.record, of, i, false);
                    announced.unwrap_or(world.record)
                } else {
                    world.record
                };
                World {
                    record: self.bury(record, of, i),
                    ..to(At::End)
                }
            }
            _ => world,
        }
    }

    fn hold(&mut self, world: World, i: usize) -> Vec<World> {
        let (process, of) = (world.processes[i], ATTEMPTS[i]);
        let to = |at: At| {
            let mut new = world;
            new.processes[i].at = at;
            new
        };
        let other = if of == 1 { 2 } else { 1 };
        let late = !lives(&world, other);
        match self.open(process.seen, of, process.permitted, late) {
            Decided::Hold(record) => vec![World {
                record,
                ..to(At::Open)
            }],
            Decided::Held => vec![to(At::Open)],
            Decided::Wait => vec![to(At::Read)],
            Decided::Over => vec![to(At::End)],
            Decided::Finish(dead) => {
                let mut new = self.swept(world, dead);
                new.processes[i].at = At::Read;
                vec![new]
            }
        }
    }
}
