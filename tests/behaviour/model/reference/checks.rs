//! The demands of the reference: between any two acts, and at the end.

use std::collections::{BTreeMap, BTreeSet};

use amiferry_sandbox::{Image, Sandbox};

use super::{Reference, Thing, Whose, all_source_tags, source_tags};
use crate::model::acts::PLACES;
use crate::support::*;

impl Reference {
    /// Checks what must hold between any two acts.
    pub fn check(&mut self, sandbox: &Sandbox) {
        self.observe(sandbox);
        let closing = std::mem::take(&mut self.closing);
        let at_work = |(thing, who): &(Thing, String)| self.at_work(*thing, who).next().is_some();
        self.closing = closing.into_iter().filter(at_work).collect();
        let keys: Vec<(Thing, String)> = self.whose.keys().chain(&self.held).cloned().collect();
        for key in keys {
            let needed = self.at_work(key.0, &key.1).next().is_some()
                || self.asked.contains(&key)
                || self.unsettled.contains(&key.1)
                || self.stuck.contains(SOURCE);
            if needed {
                continue;
            }
            self.held.remove(&key);
            match self.whose.get_mut(&key) {
                Some(Whose::Ours) => self
                    .wrong
                    .push(format!("{:?} is left open to {}", key.0, key.1)),
                Some(whose) => *whose = Whose::Theirs,
                None => {}
            }
        }
        let tags = source_tags(sandbox);
        if tags != self.tags {
            self.wrong.push(format!(
                "others' tags are {tags:?}, they left {:?}",
                self.tags
            ));
        }
        for place in PLACES {
            self.check_place(sandbox, place);
        }
        for (account, region) in PLACES.into_iter().chain([(SOURCE, HOME)]) {
            let public = sandbox.snapshots(account, region).iter().any(|s| s.public)
                || sandbox.images(account, region).iter().any(|i| i.public);
            if public {
                self.wrong.push(format!("something of {account} is public"));
            }
        }
    }

    fn check_place(&mut self, sandbox: &Sandbox, place: Place) {
        let (images, snapshots) = (
            sandbox.images(place.0, place.1),
            sandbox.snapshots(place.0, place.1),
        );
        let there: BTreeMap<&str, &BTreeMap<String, String>> = images
            .iter()
            .map(|i| (i.image_id.as_str(), &i.tags))
            .chain(snapshots.iter().map(|s| (s.snapshot_id.as_str(), &s.tags)))
            .collect();
        for (id, (_, tags)) in self
            .images
            .iter()
            .chain(&self.snapshots)
            .filter(|(_, (p, _))| *p == place)
        {
            if there.get(id.as_str()) != Some(&tags) {
                self.wrong.push(format!(
                    "{id} of others in {place:?} is {:?}",
                    there.get(id.as_str())
                ));
            }
        }
        let ours = self.our_images(&images);
        if ours.len() > 1 {
            self.wrong
                .push(format!("{place:?} has {} images", ours.len()));
        }
        if let Some(image) = self.standing.get(&place)
            && !there.contains_key(image.as_str())
        {
            self.wrong
                .push(format!("{image} of {place:?} was finished, and is gone"));
        }
    }

    fn our_images<'a>(&self, images: &'a [Image]) -> Vec<&'a Image> {
        let theirs = |i: &&Image| !self.images.contains_key(&i.image_id);
        let sound = |i: &&Image| !self.disputed.contains(&i.image_id);
        images.iter().filter(theirs).filter(sound).collect()
    }

    /// Checks what must hold in addition when every run has ended.
    pub fn check_the_end(&mut self, sandbox: &Sandbox) {
        self.check(sandbox);
        let source = sandbox.images(SOURCE, HOME).into_iter().next();
        for place in PLACES {
            let (images, snapshots) = (
                sandbox.images(place.0, place.1),
                sandbox.snapshots(place.0, place.1),
            );
            let used: BTreeSet<String> = images.iter().flat_map(Image::snapshot_ids).collect();
            let orphans: Vec<&String> = snapshots
                .iter()
                .map(|s| &s.snapshot_id)
                .filter(|id| {
                    !used.contains(*id)
                        && !self.snapshots.contains_key(*id)
                        && !self.disputed.contains(*id)
                })
                .collect();
            if !orphans.is_empty() && !self.stuck.contains(place.0) {
                self.wrong.push(format!("{place:?}: orphans {orphans:?}"));
            }
            for image in self.our_images(&images) {
                let whole = image.snapshot_ids().iter().all(|id| {
                    let found = snapshots.iter().find(|s| s.snapshot_id == *id);
                    found.is_some_and(|s| {
                        s.state == "completed"
                            && s.kms_key_arn.as_deref() == Some(key_arn(place).as_str())
                    })
                });
                if !whole {
                    self.wrong
                        .push(format!("{place:?}: {} is not whole", image.image_id));
                }
                if let Some(source) = &source {
                    let mut source = source.clone();
                    // Tags that others set meanwhile may have come too late, or may be gone again.
                    source.tags.retain(|key, _| key == "team");
                    let faithful = std::panic::catch_unwind(|| assert_same(&source, image));
                    if faithful.is_err() {
                        self.wrong
                            .push(format!("{place:?}: {} is not faithful", image.image_id));
                    }
                }
            }
        }
        self.check_what_is_ours_at_the_source(sandbox);
    }

    fn check_what_is_ours_at_the_source(&mut self, sandbox: &Sandbox) {
        if self.stuck.contains(SOURCE) {
            return;
        }
        let may = |who: &String| {
            self.asked.iter().any(|(_, account)| account == who) || self.unsettled.contains(who)
        };
        for (id, name) in &self.view.grants {
            let account = name.rsplit('-').next().unwrap_or_default().to_owned();
            if !self.grants.contains(id) && !may(&account) {
                self.wrong.push(format!("grant {name} is left"));
            }
        }
        let there: BTreeSet<&String> = self.view.grants.keys().collect();
        let gone: Vec<&String> = self
            .grants
            .iter()
            .filter(|id| !there.contains(id))
            .collect();
        if !gone.is_empty() {
            self.wrong
                .push(format!("grants {gone:?} of others are gone"));
        }
        for key in &self.lasting {
            if !self.view.permitted(key.0).contains(&key.1) {
                self.wrong.push(format!("{key:?} is shared no more"));
            }
        }
        for (id, tags) in all_source_tags(sandbox) {
            for tag in tags.keys().filter(|key| key.starts_with("amiferry:")) {
                self.wrong.push(format!("{id} has the tag {tag}"));
            }
        }
    }
}
