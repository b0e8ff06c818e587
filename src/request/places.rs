//! The targets of a call that is about copies which stand: their accounts, Regions and roles.

use super::fields::Fields;
use super::{Audience, Mode, Target, check_count, targets};
use crate::error::Error;
use crate::ids::{AccountId, Region};

/// The targets of such a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The targets named by account; [`Places::with_members`] adds those of the audience.
    pub targets: Vec<Target>,
    /// The organization or units, if the call names any.
    pub audience: Option<Audience>,
}

impl Places {
    /// Reads the keys that name targets. `region` is the Region of targets without one.
    pub(super) fn read(fields: &mut Fields, region: &Region) -> Result<Self, Error> {
        let (named, audience) = targets::read(fields, Mode::Copy, region)?;
        if named.is_empty() && audience.is_none() {
            return Err(targets::missing());
        }
        check_count(named.len())?;
        Ok(Self {
            targets: named,
            audience,
        })
    }

    /// Adds the accounts of the audience, except the source account.
    pub fn with_members(mut self, members: &[AccountId], owner: &AccountId) -> Result<Self, Error> {
        if let Some(audience) = &self.audience {
            let others = members.iter().filter(|account| *account != owner);
            let included = others.filter(|account| !audience.excluded.contains(*account));
            for target in included.flat_map(|account| audience.each.targets(account)) {
                let same = |there: &Target| {
                    (&there.account, &there.region) == (&target.account, &target.region)
                };
                if !self.targets.iter().any(same) {
                    self.targets.push(target);
                }
            }
        }
        check_count(self.targets.len())?;
        Ok(self)
    }
}
