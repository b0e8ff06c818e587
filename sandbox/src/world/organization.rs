//! The organization of a world: its tree, and the accounts that may list it. Each account names its
//! place (`Account::parent`).

use std::collections::BTreeSet;

use serde::Deserialize;

/// The organization that a world declares. Accounts may name others by ID, of which only the ID is
/// known.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Organization {
    /// `o-` and 10 to 32 lower-case letters or digits.
    pub id: String,
    /// The management account, one of the world's accounts; it is a member by itself.
    pub management_account: String,
    /// `r-` and 4 to 32 lower-case letters or digits. AWS has had one root for each organization so
    /// far.
    pub root: String,
    /// The OUs.
    #[serde(default, rename = "unit")]
    pub units: Vec<OrganizationalUnit>,
    /// The members that may list as the management account may.
    #[serde(default)]
    pub delegated_administrators: BTreeSet<String>,
    /// Whether lists begin with an empty page that carries a token, as AWS's may at any time.
    #[serde(default = "empty_pages")]
    pub empty_pages: bool,
}

/// An OU, below the root or below another OU.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrganizationalUnit {
    /// `ou-`, the root's ID without `r-`, `-`, and 8 to 32 lower-case letters or digits.
    pub id: String,
    /// The name.
    pub name: String,
    /// The root (the default) or the OU above. OUs may be declared in any order.
    #[serde(default)]
    pub parent: Option<String>,
}

fn empty_pages() -> bool {
    true
}

impl Organization {
    /// Returns an organization without OUs.
    pub fn new(id: &str, management_account: &str, root: &str) -> Self {
        Self {
            id: id.to_owned(),
            management_account: management_account.to_owned(),
            root: root.to_owned(),
            units: Vec::new(),
            delegated_administrators: BTreeSet::new(),
            empty_pages: true,
        }
    }

    /// Adds an OU; `parent` is the ID of the root or of another OU.
    #[must_use]
    pub fn unit(mut self, id: &str, name: &str, parent: &str) -> Self {
        self.units.push(OrganizationalUnit {
            id: id.to_owned(),
            name: name.to_owned(),
            parent: Some(parent.to_owned()),
        });
        self
    }

    /// Allows a member to list as the management account may.
    #[must_use]
    pub fn delegated_administrator(mut self, account: &str) -> Self {
        self.delegated_administrators.insert(account.to_owned());
        self
    }

    /// Sets whether lists begin with an empty page.
    #[must_use]
    pub fn empty_pages(mut self, wanted: bool) -> Self {
        self.empty_pages = wanted;
        self
    }
}
