//! The reference: what must hold, in sets and maps, without a word of `src`. It is informed of
//! every act of other people, and attributes every other change to us.
//!
//! The reference knows the owner of every permission:
//!
//! | who permitted the account | may we remove it? | must it be gone when no run needs it? |
//! |---|---|---|
//! | others, while no run of ours held or closed it | never | no |
//! | a run of ours | yes | yes |
//! | others, while a run held it, was about to, or had closed it and not ended | yes | no |
//!
//! In the last case no observer can know the owner. Permitting an account that is permitted already
//! leaves no trace in EC2. A few calls lie between a run's read of the permissions and its opening.
//! A run that has closed may look again fifteen seconds later. It then cannot separate a permission
//! of others from one of its own processes, and closes it. Both endings are right. Once no run
//! holds or closes an account, its permission belongs to the others.

mod checks;

use std::collections::{BTreeMap, BTreeSet};

use amiferry_sandbox::{LaunchPermission, Sandbox};
use serde_json::Value;

use super::acts::{PLACES, THINGS, Theirs, Thing, Wish};
use crate::support::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    Theirs,
    Ours,
    /// Ours or theirs: either ending is right.
    Nobodys,
}

/// A process that drives an event, from the start or from a state.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Process {
    pub wish: Wish,
    pub ended: bool,
    /// A call of the process is under way, and may stand between any two calls to AWS.
    pub under_way: bool,
    /// A call of the process was killed: it may have announced an opening that it did not make.
    pub cut: bool,
    /// The process may fail because of an act of others.
    pub hindered: bool,
}

/// The part of the world that the reference watches between any two calls.
#[derive(Debug, Clone, Default)]
pub struct View {
    permitted: BTreeMap<Thing, BTreeSet<String>>,
    /// Copies in the targets: account, source snapshot, state.
    copies: BTreeMap<String, (String, String, String)>,
    grants: BTreeMap<String, String>,
}

/// Things of others in a target, with their place and tags.
type Foreign = BTreeMap<String, (Place, BTreeMap<String, String>)>;

#[derive(Debug, Default)]
pub struct Reference {
    pub processes: Vec<Process>,
    view: View,
    whose: BTreeMap<(Thing, String), Whose>,
    /// Opened to by a run of ours that has not closed it, even if others removed the permission.
    held: BTreeSet<(Thing, String)>,
    /// Closed by a run of ours that has not ended.
    closing: BTreeSet<(Thing, String)>,
    /// Permissions of others that are older than any run, and that nobody has removed.
    preexisting: BTreeSet<(Thing, String)>,
    /// Later permissions of others that a run of ours removed; a receipt must name each.
    doubtful: BTreeSet<(Thing, String)>,
    /// Accounts that a lasting share opened to, and that no request has closed.
    lasting: BTreeSet<(Thing, String)>,
    /// Accounts that a share was asked to open to. If others remove the permission, and a copy then
    /// opens for itself, either ending is right.
    asked: BTreeSet<(Thing, String)>,
    /// Accounts that one call was to open to while another was to close them.
    unsettled: BTreeSet<String>,
    tags: BTreeMap<Thing, BTreeMap<String, String>>,
    pub grants: BTreeSet<String>,
    pub images: Foreign,
    pub snapshots: Foreign,
    /// Copies of ours that others have changed: nothing is promised about them.
    pub disputed: BTreeSet<String>,
    /// Images that a reply named and nobody has removed.
    pub standing: BTreeMap<Place, String>,
    pub names_taken: BTreeSet<Place>,
    /// The things that a reply listed as left behind.
    stuck: BTreeSet<String>,
    /// Grants that others revoked, their own and ours.
    revoked: BTreeSet<String>,
    /// The number of acts of others after which any process may fail.
    pub hindrances: usize,
    pub wrong: Vec<String>,
}

impl View {
    pub fn of(sandbox: &Sandbox) -> Self {
        let mut view = Self::default();
        for snapshot in sandbox.snapshots(SOURCE, HOME) {
            let thing = if snapshot.snapshot_id == ROOT {
                Thing::Root
            } else {
                Thing::Data
            };
            view.permitted
                .insert(thing, snapshot.create_volume_permissions);
        }
        for image in sandbox.images(SOURCE, HOME) {
            let users = image.launch_permissions.into_iter().map(|who| match who {
                LaunchPermission::User(id) => id,
                other => format!("{other:?}"),
            });
            view.permitted.insert(Thing::Image, users.collect());
        }
        for (account, region) in PLACES {
            for copy in sandbox.snapshots(account, region) {
                if let Some(source) = copy.source_snapshot_id {
                    view.copies
                        .insert(copy.snapshot_id, (account.to_owned(), source, copy.state));
                }
            }
        }
        for grant in sandbox.grants(SOURCE_KEY) {
            view.grants
                .insert(grant.grant_id, grant.name.unwrap_or_default());
        }
        view
    }

    pub fn permitted(&self, thing: Thing) -> BTreeSet<String> {
        self.permitted.get(&thing).cloned().unwrap_or_default()
    }
}

impl Reference {
    pub fn of(sandbox: &Sandbox) -> Self {
        let mut reference = Self {
            view: View::of(sandbox),
            tags: source_tags(sandbox),
            ..Self::default()
        };
        for thing in THINGS {
            for who in reference.view.permitted(thing) {
                reference.preexisting.insert((thing, who.clone()));
                reference.whose.insert((thing, who), Whose::Theirs);
            }
        }
        for place in PLACES {
            for snapshot in sandbox.snapshots(place.0, place.1) {
                reference
                    .snapshots
                    .insert(snapshot.snapshot_id, (place, snapshot.tags));
            }
        }
        reference
    }

    fn at_work(&self, thing: Thing, who: &str) -> impl Iterator<Item = &Process> {
        let at_work = self.processes.iter().filter(|p| !p.ended);
        let who = who.to_owned();
        at_work.filter(move |p| p.wish.touches(thing, &who))
    }

    /// Attributes every change since the last look to us.
    pub fn observe(&mut self, sandbox: &Sandbox) {
        let now = View::of(sandbox);
        let mut taken = BTreeSet::new();
        for thing in THINGS {
            let (was, is) = (self.view.permitted(thing), now.permitted(thing));
            for who in is.difference(&was) {
                self.we_opened(thing, who);
            }
            for who in was.difference(&is) {
                self.we_closed(thing, who);
                taken.insert(who.clone());
            }
        }
        for (id, name) in &self.view.grants {
            if now.grants.contains_key(id) || self.revoked.contains(id) {
                continue;
            }
            if self.grants.contains(id) {
                self.wrong
                    .push(format!("we revoked grant {name} of others"));
            }
            let account = name.rsplit('-').next().unwrap_or_default();
            taken.insert(account.to_owned());
        }
        for (id, (account, source, state)) in &now.copies {
            let was = self.view.copies.get(id).map(|(_, _, state)| state.as_str());
            // Others may have hindered one process of a run whose other process continues.
            let hindered = self
                .processes
                .iter()
                .any(|p| !p.ended && p.hindered && p.wish.accounts().contains(&account.as_str()));
            if state == "error" && was == Some("pending") && taken.contains(account) && !hindered {
                self.wrong.push(format!(
                    "the source was closed to {account} while its copy {id} of {source} was pending"
                ));
            }
        }
        self.view = now;
    }

    fn we_opened(&mut self, thing: Thing, who: &str) {
        if self.at_work(thing, who).next().is_none() {
            self.wrong
                .push(format!("{thing:?} was opened to {who}, for nobody"));
        }
        self.whose.insert((thing, who.to_owned()), Whose::Ours);
        self.held.insert((thing, who.to_owned()));
    }

    fn we_closed(&mut self, thing: Thing, who: &str) {
        let key = (thing, who.to_owned());
        if self.whose.remove(&key) == Some(Whose::Theirs) {
            let asked = self.processes.iter().any(|p| p.wish.touches(thing, who));
            if asked && !self.preexisting.contains(&key) {
                self.doubtful.insert(key.clone());
            } else {
                self.wrong.push(format!(
                    "{thing:?} was closed to {who}, which others had permitted"
                ));
            }
        }
        if self.lasting.contains(&key) && !self.unsettled.contains(who) {
            self.wrong.push(format!(
                "{thing:?} was closed to {who}, and its share lasts"
            ));
        }
        self.held.remove(&key);
        self.closing.insert(key);
    }

    /// Checks that a receipt names each permission of others that was removed. Given between a
    /// closing and its verification, such a permission looks like one of a slow process.
    pub fn check_receipts(&mut self, sandbox: &Sandbox) {
        let mut named: BTreeSet<(Thing, String)> = BTreeSet::new();
        for (name, object) in sandbox.objects(BUCKET) {
            if !name.starts_with("runs/") {
                continue;
            }
            let run: Value = serde_json::from_slice(&object).expect("the ledger is JSON");
            for receipt in run["Receipt"].as_array().into_iter().flatten() {
                let thing = THINGS.into_iter().find(|t| receipt["Resource"] == t.id());
                let lists = [
                    &receipt["ReadBack"]["Unclear"],
                    &receipt["Verified"]["Open"],
                ];
                let accounts = lists.into_iter().filter_map(Value::as_array).flatten();
                for who in accounts.filter_map(Value::as_str) {
                    named.extend(thing.map(|thing| (thing, who.to_owned())));
                }
            }
        }
        for (thing, who) in self.doubtful.difference(&named) {
            self.wrong.push(format!(
                "{thing:?} was closed to {who}, which others had permitted, and no receipt names it"
            ));
        }
    }

    /// Notes that others permit an account, or remove its permission, at this very moment.
    pub fn they_change(&mut self, act: &Theirs) {
        match act {
            Theirs::Permit(thing, who) => {
                let key = (*thing, (*who).to_owned());
                let (mut involved, mut unsure) = (false, false);
                for process in self.at_work(*thing, who) {
                    involved = true;
                    unsure |= process.under_way || process.cut;
                }
                let needed =
                    involved || self.lasting.contains(&key) || self.unsettled.contains(*who);
                let claimed = unsure
                    || (needed && self.held.contains(&key))
                    || (involved && self.closing.contains(&key));
                let whose = match self.whose.get(&key) {
                    None if claimed => Whose::Nobodys,
                    None => Whose::Theirs,
                    Some(Whose::Ours) => Whose::Nobodys,
                    Some(other) => *other,
                };
                self.whose.insert(key, whose);
                self.view
                    .permitted
                    .entry(*thing)
                    .or_default()
                    .insert((*who).to_owned());
            }
            Theirs::Forbid(thing, who) => {
                let key = (*thing, (*who).to_owned());
                self.whose.remove(&key);
                self.preexisting.remove(&key);
                self.lasting.remove(&key);
                self.view.permitted.entry(*thing).or_default().remove(*who);
                for process in &mut self.processes {
                    process.hindered |= !process.ended && process.wish.touches(*thing, who);
                }
            }
            Theirs::Tag(thing, n) => {
                let tags = self.tags.entry(*thing).or_default();
                tags.insert(format!("theirs-{n}"), "as they say".to_owned());
            }
            Theirs::Untag(thing, n) => {
                let tags = self.tags.entry(*thing).or_default();
                tags.remove(&format!("theirs-{n}"));
            }
            _ => {}
        }
    }

    pub fn they_revoked(&mut self, grant: &str) {
        let theirs = self.grants.remove(grant);
        self.revoked.insert(grant.to_owned());
        // A grant of ours may be younger than the last look.
        if !theirs {
            self.hinder_all();
        }
    }

    pub fn hinder_all(&mut self) {
        self.hindrances += 1;
        for process in &mut self.processes {
            process.hindered |= !process.ended;
        }
    }

    pub fn begins(&mut self, wish: &Wish) {
        let accounts = wish.accounts();
        let shares = |w: &Wish| !matches!(w, Wish::Copy { .. });
        if shares(wish) {
            for who in accounts {
                let others = self.processes.iter().filter(|p| !p.ended);
                let mut others =
                    others.filter(|p| shares(&p.wish) && p.wish.accounts().contains(&who));
                if others.any(|p| p.wish != *wish) {
                    self.unsettled.insert(who.to_owned());
                } else {
                    self.unsettled.remove(who);
                }
                if matches!(wish, Wish::Unshare { .. }) {
                    self.lasting.retain(|(_, account)| account != who);
                    self.asked.retain(|(_, account)| account != who);
                }
            }
        }
        let hindered = match wish {
            Wish::Copy { places, .. } => places.iter().any(|p| self.names_taken.contains(p)),
            _ => false,
        };
        self.processes.push(Process {
            wish: wish.clone(),
            ended: false,
            under_way: false,
            cut: false,
            hindered,
        });
    }

    /// Notes the last reply of a process.
    pub fn ends(&mut self, process: usize, reply: &Value) {
        let Process { wish, hindered, .. } = self.processes[process].clone();
        self.processes[process].ended = true;
        let status = reply["Status"].as_str().unwrap_or_default();
        if !hindered && status != "Succeeded" {
            self.wrong
                .push(format!("nothing hindered it, and yet {reply}"));
        }
        for left in reply["Result"]["Stuck"].as_array().into_iter().flatten() {
            self.stuck
                .insert(left["AccountId"].as_str().unwrap_or_default().to_owned());
        }
        for target in reply["Result"]["Targets"].as_array().into_iter().flatten() {
            let (account, region) = (&target["AccountId"], &target["Region"]);
            let said = |key: &str| target[key].as_str().is_some_and(|text| text.len() > 10);
            match target["Status"].as_str() {
                Some("Succeeded" | "Unshared") => {}
                _ if said("Reason") && said("Remedy") => continue,
                _ => self
                    .wrong
                    .push(format!("a failure without its reason: {target}")),
            }
            match &wish {
                Wish::Copy { places, .. } => {
                    let place = places.iter().find(|(a, r)| *a == account && *r == region);
                    let image = target["ImageId"].as_str().unwrap_or_default();
                    if let (Some(place), false) = (place, hindered) {
                        self.standing.insert(*place, image.to_owned());
                    }
                }
                Wish::Share { .. } => {
                    let who = account.as_str().unwrap_or_default();
                    let asked = THINGS.into_iter().filter(|thing| wish.touches(*thing, who));
                    self.asked
                        .extend(asked.map(|thing| (thing, who.to_owned())));
                    for thing in THINGS {
                        let is_in = self.view.permitted(thing).contains(who);
                        if wish.touches(thing, who) && is_in && !self.unsettled.contains(who) {
                            self.lasting.insert((thing, who.to_owned()));
                        } else if wish.touches(thing, who) && !is_in && !hindered {
                            self.wrong.push(format!(
                                "a reply names an opening of {thing:?} to {who}, which is not there"
                            ));
                        }
                    }
                }
                Wish::Unshare { .. } => {}
            }
        }
    }
}

/// Returns whether a grant's name is one of ours: `amiferry-<run>-<account>`.
pub fn is_of_a_run(name: &str) -> bool {
    let mut parts = name.split('-');
    let run = (parts.next(), parts.next());
    run.0 == Some("amiferry")
        && run
            .1
            .is_some_and(|run| run.len() == 16 && run.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn all_source_tags(sandbox: &Sandbox) -> Vec<(String, BTreeMap<String, String>)> {
    let snapshots = sandbox.snapshots(SOURCE, HOME).into_iter();
    let images = sandbox.images(SOURCE, HOME).into_iter();
    snapshots
        .map(|s| (s.snapshot_id, s.tags))
        .chain(images.map(|i| (i.image_id, i.tags)))
        .collect()
}

/// Returns the tags at the source that are not ours.
fn source_tags(sandbox: &Sandbox) -> BTreeMap<Thing, BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    for (id, mut tags) in all_source_tags(sandbox) {
        tags.retain(|key, _| !key.starts_with("amiferry:"));
        if let Some(thing) = THINGS.iter().find(|thing| thing.id() == id) {
            all.insert(*thing, tags);
        }
    }
    all
}
