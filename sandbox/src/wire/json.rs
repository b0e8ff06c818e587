//! JSON bodies, and their flat form for the ledger.

use std::collections::BTreeMap;

use serde_json::Value;

/// Flattens a body: `{"Operations": ["Decrypt"]}` becomes `Operations.1 = Decrypt`.
pub(crate) fn flatten(value: &Value) -> BTreeMap<String, String> {
    let mut flat = BTreeMap::new();
    walk(value, String::new(), &mut flat);
    flat
}

fn walk(value: &Value, path: String, flat: &mut BTreeMap<String, String>) {
    let join = |key: &str| {
        if path.is_empty() {
            key.to_owned()
        } else {
            format!("{path}.{key}")
        }
    };
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                walk(inner, join(key), flat);
            }
        }
        Value::Array(items) => {
            for (i, inner) in items.iter().enumerate() {
                walk(inner, join(&(i + 1).to_string()), flat);
            }
        }
        Value::Null => {}
        Value::String(text) => {
            flat.insert(path, text.clone());
        }
        other => {
            flat.insert(path, other.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_list_is_flattened_from_one() {
        let flat = flatten(&serde_json::json!({"A": ["x", {"B": 2}], "C": {"D": true}, "E": null}));
        let pairs: Vec<_> = flat.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(pairs, ["A.1=x", "A.2.B=2", "C.D=true"]);
    }
}
