//! Reads JSON as a [`Policy`]: every element is known and every value valid, or an error names the
//! place.

use serde_json::{Map, Value};

use super::condition::Condition;
use super::error::PolicyError;
use super::pattern::{Pattern, Syntax};
use super::principal::Principals;
use super::statement::{Effect, Elements, Policy, Statement};
use super::{json, json_text};

const CURRENT: &str = "2012-10-17";
const LEGACY: &str = "2008-10-17";

impl Policy {
    /// Reads a policy document.
    pub fn parse(json: &str) -> Result<Policy, PolicyError> {
        let document = json::read(json)?;
        let Value::Object(document) = document else {
            return Err(PolicyError::new("", "a policy is a JSON object"));
        };
        only_known(&document, &["Version", "Id", "Statement"])?;
        // A document without a Version is of 2008, where "${…}" is plain text.
        let variables = match optional_string(&document, "Version")?.as_deref() {
            Some(CURRENT) => true,
            Some(LEGACY) | None => false,
            Some(other) => {
                return Err(PolicyError::new(
                    "Version",
                    format!("{other:?} is neither {CURRENT} nor {LEGACY}"),
                ));
            }
        };
        let bodies = match document.get("Statement") {
            Some(Value::Array(list)) if !list.is_empty() => list.as_slice(),
            Some(single @ Value::Object(_)) => std::slice::from_ref(single),
            Some(_) => {
                return Err(PolicyError::new(
                    "Statement",
                    "must be a statement or a list with at least one",
                ));
            }
            None => return Err(PolicyError::new("Statement", "is missing")),
        };
        let mut statements: Vec<Statement> = Vec::with_capacity(bodies.len());
        for (index, body) in bodies.iter().enumerate() {
            let sid = body.get("Sid").and_then(Value::as_str);
            let parsed = statement(body, variables).map_err(|error| error.at(index, sid))?;
            if parsed.sid.is_some() && statements.iter().any(|earlier| earlier.sid == parsed.sid) {
                return Err(PolicyError::new(
                    "Sid",
                    "statement IDs (SID) in a single policy must be unique",
                )
                .at(index, sid));
            }
            statements.push(parsed);
        }
        Ok(Policy {
            id: optional_string(&document, "Id")?,
            statements,
        })
    }
}

fn statement(body: &Value, variables: bool) -> Result<Statement, PolicyError> {
    let Value::Object(body) = body else {
        return Err(PolicyError::new("", "a statement is a JSON object"));
    };
    only_known(
        body,
        &[
            "Sid",
            "Effect",
            "Principal",
            "NotPrincipal",
            "Action",
            "NotAction",
            "Resource",
            "NotResource",
            "Condition",
        ],
    )?;
    let effect = match body.get("Effect").and_then(Value::as_str) {
        Some("Allow") => Effect::Allow,
        Some("Deny") => Effect::Deny,
        _ => return Err(PolicyError::new("Effect", "must be \"Allow\" or \"Deny\"")),
    };
    let principals = one_of(body, "Principal", "NotPrincipal", Principals::parse)?;
    if matches!(
        (&principals, effect),
        (Some(Elements::AllBut(_)), Effect::Allow)
    ) {
        return Err(PolicyError::new(
            "NotPrincipal",
            "is supported with the effect Deny only",
        ));
    }
    let actions = one_of(body, "Action", "NotAction", |value| patterns(value, action))?
        .ok_or_else(|| PolicyError::new("Action", "policy statement must contain actions"))?;
    let resources = one_of(body, "Resource", "NotResource", |value| {
        patterns(value, |text| resource(text, variables))
    })?;
    let conditions = match body.get("Condition") {
        None => Vec::new(),
        Some(value) => {
            Condition::parse_all(value, variables).map_err(|error| error.within("Condition"))?
        }
    };
    let sid = optional_string(body, "Sid")?.filter(|sid| !sid.is_empty());
    Ok(Statement {
        sid,
        effect,
        principals,
        actions,
        resources,
        conditions,
    })
}

fn only_known(object: &Map<String, Value>, known: &[&str]) -> Result<(), PolicyError> {
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(unknown) => Err(PolicyError::new(unknown, "unknown element")),
        None => Ok(()),
    }
}

fn optional_string(
    object: &Map<String, Value>,
    element: &str,
) -> Result<Option<String>, PolicyError> {
    match object.get(element) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(PolicyError::new(element, "must be a string")),
    }
}

/// Reads an element or its `Not…` twin; a statement never has both.
fn one_of<T>(
    body: &Map<String, Value>,
    only: &str,
    all_but: &str,
    parse: impl Fn(&Value) -> Result<T, PolicyError>,
) -> Result<Option<Elements<T>>, PolicyError> {
    match (body.get(only), body.get(all_but)) {
        (None, None) => Ok(None),
        (Some(value), None) => parse(value)
            .map(Elements::Only)
            .map(Some)
            .map_err(|error| error.within(only)),
        (None, Some(value)) => parse(value)
            .map(Elements::AllBut)
            .map(Some)
            .map_err(|error| error.within(all_but)),
        (Some(_), Some(_)) => Err(PolicyError::new(
            all_but,
            format!("cannot be combined with {only}"),
        )),
    }
}

fn patterns(
    value: &Value,
    one: impl Fn(&str) -> Result<Pattern, String>,
) -> Result<Vec<Pattern>, PolicyError> {
    json_text::strings(value)?
        .iter()
        .map(|text| one(text).map_err(|problem| PolicyError::new("", problem)))
        .collect()
}

/// Reads `*` or `service:Action`, with wildcards after the colon.
fn action(text: &str) -> Result<Pattern, String> {
    let well_formed = text == "*"
        || text.split_once(':').is_some_and(|(vendor, name)| {
            let vendor_ok = vendor
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-');
            let name_ok = name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'*' | b'?'));
            !vendor.is_empty() && !name.is_empty() && vendor_ok && name_ok
        });
    if !well_formed {
        return Err(format!(
            "{text:?} is not of the form service:Action; actions must be prefaced by a vendor"
        ));
    }
    Pattern::compile(
        text,
        Syntax {
            wildcards: true,
            variables: false,
        },
    )
}

/// Reads `*`, or an ARN whose service has no wildcards.
fn resource(text: &str, variables: bool) -> Result<Pattern, String> {
    if text != "*" {
        let mut parts = text.splitn(6, ':');
        if parts.next() != Some("arn") || text.matches(':').count() < 5 {
            return Err(format!("resource {text:?} must be in ARN format or \"*\""));
        }
        let vendor = parts.nth(1).unwrap_or("");
        if vendor.is_empty() || vendor.contains(['*', '?']) {
            return Err(format!(
                "the vendor of resource {text:?} must be fully qualified and cannot contain \
                 wildcards"
            ));
        }
    }
    Pattern::compile(
        text,
        Syntax {
            wildcards: true,
            variables,
        },
    )
}
