//! Reads a request key by key.
//!
//! CloudFormation sends every scalar as a string, and some lists as comma-joined strings, so each
//! reader accepts both forms. Keys that nobody read are refused by name at the end.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::error::Error;

use super::keys::{Key, accepted, knows};

/// Keys of a custom resource that do not belong to the request. CloudFormation adds some; templates
/// change the others to have the resource updated.
const OF_EVERY_RESOURCE: [&str; 5] = [
    "ServiceToken",
    "ServiceTimeout",
    "Timestamp",
    "UpdateToken",
    "ForceUpdate",
];

/// The unread keys of one JSON object.
pub struct Fields {
    /// The path of the object for messages: empty for the request itself, `Targets[3].` for a
    /// target.
    path: String,
    /// The list of all keys of this object.
    keys: &'static [Key],
    left: Map<String, Value>,
}

impl Fields {
    pub fn new(path: impl Into<String>, keys: &'static [Key], object: &Map<String, Value>) -> Self {
        let left = object
            .iter()
            .filter(|(key, _)| !OF_EVERY_RESOURCE.contains(&key.as_str()));
        Self {
            path: path.into(),
            keys,
            left: left.map(|(k, v)| (k.clone(), v.clone())).collect(),
        }
    }

    pub fn key(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }

    /// Returns whether this key has a value.
    pub fn has(&self, name: &str) -> bool {
        debug_assert!(knows(self.keys, name), "{name} is not in `keys`");
        self.left.get(name).is_some_and(|value| !is_blank(value))
    }

    fn remove(&mut self, name: &str) -> Option<Value> {
        debug_assert!(knows(self.keys, name), "{name} is not in `keys`");
        self.left.remove(name)
    }

    /// Takes the value under the first present name. Two names of one key must not disagree.
    fn take(&mut self, names: &[&str]) -> Result<Option<Value>, Error> {
        let mut found: Option<(&str, Value)> = None;
        for name in names {
            let Some(value) = self.remove(name) else {
                continue;
            };
            if is_blank(&value) {
                continue;
            }
            match &found {
                Some((first, earlier)) if *earlier != value => {
                    return Err(Error::invalid(
                        self.key(name),
                        format!("differs from {first}, which means the same; give one of them"),
                    ));
                }
                Some(_) => {}
                None => found = Some((name, value)),
            }
        }
        Ok(found.map(|(_, value)| value))
    }

    pub fn text(&mut self, names: &[&str]) -> Result<Option<String>, Error> {
        match self.take(names)? {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.trim().to_owned())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(Value::Bool(flag)) => Ok(Some(flag.to_string())),
            Some(other) => Err(Error::invalid(
                self.key(names[0]),
                format!("is {}; it must be a string", kind(&other)),
            )),
        }
    }

    /// Reads a text with `parse`.
    pub fn checked<T, E: std::fmt::Display>(
        &mut self,
        names: &[&str],
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Error> {
        let text = self.text(names)?;
        text.map(|text| parse(&text).map_err(|e| Error::invalid(self.key(names[0]), e.to_string())))
            .transpose()
    }

    pub fn flag(&mut self, name: &str) -> Result<Option<bool>, Error> {
        match self.text(&[name])?.as_deref() {
            None => Ok(None),
            Some(word) if word.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(word) if word.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(_) => Err(Error::invalid(self.key(name), "must be true or false")),
        }
    }

    /// Reads one of the `words`.
    pub fn choice<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Result<Option<T>, Error> {
        let Some(text) = self.text(&[name])? else {
            return Ok(None);
        };
        let accepted: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => Ok(Some(*value)),
            None => Err(Error::invalid(
                self.key(name),
                format!("must be {}", accepted.join(" or ")),
            )),
        }
    }

    /// Reads a list of texts: a JSON array, or one comma-joined string, which may end in a comma.
    ///
    /// An empty list is refused, because it is more often a mistake than a wish. An empty
    /// `CommaDelimitedList` arrives as a list of one empty text, and counts as absent.
    pub fn list(&mut self, name: &str) -> Result<Option<Vec<String>>, Error> {
        let Some(value) = self.remove(name).filter(|value| !is_blank(value)) else {
            return Ok(None);
        };
        let items: Vec<String> = match &value {
            Value::String(joined) => {
                let joined = joined.trim();
                let items = joined.strip_suffix(',').unwrap_or(joined).split(',');
                items.map(|item| item.trim().to_owned()).collect()
            }
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(i, item)| match item {
                    Value::String(text) => Ok(text.trim().to_owned()),
                    Value::Number(number) => Ok(number.to_string()),
                    other => Err(Error::invalid(
                        self.key(&format!("{name}[{i}]")),
                        format!("is {}; it must be a string", kind(other)),
                    )),
                })
                .collect::<Result<_, _>>()?,
            other => {
                return Err(Error::invalid(
                    self.key(name),
                    format!(
                        "is {}; it must be a list or a comma-joined string",
                        kind(other)
                    ),
                ));
            }
        };
        if items.is_empty() {
            return Err(Error::invalid(
                self.key(name),
                "is an empty list; give at least one item or leave the key out",
            ));
        }
        if let Some(i) = items.iter().position(String::is_empty) {
            return Err(Error::invalid(
                self.key(&format!("{name}[{i}]")),
                "is empty",
            ));
        }
        Ok(Some(items))
    }

    /// Reads a list of objects, each as `Fields` of its own.
    pub fn objects(
        &mut self,
        name: &str,
        keys: &'static [Key],
    ) -> Result<Option<Vec<Fields>>, Error> {
        match self.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(items)) if items.is_empty() => Err(Error::invalid(
                self.key(name),
                "is an empty list; give at least one item or leave the key out",
            )),
            Some(Value::Array(items)) => items
                .iter()
                .enumerate()
                .map(|(i, item)| match item {
                    Value::Object(object) => Ok(Fields::new(
                        format!("{}{name}[{i}].", self.path),
                        keys,
                        object,
                    )),
                    other => Err(Error::invalid(
                        self.key(&format!("{name}[{i}]")),
                        format!("is {}; it must be an object", kind(other)),
                    )),
                })
                .collect::<Result<_, _>>()
                .map(Some),
            Some(other) => Err(Error::invalid(
                self.key(name),
                format!("is {}; it must be a list of objects", kind(&other)),
            )),
        }
    }

    /// Reads an object as `Fields` of its own. An empty object counts as given.
    pub fn object(&mut self, name: &str, keys: &'static [Key]) -> Result<Option<Fields>, Error> {
        match self.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
            Some(Value::Object(object)) => {
                let path = format!("{}{name}.", self.path);
                Ok(Some(Fields::new(path, keys, &object)))
            }
            Some(other) => Err(Error::invalid(
                self.key(name),
                format!("is {}; it must be an object", kind(&other)),
            )),
        }
    }

    /// Reads a map from text to text.
    pub fn map(&mut self, name: &str) -> Result<BTreeMap<String, String>, Error> {
        match self.remove(name).filter(|value| !is_blank(value)) {
            None => Ok(BTreeMap::new()),
            Some(Value::Object(object)) => object
                .into_iter()
                .map(|(key, value)| {
                    let value = scalar(value).map_err(|kind| {
                        let problem = format!("is {kind}; it must be a string");
                        Error::invalid(self.key(&format!("{name}.{key}")), problem)
                    })?;
                    Ok((key, value))
                })
                .collect(),
            Some(Value::Array(items)) => self.map_of_pairs(name, items),
            Some(other) => Err(Error::invalid(
                self.key(name),
                format!(
                    "is {}; it must be a map of strings, or a list of {{Key, Value}}",
                    kind(&other)
                ),
            )),
        }
    }

    /// Reads a map in the form of AWS's tags.
    fn map_of_pairs(
        &self,
        name: &str,
        items: Vec<Value>,
    ) -> Result<BTreeMap<String, String>, Error> {
        let mut map = BTreeMap::new();
        for (i, item) in items.into_iter().enumerate() {
            let at = || self.key(&format!("{name}[{i}]"));
            let pair = match item {
                Value::Object(mut pair) if pair.len() == 2 => {
                    let word = |value: Option<Value>| value.and_then(|value| scalar(value).ok());
                    word(pair.remove("Key")).zip(word(pair.remove("Value")))
                }
                _ => None,
            };
            let (key, value) =
                pair.ok_or_else(|| Error::invalid(at(), "must be {Key, Value}, two strings"))?;
            if map.contains_key(&key) {
                return Err(Error::invalid(at(), format!("names {key} a second time")));
            }
            map.insert(key, value);
        }
        Ok(map)
    }

    /// Refuses the first key that was not read.
    pub fn finish(self) -> Result<(), Error> {
        match self.left.keys().next() {
            None => Ok(()),
            Some(unknown) => {
                let shown: String = unknown.chars().take(80).collect();
                Err(Error::invalid(
                    self.key(&shown),
                    format!("unknown key; accepted are {}", accepted(self.keys)),
                ))
            }
        }
    }
}

/// Returns the text of a string, a number or a boolean; otherwise the name of the value's type.
fn scalar(value: Value) -> Result<String, &'static str> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        other => Err(kind(&other)),
    }
}

/// Returns whether a value counts as absent. A parameter of CloudFormation cannot omit a property:
/// it sends an empty text, or a list of one empty text.
fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Object(object) => object.is_empty(),
        Value::Array(items) => {
            matches!(items.as_slice(), [Value::String(text)] if text.trim().is_empty())
        }
        _ => false,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
