//! The existence, tags and permissions that reads show of images, snapshots and grants.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use super::late::{Late, Read};
use super::{Aws, LiveGrant, account_of};
use crate::model::{Grant, Image, LaunchPermission, Snapshot};

type Tags = BTreeMap<String, String>;
/// Whether everybody has the permission, and the accounts that have it by name.
pub(crate) type VolumePermissions = (bool, BTreeSet<String>);
/// Whether everybody has the permission, and the accounts, organizations and OUs that have it by
/// name.
pub(crate) type LaunchPermissions = (bool, BTreeSet<LaunchPermission>);

/// The state of an image or a snapshot as reads show it.
#[derive(Clone, Debug)]
pub(crate) struct Shown<P> {
    /// Whether a read by ID finds the resource.
    by_id: Late<bool>,
    /// Whether a read without IDs finds the resource.
    listed: Late<bool>,
    pub(crate) tags: Late<Tags>,
    pub(crate) permissions: Late<P>,
}

impl<P> Default for Shown<P> {
    fn default() -> Self {
        Self {
            by_id: Late::default(),
            listed: Late::default(),
            tags: Late::default(),
            permissions: Late::default(),
        }
    }
}

impl<P> Shown<P> {
    /// Returns whether a read finds the resource. `exists` is whether it still exists.
    pub(super) fn is_found(&self, exists: bool, by_id: bool, now: SystemTime) -> bool {
        let late = if by_id { &self.by_id } else { &self.listed };
        *late.shown(&exists, now)
    }

    /// Returns whether both kinds of read show the resource's existence as it is.
    pub(super) fn is_settled(&self, now: SystemTime) -> bool {
        self.by_id.is_settled(now) && self.listed.is_settled(now)
    }
}

impl Aws {
    /// Returns the state that reads show of an image or snapshot created now. `by_id` is the kind
    /// of read that names its ID.
    pub(crate) fn shown_when_created<P>(&mut self, by_id: Read) -> Shown<P> {
        let (now, late) = (self.now, &mut self.lateness);
        let (read, tag) = (self.rules.read_delay, self.rules.tag_delay);
        let mut shown = Shown::default();
        late.replace(&mut shown.by_id, false, (by_id, read), now);
        late.replace(&mut shown.listed, false, (Read::Listings, read), now);
        late.replace(&mut shown.tags, Tags::new(), (Read::Tags, tag), now);
        shown
    }

    /// Records that an image or snapshot is deleted now.
    pub(super) fn show_deletion<P>(&mut self, shown: &mut Shown<P>, by_id: Read) {
        let (now, least) = (self.now, self.rules.gone_delay);
        let late = &mut self.lateness;
        late.replace(&mut shown.by_id, true, (by_id, least), now);
        late.replace(&mut shown.listed, true, (Read::Listings, least), now);
    }

    /// Returns whether ListGrants finds a grant created now.
    pub(crate) fn listed_when_created(&mut self) -> Late<bool> {
        let mut listed = Late::default();
        self.lateness.replace(&mut listed, false, GRANTS, self.now);
        listed
    }

    /// Creates the grant that principals of this account would create by virtue of another grant.
    pub fn add_child_grant(&mut self, key_arn: &str, account: &str, grantee: &str) -> bool {
        let (now, issuing_account) = (self.now, self.iam_arn(account, "root"));
        let listed = self.listed_when_created();
        let Some(key) = self.keys.get_mut(key_arn) else {
            return false;
        };
        let grant_id = format!("{:064x}", 0xc0de_u64 + key.grants.len() as u64);
        let mut others = key.grants.iter().map(|grant| &grant.view);
        let parent = others.find(|other| account_of(&other.grantee_principal) == Some(account));
        let parent = parent.map(|parent| parent.grant_id.clone());
        key.grants.push(LiveGrant {
            token: String::new(),
            parent,
            in_force_at: now,
            listed,
            view: Grant {
                grant_id,
                key_arn: key_arn.to_owned(),
                name: None,
                grantee_principal: grantee.to_owned(),
                retiring_principal: None,
                operations: vec!["Decrypt".to_owned()],
                encryption_context_equals: None,
                encryption_context_subset: None,
                issuing_account,
                creation_date: now,
            },
        });
        true
    }

    /// Revokes a grant at once; ListGrants shows the change later. Grants that its grantee created
    /// by virtue of it go with it, if the world says so.
    pub fn revoke_grant(&mut self, key_arn: &str, grant_id: &str) -> bool {
        let now = self.now;
        let Some(key) = self.keys.get_mut(key_arn) else {
            return false;
        };
        let mut grants = key.grants.iter();
        let Some(place) = grants.position(|grant| grant.view.grant_id == grant_id) else {
            return false;
        };
        let mut grant = key.grants.remove(place);
        self.lateness.replace(&mut grant.listed, true, GRANTS, now);
        key.revoked.push(grant);
        key.revoked.retain(|grant| !grant.listed.is_settled(now));
        if !self.rules.facts.child_grants_outlive {
            let grants = key.grants.iter();
            let children = grants.filter(|grant| grant.parent.as_deref() == Some(grant_id));
            let children = children.map(|grant| grant.view.grant_id.clone());
            for child in children.collect::<Vec<_>>() {
                self.revoke_grant(key_arn, &child);
            }
        }
        true
    }

    /// Changes a snapshot in any way, even one that AWS would not allow. Tags and permissions are
    /// in effect at once; reads show them as late as the world says.
    pub fn change_snapshot(&mut self, id: &str, change: impl FnOnce(&mut Snapshot)) -> bool {
        let (now, late) = (self.now, &mut self.lateness);
        let Some(live) = self.snapshots.get_mut(id) else {
            return false;
        };
        let former = live.view.tags.clone();
        let permissions = volume_permissions(&live.view);
        change(&mut live.view);
        if former != live.view.tags {
            late.replace(&mut live.shown.tags, former, TAGS, now);
        }
        if permissions != volume_permissions(&live.view) {
            let shown = &mut live.shown.permissions;
            late.replace(shown, permissions, PERMISSIONS, now);
        }
        true
    }

    /// Changes an image in any way, even one that AWS would not allow. Tags and permissions are in
    /// effect at once; reads show them as late as the world says.
    pub fn change_image(&mut self, id: &str, change: impl FnOnce(&mut Image)) -> bool {
        let (now, late) = (self.now, &mut self.lateness);
        let Some(live) = self.images.get_mut(id) else {
            return false;
        };
        let former = live.view.tags.clone();
        let permissions = launch_permissions(&live.view);
        change(&mut live.view);
        self.pending_images.insert(id.to_owned());
        if former != live.view.tags {
            late.replace(&mut live.shown.tags, former, TAGS, now);
        }
        if permissions != launch_permissions(&live.view) {
            let shown = &mut live.shown.permissions;
            late.replace(shown, permissions, PERMISSIONS, now);
        }
        true
    }
}

/// Kinds of read whose only delay is that of `LateReads`.
const GRANTS: (Read, Duration) = (Read::Grants, Duration::ZERO);
const PERMISSIONS: (Read, Duration) = (Read::Permissions, Duration::ZERO);
const TAGS: (Read, Duration) = (Read::Tags, Duration::ZERO);

pub(crate) fn volume_permissions(snapshot: &Snapshot) -> VolumePermissions {
    let permitted = snapshot.create_volume_permissions.clone();
    (snapshot.public, permitted)
}

pub(crate) fn launch_permissions(image: &Image) -> LaunchPermissions {
    (image.public, image.launch_permissions.clone())
}
