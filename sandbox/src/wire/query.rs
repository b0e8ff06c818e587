//! The parameters of a query call: flat names such as `BlockDeviceMapping.1.Ebs.SnapshotId`, read
//! as lists and structures.

use std::collections::{BTreeMap, BTreeSet};

use crate::refusals::{self, Refused};

#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    prefix: String,
    params: BTreeMap<String, String>,
}

impl Query {
    pub(crate) fn parse(form: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(form);
        Self::from(pairs.into_owned().collect::<BTreeMap<_, _>>())
    }

    pub(crate) fn params(&self) -> &BTreeMap<String, String> {
        &self.params
    }

    /// Returns a parameter. An empty value counts as given, as it does for AWS.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.params.get(name).map(String::as_str)
    }

    pub(crate) fn owned(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }

    /// Returns a parameter that must be given and not be empty.
    pub(crate) fn required(&self, name: &str) -> Result<&str, Refused> {
        let given = self.get(name).filter(|value| !value.is_empty());
        given.ok_or_else(|| refusals::MISSING_PARAMETER.with(&[&self.full(name)]))
    }

    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, Refused> {
        match self.get(name) {
            None => Ok(None),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(text) => Err(self.bad(name, text)),
        }
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<u32>, Refused> {
        self.get(name)
            .map(|text| text.parse().map_err(|_| self.bad(name, text)))
            .transpose()
    }

    /// Returns `Name.1`, `Name.2`, … in the order of their numbers.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let indexes = self.indexes(name);
        let values = indexes
            .iter()
            .filter_map(|i| self.owned(&format!("{name}.{i}")));
        values.collect()
    }

    /// Returns `Name.1.…`, `Name.2.…` as parameters of their own.
    pub(crate) fn structures(&self, name: &str) -> Vec<Query> {
        let indexes = self.indexes(name);
        let each = indexes.iter().map(|i| self.below(&format!("{name}.{i}")));
        each.collect()
    }

    /// Returns `Name.…` as parameters of their own; nothing if there are none.
    pub(crate) fn structure(&self, name: &str) -> Option<Query> {
        let inner = self.below(name);
        (!inner.params.is_empty()).then_some(inner)
    }

    pub(crate) fn bad(&self, name: &str, value: &str) -> Refused {
        refusals::INVALID_PARAMETER_VALUE.with(&[value, &self.full(name)])
    }

    fn full(&self, name: &str) -> String {
        if self.prefix.is_empty() {
            return name.to_owned();
        }
        format!("{}.{name}", self.prefix)
    }

    fn below(&self, name: &str) -> Query {
        let start = format!("{name}.");
        let range = self.params.range(start.clone()..);
        let inside = range.take_while(|(key, _)| key.starts_with(&start));
        let params = inside.map(|(key, value)| (key[start.len()..].to_owned(), value.clone()));
        Query {
            params: params.collect(),
            prefix: self.full(name),
        }
    }

    fn indexes(&self, name: &str) -> BTreeSet<u32> {
        let inside = self.below(name);
        let numbers = inside.params.keys().filter_map(|key| {
            let first = key.split('.').next().unwrap_or_default();
            first.parse().ok()
        });
        numbers.collect()
    }
}

impl From<BTreeMap<String, String>> for Query {
    fn from(params: BTreeMap<String, String>) -> Self {
        Self {
            prefix: String::new(),
            params,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_list_keeps_the_order_of_its_numbers() {
        let query = Query::parse(b"A.10=ten&A.2=two&A.1=one&B.1.C=x&B.1.D=y&B.2.C=z");
        assert_eq!(query.list("A"), ["one", "two", "ten"]);
        let inner = query.structures("B");
        assert_eq!(inner.len(), 2);
        assert_eq!(inner[0].get("D"), Some("y"));
        assert!(inner[1].required("D").is_err());
    }

    #[test]
    fn a_hostile_query_is_read_as_odd_parameters() {
        let query = Query::parse(b"A..=1&A.99999999999999.B=2&%ff%00=3&&=&A.-1=4");
        assert!(query.list("A").is_empty());
        assert!(query.structures("").is_empty());
    }
}
