//! The `Condition` element.
//!
//! | values of the key | plain | negated | `…IfExists` | `ForAnyValue:` | `ForAllValues:` |
//! |---|---|---|---|---|---|
//! | none | false | true | true | false | true |
//! | one | any listed value matches | none matches | plain | plain | plain |
//! | several | any pair matches | no pair matches | plain | one value passes | each passes |
//!
//! Source: *IAM User Guide*, "IAM JSON policy elements: Condition operators" and "Set operators for
//! multivalued context keys". A plain operator on several values is AWS's undefined ground; the
//! table is the stricter reading.

use serde_json::Value;

use super::error::PolicyError;
use super::evaluate::Facts;
use super::pattern::{Pattern, Syntax};
use super::{date, json_text};

/// A condition: one key under one operator.
#[derive(Clone, Debug)]
pub struct Condition {
    /// The treatment of several values.
    pub quantifier: Quantifier,
    /// The comparison.
    pub operator: Operator,
    /// `StringNotEquals` is `StringEquals`, negated.
    pub negated: bool,
    /// Whether the condition holds for an absent key (`…IfExists`).
    pub if_exists: bool,
    /// The key in lower case: key names are case-insensitive.
    pub key: String,
    expected: Vec<Expected>,
}

/// The way in which a condition treats several values in the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantifier {
    /// A plain operator.
    None,
    /// At least one value of the request must match.
    ForAnyValue,
    /// Every value of the request must match.
    ForAllValues,
}

/// A condition operator without its prefix, suffix and negation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `StringEquals`.
    StringEquals,
    /// `StringEqualsIgnoreCase`.
    StringEqualsIgnoreCase,
    /// `StringLike`.
    StringLike,
    /// `NumericEquals`.
    NumericEquals,
    /// `NumericLessThan`.
    NumericLessThan,
    /// `NumericLessThanEquals`.
    NumericLessThanEquals,
    /// `NumericGreaterThan`.
    NumericGreaterThan,
    /// `NumericGreaterThanEquals`.
    NumericGreaterThanEquals,
    /// `DateEquals`.
    DateEquals,
    /// `DateLessThan`.
    DateLessThan,
    /// `DateLessThanEquals`.
    DateLessThanEquals,
    /// `DateGreaterThan`.
    DateGreaterThan,
    /// `DateGreaterThanEquals`.
    DateGreaterThanEquals,
    /// `Bool`.
    Bool,
    /// `ArnEquals` and `ArnLike`: AWS treats them alike.
    ArnLike,
    /// `Null`.
    Null,
}

#[derive(Clone, Debug)]
enum Expected {
    Text(Pattern),
    Number(f64),
    Date(i64),
    Bool(bool),
}

impl Condition {
    pub(super) fn parse_all(value: &Value, variables: bool) -> Result<Vec<Condition>, PolicyError> {
        let Value::Object(operators) = value else {
            return Err(PolicyError::new("", "must be an object of operators"));
        };
        let mut conditions: Vec<Condition> = Vec::new();
        for (written, keys) in operators {
            let Value::Object(keys) = keys else {
                return Err(PolicyError::new(
                    written,
                    "must be an object of condition keys",
                ));
            };
            let earlier = conditions.len();
            for (key, values) in keys {
                let condition = Condition::parse(written, key, values, variables)
                    .map_err(|error| error.within(written))?;
                if conditions[earlier..].iter().any(|c| c.key == condition.key) {
                    return Err(PolicyError::new(
                        written,
                        format!("names the key {key:?} twice"),
                    ));
                }
                conditions.push(condition);
            }
        }
        Ok(conditions)
    }

    fn parse(
        written: &str,
        key: &str,
        values: &Value,
        variables: bool,
    ) -> Result<Condition, PolicyError> {
        let (quantifier, rest) = if let Some(rest) = written.strip_prefix("ForAnyValue:") {
            (Quantifier::ForAnyValue, rest)
        } else if let Some(rest) = written.strip_prefix("ForAllValues:") {
            (Quantifier::ForAllValues, rest)
        } else {
            (Quantifier::None, written)
        };
        let (name, if_exists) = match rest.strip_suffix("IfExists") {
            Some(name) => (name, true),
            None => (rest, false),
        };
        let (operator, negated) = operator(name)?;
        if operator == Operator::Null && (if_exists || quantifier != Quantifier::None) {
            return Err(PolicyError::new(
                "",
                "Null takes neither IfExists nor a set prefix",
            ));
        }
        if !key
            .split_once(':')
            .is_some_and(|(vendor, name)| !vendor.is_empty() && !name.is_empty())
        {
            return Err(PolicyError::new(
                "",
                format!("key {key:?} must be prefaced by a vendor, such as aws: or kms:"),
            ));
        }
        let expected = json_text::scalars(values)
            .and_then(|texts| {
                texts
                    .iter()
                    .map(|text| expected(operator, text, variables))
                    .collect()
            })
            .map_err(|error| error.within(key))?;
        Ok(Condition {
            quantifier,
            operator,
            negated,
            if_exists,
            key: key.to_lowercase(),
            expected,
        })
    }

    /// Returns the listed values as text.
    pub fn values(&self) -> Vec<String> {
        self.expected
            .iter()
            .map(|expected| match expected {
                Expected::Text(pattern) => pattern.to_string(),
                Expected::Number(number) => number.to_string(),
                Expected::Date(millis) => format!("{}", millis / 1_000),
                Expected::Bool(value) => value.to_string(),
            })
            .collect()
    }

    pub(super) fn holds(&self, facts: &Facts<'_>) -> bool {
        let values = facts.values(&self.key).unwrap_or_default();
        if self.operator == Operator::Null {
            return self
                .expected
                .iter()
                .any(|e| matches!(e, Expected::Bool(absent) if *absent == values.is_empty()));
        }
        if values.is_empty() {
            return self.if_exists
                || match self.quantifier {
                    Quantifier::None => self.negated,
                    Quantifier::ForAnyValue => false,
                    Quantifier::ForAllValues => true,
                };
        }
        let listed = |value: &String| {
            self.expected
                .iter()
                .any(|expected| self.matches(expected, value, facts))
        };
        match self.quantifier {
            Quantifier::None => values.iter().any(listed) != self.negated,
            Quantifier::ForAnyValue => values.iter().any(|value| listed(value) != self.negated),
            Quantifier::ForAllValues => values.iter().all(|value| listed(value) != self.negated),
        }
    }

    fn matches(&self, expected: &Expected, value: &str, facts: &Facts<'_>) -> bool {
        let lookup = |key: &str| facts.single(key);
        match expected {
            Expected::Text(pattern) => match self.operator {
                Operator::StringEqualsIgnoreCase => pattern.matches_ignoring_case(value, &lookup),
                Operator::ArnLike => pattern.matches_arn(value, &lookup),
                _ => pattern.matches(value, &lookup),
            },
            Expected::Number(expected) => {
                number(value).is_some_and(|value| self.compares(value.partial_cmp(expected)))
            }
            Expected::Date(expected) => {
                date::parse(value).is_some_and(|value| self.compares(Some(value.cmp(expected))))
            }
            Expected::Bool(expected) => boolean(value) == Some(*expected),
        }
    }

    fn compares(&self, ordering: Option<std::cmp::Ordering>) -> bool {
        let Some(ordering) = ordering else {
            return false;
        };
        match self.operator {
            Operator::NumericLessThan | Operator::DateLessThan => ordering.is_lt(),
            Operator::NumericLessThanEquals | Operator::DateLessThanEquals => ordering.is_le(),
            Operator::NumericGreaterThan | Operator::DateGreaterThan => ordering.is_gt(),
            Operator::NumericGreaterThanEquals | Operator::DateGreaterThanEquals => {
                ordering.is_ge()
            }
            _ => ordering.is_eq(),
        }
    }
}

/// Returns the operator of a name without prefix and suffix, and whether the name is negated.
fn operator(name: &str) -> Result<(Operator, bool), PolicyError> {
    Ok(match name {
        "StringEquals" => (Operator::StringEquals, false),
        "StringNotEquals" => (Operator::StringEquals, true),
        "StringEqualsIgnoreCase" => (Operator::StringEqualsIgnoreCase, false),
        "StringNotEqualsIgnoreCase" => (Operator::StringEqualsIgnoreCase, true),
        "StringLike" => (Operator::StringLike, false),
        "StringNotLike" => (Operator::StringLike, true),
        "NumericEquals" => (Operator::NumericEquals, false),
        "NumericNotEquals" => (Operator::NumericEquals, true),
        "NumericLessThan" => (Operator::NumericLessThan, false),
        "NumericLessThanEquals" => (Operator::NumericLessThanEquals, false),
        "NumericGreaterThan" => (Operator::NumericGreaterThan, false),
        "NumericGreaterThanEquals" => (Operator::NumericGreaterThanEquals, false),
        "DateEquals" => (Operator::DateEquals, false),
        "DateNotEquals" => (Operator::DateEquals, true),
        "DateLessThan" => (Operator::DateLessThan, false),
        "DateLessThanEquals" => (Operator::DateLessThanEquals, false),
        "DateGreaterThan" => (Operator::DateGreaterThan, false),
        "DateGreaterThanEquals" => (Operator::DateGreaterThanEquals, false),
        "Bool" => (Operator::Bool, false),
        "ArnEquals" | "ArnLike" => (Operator::ArnLike, false),
        "ArnNotEquals" | "ArnNotLike" => (Operator::ArnLike, true),
        "Null" => (Operator::Null, false),
        "IpAddress" | "NotIpAddress" | "BinaryEquals" => {
            return Err(PolicyError::new("", "this operator is not modelled"));
        }
        _ => return Err(PolicyError::new("", "unknown operator")),
    })
}

fn expected(operator: Operator, text: &str, variables: bool) -> Result<Expected, PolicyError> {
    let refuse = |what: &str| PolicyError::new("", format!("{text:?} is not {what}"));
    let pattern = |wildcards| {
        Pattern::compile(
            text,
            Syntax {
                wildcards,
                variables,
            },
        )
        .map_err(|problem| PolicyError::new("", problem))
    };
    match operator {
        Operator::StringEquals | Operator::StringEqualsIgnoreCase => {
            pattern(false).map(Expected::Text)
        }
        Operator::StringLike => pattern(true).map(Expected::Text),
        Operator::ArnLike => {
            let pattern = pattern(true)?;
            if pattern.is_any() || pattern.is_arn() {
                Ok(Expected::Text(pattern))
            } else {
                Err(refuse("an ARN of six parts"))
            }
        }
        Operator::NumericEquals
        | Operator::NumericLessThan
        | Operator::NumericLessThanEquals
        | Operator::NumericGreaterThan
        | Operator::NumericGreaterThanEquals => number(text)
            .map(Expected::Number)
            .ok_or_else(|| refuse("a number")),
        Operator::DateEquals
        | Operator::DateLessThan
        | Operator::DateLessThanEquals
        | Operator::DateGreaterThan
        | Operator::DateGreaterThanEquals => date::parse(text)
            .map(Expected::Date)
            .ok_or_else(|| refuse("a date")),
        Operator::Bool | Operator::Null => boolean(text)
            .map(Expected::Bool)
            .ok_or_else(|| refuse("\"true\" or \"false\"")),
    }
}

fn number(text: &str) -> Option<f64> {
    let plain = text
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'));
    plain
        .then(|| text.parse().ok())
        .flatten()
        .filter(|number: &f64| number.is_finite())
}

fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}
