//! The resources that can be open, and where they are.

use super::{Record, Run};
use crate::ids::{AccountId, ImageId, KeyArn, Region, SnapshotId};

/// The resource of an opening.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// The source AMI, opened by launch permissions.
    Image(ImageId),
    /// A snapshot, opened by permissions to make volumes of it.
    Snapshot(SnapshotId),
    /// A key of a snapshot, opened by grants or by its policy.
    Key(KeyArn),
}

/// A resource with the account and Region that it is in.
#[derive(Debug, Clone)]
pub struct Site {
    /// The resource itself.
    pub resource: Resource,
    /// The account that owns the resource.
    pub account: AccountId,
    /// The Region of the resource.
    pub region: Region,
}

impl Resource {
    /// Returns the name by which the ledger knows the resource.
    pub fn name(&self) -> &str {
        match self {
            Self::Image(id) => id.as_str(),
            Self::Snapshot(id) => id.as_str(),
            Self::Key(arn) => arn.as_str(),
        }
    }

    /// Reads such a name.
    pub fn parse(name: &str) -> Option<Self> {
        if let Ok(id) = ImageId::parse(name) {
            return Some(Self::Image(id));
        }
        if let Ok(id) = SnapshotId::parse(name) {
            return Some(Self::Snapshot(id));
        }
        KeyArn::parse(name).ok().map(Self::Key)
    }

    /// Whether this is a key.
    pub fn is_key(&self) -> bool {
        matches!(self, Self::Key(_))
    }
}

impl Run {
    /// Returns the resources whose records may name this run. The record of a staged copy has the
    /// Region, if that is not the source's.
    pub fn sites(&self) -> Vec<Site> {
        let all = self
            .resources
            .iter()
            .filter_map(|name| Resource::parse(name));
        all.filter_map(|resource| self.site(resource)).collect()
    }

    fn site(&self, resource: Resource) -> Option<Site> {
        Some(Site {
            account: AccountId::parse(&self.account_id).ok()?,
            region: match &resource {
                Resource::Key(arn) => arn.region(),
                _ => Region::parse(&self.source_region).ok()?,
            },
            resource,
        })
    }
}

impl Record {
    /// Returns the resource where it is.
    pub fn site(&self) -> Option<Site> {
        Some(Site {
            resource: Resource::parse(&self.resource)?,
            account: AccountId::parse(&self.account_id).ok()?,
            region: Region::parse(&self.region).ok()?,
        })
    }
}
