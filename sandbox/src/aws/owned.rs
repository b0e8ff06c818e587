//! Resources by ID, and the IDs of each owner: a describe call for one account need not look at the
//! resources of thousands of others.

use std::collections::{BTreeMap, BTreeSet, btree_map};

use super::{LiveImage, LiveSnapshot};

/// A resource that one account owns for ever.
pub(crate) trait HasOwner {
    fn owner(&self) -> &str;
}

impl HasOwner for LiveSnapshot {
    fn owner(&self) -> &str {
        &self.view.owner_id
    }
}

impl HasOwner for LiveImage {
    fn owner(&self) -> &str {
        &self.view.owner_id
    }
}

#[derive(Debug)]
pub(crate) struct Owned<T> {
    all: BTreeMap<String, T>,
    ids: BTreeMap<String, BTreeSet<String>>,
}

impl<T> Default for Owned<T> {
    fn default() -> Self {
        Self {
            all: BTreeMap::new(),
            ids: BTreeMap::new(),
        }
    }
}

impl<T: HasOwner> Owned<T> {
    pub(crate) fn insert(&mut self, id: String, resource: T) -> Option<T> {
        let ids = self.ids.entry(resource.owner().to_owned()).or_default();
        ids.insert(id.clone());
        self.all.insert(id, resource)
    }

    pub(crate) fn remove(&mut self, id: &str) -> Option<T> {
        let resource = self.all.remove(id)?;
        if let Some(ids) = self.ids.get_mut(resource.owner()) {
            ids.remove(id);
        }
        Some(resource)
    }

    pub(crate) fn get(&self, id: &str) -> Option<&T> {
        self.all.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut T> {
        self.all.get_mut(id)
    }

    pub(crate) fn contains_key(&self, id: &str) -> bool {
        self.all.contains_key(id)
    }

    pub(crate) fn values(&self) -> btree_map::Values<'_, String, T> {
        self.all.values()
    }

    /// Returns the resources of one account, or of all, in the order of their IDs.
    pub(crate) fn of(&self, owner: Option<&str>) -> Box<dyn Iterator<Item = &T> + '_> {
        let Some(owner) = owner else {
            return Box::new(self.all.values());
        };
        let ids = self.ids.get(owner).into_iter().flatten();
        Box::new(ids.filter_map(|id| self.all.get(id)))
    }
}
