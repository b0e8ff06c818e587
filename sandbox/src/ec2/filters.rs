//! `Filter.N`: filters are joined by *and*, the values of one by *or*; `*` and `?` match as in a
//! shell.

use crate::refusals::{self, Refused};
use crate::wire::query::Query;

/// The limit of values over all filters of a call (EC2 guide, filtering).
const MOST_VALUES: usize = 200;

#[derive(Debug)]
pub(super) struct Filters(Vec<(String, Vec<String>)>);

impl Filters {
    /// Reads the filters. `known` returns whether the operation has a filter of this name.
    pub(super) fn read(query: &Query, known: impl Fn(&str) -> bool) -> Result<Self, Refused> {
        let mut filters = Vec::new();
        let mut count = 0;
        for filter in query.structures("Filter") {
            let name = filter.required("Name")?.to_owned();
            if !known(&name) && !is_tag(&name) {
                return Err(refusals::INVALID_FILTER.with(&[&name]));
            }
            let values = filter.list("Value");
            if values.is_empty() {
                return Err(refusals::FILTER_WITHOUT_VALUES.with(&[&name]));
            }
            count += values.len();
            filters.push((name, values));
        }
        if count > MOST_VALUES {
            return Err(refusals::TOO_MANY_FILTER_VALUES.with(&[]));
        }
        Ok(Self(filters))
    }

    /// Reads the filters of an operation that has more than the sandbox models.
    pub(super) fn read_some(query: &Query, modelled: &[&str]) -> Result<Self, Refused> {
        for filter in query.structures("Filter") {
            let name = filter.required("Name")?;
            if !modelled.contains(&name) && !is_tag(name) {
                return Err(refusals::NOT_IMPLEMENTED.with(&[&format!("filter {name}")]));
            }
        }
        Self::read(query, |_| true)
    }

    /// Returns whether the filters admit a resource. `facts` returns its values under a filter's
    /// name; `tags` are its tags.
    pub(super) fn admit<'a>(
        &self,
        tags: impl Fn() -> Vec<(&'a str, &'a str)>,
        facts: impl Fn(&str) -> Vec<String>,
    ) -> bool {
        self.0.iter().all(|(name, values)| {
            let has = if let Some(key) = name.strip_prefix("tag:") {
                let own = tags().into_iter().filter(|(own, _)| *own == key);
                own.map(|(_, value)| value.to_owned()).collect()
            } else if name == "tag-key" {
                tags().into_iter().map(|(key, _)| key.to_owned()).collect()
            } else {
                facts(name)
            };
            has.iter()
                .any(|own| values.iter().any(|value| matches(value, own)))
        })
    }
}

fn is_tag(name: &str) -> bool {
    name == "tag-key" || name.strip_prefix("tag:").is_some_and(|key| !key.is_empty())
}

/// Returns whether a pattern matches. The search is iterative, so no pattern takes long or
/// overflows the stack.
fn matches(pattern: &str, text: &str) -> bool {
    let tokens = tokens(pattern);
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match tokens.get(p) {
            Some(Token::Many) => {
                retry = Some((p, t));
                p += 1;
            }
            Some(Token::One) => (p, t) = (p + 1, t + 1),
            Some(Token::Only(c)) if *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match retry {
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    (p, t) = (star + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    tokens[p..].iter().all(|token| *token == Token::Many)
}

#[derive(PartialEq)]
enum Token {
    Only(char),
    One,
    Many,
}

/// Splits a pattern into tokens. A backslash makes the next character literal.
fn tokens(pattern: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => Token::Many,
            '?' => Token::One,
            '\\' => Token::Only(chars.next().unwrap_or('\\')),
            c => Token::Only(c),
        });
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_filter_with_wildcards_matches_as_in_ec2() {
        assert!(matches("gold*-20??", "golden-2026") && matches("*", "") && matches(r"a\*", "a*"));
        assert!(!matches("gold", "golden") && !matches(r"a\*", "ab") && !matches("?", ""));
        assert!(!matches(&"*a".repeat(50), &"b".repeat(500)));
    }
}
