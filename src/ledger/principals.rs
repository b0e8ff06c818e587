//! The principals that a resource is open to: accounts by their IDs, organizations and units by
//! their ARNs.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// A set of accounts, organizations and units. The JSON has the keys `Accounts` and `Audience`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Lists", into = "Lists")]
pub struct Principals(BTreeSet<String>);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Lists {
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    accounts: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    audience: BTreeSet<String>,
}

impl From<Lists> for Principals {
    fn from(lists: Lists) -> Self {
        Self(lists.accounts.into_iter().chain(lists.audience).collect())
    }
}

impl From<Principals> for Lists {
    fn from(principals: Principals) -> Self {
        let (audience, accounts) = principals.0.into_iter().partition(|who| is_audience(who));
        Self { accounts, audience }
    }
}

/// Returns whether this principal is an organization or a unit of one.
pub fn is_audience(who: &str) -> bool {
    who.starts_with("arn:")
}

impl Principals {
    /// Returns whether the set contains this principal.
    pub fn contains(&self, who: &str) -> bool {
        self.0.contains(who)
    }

    /// Returns whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the number of principals.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns all principals, the accounts first.
    pub fn iter(&self) -> impl Iterator<Item = &String> {
        self.0.iter()
    }

    /// Returns the accounts.
    pub fn accounts(&self) -> impl Iterator<Item = &String> {
        self.0.iter().filter(|who| !is_audience(who))
    }

    /// Adds a principal.
    pub fn insert(&mut self, who: impl Into<String>) {
        self.0.insert(who.into());
    }

    /// Adds all principals of `more`.
    pub fn extend(&mut self, more: &Self) {
        self.0.extend(more.iter().cloned());
    }

    /// Removes all principals of `gone`.
    pub fn remove_all(&mut self, gone: &Self) {
        self.0.retain(|who| !gone.contains(who));
    }

    /// Returns the principals that the condition picks.
    #[must_use]
    pub fn filter(&self, picks: impl Fn(&str) -> bool) -> Self {
        self.0.iter().filter(|who| picks(who)).cloned().collect()
    }

    /// Returns the principals in both sets.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        self.filter(|who| other.contains(who))
    }

    /// Returns whether `other` contains all of these.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }

    /// Returns whether no principal is in both sets.
    pub fn is_disjoint(&self, other: &Self) -> bool {
        self.0.is_disjoint(&other.0)
    }
}

impl<S: Into<String>> FromIterator<S> for Principals {
    fn from_iter<I: IntoIterator<Item = S>>(iter: I) -> Self {
        Self(iter.into_iter().map(Into::into).collect())
    }
}

/// Returns a principal as a statement of a policy names it: an account by its ID, an organization
/// or unit by the last part of its ARN.
pub fn short_name(who: &str) -> &str {
    who.rsplit('/').next().unwrap_or(who)
}
