//! JSON as the policy grammar requires: no key occurs twice in one object.
//!
//! `serde_json::Value` keeps the last of two equal keys, which would silently drop half of a
//! policy. (*IAM User Guide*, "Grammar of the IAM JSON policy language": "the individual elements
//! must not contain multiple instances of the same key".) `serde_json` itself bounds the depth.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

use super::error::PolicyError;

pub(super) fn read(json: &str) -> Result<Value, PolicyError> {
    serde_json::from_str::<Unique>(json)
        .map(|unique| unique.0)
        .map_err(|error| PolicyError::new("", format!("the document is not valid JSON: {error}")))
}

struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Unique)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Unique(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, Unique(value))) = map.next_entry::<String, Unique>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom(format_args!(
                    "key {key:?} appears twice in one object"
                )));
            }
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn a_key_given_twice_is_refused_at_any_depth() {
        assert!(read(r#"{"a":1,"b":{"c":[null,true,-1,1.5,"x"]}}"#).is_ok());
        let error = read(r#"{"a":{"StringEquals":{},"StringEquals":{}}}"#).unwrap_err();
        assert!(
            error.to_string().contains("\"StringEquals\" appears twice"),
            "{error}"
        );
    }

    #[test]
    fn deeply_nested_json_is_refused_without_a_stack_overflow() {
        assert!(read(&"[".repeat(1_000_000)).is_err());
        assert!(read(&"{\"a\":".repeat(1_000_000)).is_err());
    }
}
