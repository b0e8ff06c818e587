//! Whether a key policy can allow a principal an action at all.
//!
//! The module is no evaluator: an action that is allowed under some condition counts as possible.
//! The answer is no only if IAM would deny the action whatever else is true.

use serde_json::Value;

/// Returns the actions that no statement allows to any of these principals, or that one denies them
/// without a condition.
pub fn impossible<'a>(policy: &Value, principals: &[String], actions: &[&'a str]) -> Vec<&'a str> {
    let statements: Vec<&Value> = match &policy["Statement"] {
        Value::Array(list) => list.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    };
    let about = |statement: &Value, action: &str| {
        names(&statement["Principal"], principals) && matches(&statement["Action"], action)
    };
    let unconditional = |statement: &Value| {
        let none = |condition: &Value| condition.is_null() || *condition == serde_json::json!({});
        none(&statement["Condition"])
    };
    let possible = |action: &str| {
        let allowed = statements.iter().any(|s| {
            let not = |key: &str| !s[key].is_null();
            // A statement with NotPrincipal, NotAction or NotResource may cover every principal and
            // action.
            s["Effect"] == "Allow" && (about(s, action) || not("NotPrincipal") || not("NotAction"))
        });
        let denied = statements
            .iter()
            .any(|s| s["Effect"] == "Deny" && unconditional(s) && about(s, action));
        allowed && !denied
    };
    actions
        .iter()
        .copied()
        .filter(|action| !possible(action))
        .collect()
}

fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn names(principal: &Value, wanted: &[String]) -> bool {
    let named = match principal {
        Value::String(all) => vec![all.as_str()],
        Value::Object(kinds) => kinds.get("AWS").map(texts).unwrap_or_default(),
        _ => Vec::new(),
    };
    named
        .iter()
        .any(|name| *name == "*" || wanted.iter().any(|w| w == name))
}

/// Returns whether one of `actions` covers `wanted`. Most wildcards stand at the end, as in
/// `kms:ReEncrypt*`, but they may stand anywhere.
fn matches(actions: &Value, wanted: &str) -> bool {
    texts(actions)
        .iter()
        .any(|pattern| glob(&pattern.to_ascii_lowercase(), &wanted.to_ascii_lowercase()))
}

fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => {
            let Some(tail) = text.strip_prefix(head) else {
                return false;
            };
            let ends = tail.char_indices().map(|(i, _)| i).chain([tail.len()]);
            ends.into_iter().any(|i| glob(rest, &tail[i..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ACTIONS: [&str; 2] = ["kms:ReEncryptTo", "kms:CreateGrant"];

    fn who() -> Vec<String> {
        ["arn:aws:iam::222222222222:root", "222222222222"]
            .map(str::to_owned)
            .to_vec()
    }

    #[test]
    fn an_action_without_an_allow_is_impossible() {
        let allow = |principal: Value, action: Value| {
            json!({"Statement": [{"Effect": "Allow", "Principal": principal,
                "Action": action, "Resource": "*"}]})
        };
        let root = json!({"AWS": "arn:aws:iam::222222222222:root"});
        for (policy, wanted) in [
            (allow(root.clone(), json!("kms:*")), vec![]),
            (
                allow(json!("*"), json!(["kms:reencrypt*", "kms:Create*"])),
                vec![],
            ),
            (
                allow(json!({"AWS": ["222222222222"]}), json!("kms:ReEncrypt*")),
                vec!["kms:CreateGrant"],
            ),
            (
                allow(root.clone(), json!("kms:Describe*")),
                ACTIONS.to_vec(),
            ),
            (
                allow(
                    json!({"AWS": "arn:aws:iam::333333333333:root"}),
                    json!("kms:*"),
                ),
                ACTIONS.to_vec(),
            ),
            (
                allow(json!({"Service": "ec2.amazonaws.com"}), json!("kms:*")),
                ACTIONS.to_vec(),
            ),
            (json!({}), ACTIONS.to_vec()),
            (
                json!({"Statement": {"Effect": "Allow", "Principal": "*", "Action": "*"}}),
                vec![],
            ),
        ] {
            assert_eq!(impossible(&policy, &who(), &ACTIONS), wanted, "{policy}");
        }
    }

    #[test]
    fn an_unconditional_deny_is_impossible_and_a_conditional_is_not() {
        let with = |condition: Value| {
            json!({"Statement": [
                {"Effect": "Allow", "Principal": "*", "Action": "kms:*"},
                {"Effect": "Deny", "Principal": "*", "Action": "kms:CreateGrant",
                "Condition": condition}]})
        };
        assert_eq!(
            impossible(&with(Value::Null), &who(), &ACTIONS),
            ["kms:CreateGrant"]
        );
        let bound = with(json!({"Bool": {"kms:GrantIsForAWSResource": "false"}}));
        assert!(impossible(&bound, &who(), &ACTIONS).is_empty());
    }

    #[test]
    fn a_wildcard_matches_anywhere_in_an_action() {
        for (pattern, text, good) in [
            ("kms:*", "kms:x", true),
            ("*", "kms:x", true),
            ("k*s:re*to", "kms:reencryptto", true),
            ("kms:re*from", "kms:reencryptto", false),
            ("kms:x", "kms:xy", false),
        ] {
            assert_eq!(glob(pattern, text), good, "{pattern}");
        }
    }
}
