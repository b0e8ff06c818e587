//! Text with wildcards and policy variables: `arn:aws:ec2:*:${aws:PrincipalAccount}:image/ami-?`.
//!
//! Matching uses two pointers and one backtrack point, so no pattern can make it exponential. A
//! variable's value is matched literally: a `*` that comes from a tag is a star. A pattern matches
//! nothing if the request lacks the key of one of its variables, or has several values of it.
//!
//! Source: *IAM User Guide*, "IAM policy elements: Variables and tags"; variables need `Version`
//! 2012-10-17.

use std::fmt;

/// A compiled pattern; `Display` gives back the text it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    source: String,
    tokens: Vec<Token>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Char(char),
    AnyChar,
    AnyRun,
    Variable {
        key: String,
        default: Option<String>,
    },
}

/// The syntax of a pattern: the characters with a special meaning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Syntax {
    pub wildcards: bool,
    pub variables: bool,
}

impl Pattern {
    pub(super) fn compile(source: &str, syntax: Syntax) -> Result<Pattern, String> {
        let mut tokens = Vec::with_capacity(source.len());
        let mut rest = source;
        while let Some(first) = rest.chars().next() {
            if syntax.variables && rest.starts_with("${") {
                let Some(end) = rest.find('}') else {
                    return Err(format!("the variable in {source:?} has no closing brace"));
                };
                tokens.push(variable(&rest[2..end]).ok_or_else(|| {
                    format!("{:?} in {source:?} is not a policy variable", &rest[..=end])
                })?);
                rest = &rest[end + 1..];
                continue;
            }
            match first {
                '*' if syntax.wildcards => tokens.push(Token::AnyRun),
                '?' if syntax.wildcards => tokens.push(Token::AnyChar),
                _ => tokens.push(Token::Char(first)),
            }
            rest = &rest[first.len_utf8()..];
        }
        Ok(Pattern {
            source: source.to_owned(),
            tokens,
        })
    }

    /// Returns the text that the pattern was compiled from.
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// Returns whether the pattern is exactly `*`.
    pub fn is_any(&self) -> bool {
        self.tokens == [Token::AnyRun]
    }

    /// Returns whether the pattern matches all of `text`. `lookup` returns the values of variables,
    /// by lower-cased key.
    pub(super) fn matches<'v>(&self, text: &str, lookup: &dyn Fn(&str) -> Option<&'v str>) -> bool {
        resolve(&self.tokens, lookup).is_some_and(|tokens| glob(&tokens, text))
    }

    /// Returns whether the pattern matches all of `text`, whatever the case.
    pub(super) fn matches_ignoring_case<'v>(
        &self,
        text: &str,
        lookup: &dyn Fn(&str) -> Option<&'v str>,
    ) -> bool {
        let Some(tokens) = resolve(&self.tokens, lookup) else {
            return false;
        };
        let tokens: Vec<Token> = tokens.into_iter().flat_map(Token::lowercase).collect();
        glob(&tokens, &text.to_lowercase())
    }

    /// Returns whether an ARN matches. The six parts between colons are compared one by one, so no
    /// wildcard crosses a colon before the resource part. A bare `*` matches every ARN.
    pub(super) fn matches_arn<'v>(
        &self,
        arn: &str,
        lookup: &dyn Fn(&str) -> Option<&'v str>,
    ) -> bool {
        if self.is_any() {
            return true;
        }
        let Some(pattern_parts) = self.arn_parts() else {
            return false;
        };
        let arn_parts: Vec<&str> = arn.splitn(6, ':').collect();
        arn_parts.len() == 6
            && pattern_parts.iter().zip(arn_parts).all(|(pattern, part)| {
                resolve(pattern, lookup).is_some_and(|tokens| glob(&tokens, part))
            })
    }

    /// Returns whether the text has the six parts of an ARN.
    pub(super) fn is_arn(&self) -> bool {
        self.source.starts_with("arn:") && self.arn_parts().is_some()
    }

    fn arn_parts(&self) -> Option<Vec<&[Token]>> {
        let parts: Vec<&[Token]> = self
            .tokens
            .splitn(6, |token| *token == Token::Char(':'))
            .collect();
        (parts.len() == 6).then_some(parts)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl Token {
    fn lowercase(self) -> Vec<Token> {
        match self {
            Token::Char(c) => c.to_lowercase().map(Token::Char).collect(),
            other => vec![other],
        }
    }

    fn matches(&self, c: char) -> bool {
        match self {
            Token::Char(own) => *own == c,
            Token::AnyChar => true,
            Token::AnyRun | Token::Variable { .. } => false,
        }
    }
}

/// Reads `aws:username`, `aws:username, 'nobody'`, or one of the escapes `*`, `?`, `$`.
fn variable(inner: &str) -> Option<Token> {
    if let "*" | "?" | "$" = inner {
        return inner.chars().next().map(Token::Char);
    }
    let (key, default) = match inner.split_once(',') {
        None => (inner, None),
        Some((key, default)) => {
            let quoted = default.trim().strip_prefix('\'')?.strip_suffix('\'')?;
            (key.trim_end(), Some(quoted.to_owned()))
        }
    };
    let (vendor, name) = key.split_once(':')?;
    let legible = |c: char| !c.is_whitespace() && !matches!(c, '{' | '}' | '$' | '*' | '?');
    (!vendor.is_empty() && !name.is_empty() && key.chars().all(legible)).then(|| Token::Variable {
        key: key.to_lowercase(),
        default,
    })
}

fn resolve<'v>(tokens: &[Token], lookup: &dyn Fn(&str) -> Option<&'v str>) -> Option<Vec<Token>> {
    let mut resolved = Vec::with_capacity(tokens.len());
    for token in tokens {
        match token {
            Token::Variable { key, default } => {
                let value = lookup(key).or(default.as_deref())?;
                resolved.extend(value.chars().map(Token::Char));
            }
            other => resolved.push(other.clone()),
        }
    }
    Some(resolved)
}

fn glob(pattern: &[Token], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    // The position of the last star, and the length of text it matched.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(Token::AnyRun) => {
                retry = Some((p, t));
                p += 1;
            }
            Some(token) if token.matches(text[t]) => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((run, swallowed)) = retry else {
                    return false;
                };
                retry = Some((run, swallowed + 1));
                p = run + 1;
                t = swallowed + 1;
            }
        }
    }
    pattern[p..].iter().all(|token| *token == Token::AnyRun)
}

#[cfg(test)]
mod tests {
    use super::{Pattern, Syntax};

    const FULL: Syntax = Syntax {
        wildcards: true,
        variables: true,
    };

    fn matches(pattern: &str, text: &str) -> bool {
        let lookup = |key: &str| match key {
            "aws:principalaccount" => Some("222222222222"),
            "aws:principaltag/team" => Some("a*c"),
            _ => None,
        };
        Pattern::compile(pattern, FULL)
            .unwrap()
            .matches(text, &lookup)
    }

    #[test]
    fn a_wildcard_matches_any_text() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "anything:at/all", true),
            ("?", "", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a*c", "ac", true),
            ("a*c", "abcabc", true),
            ("a*c", "abcab", false),
            ("*ab*ab*", "xxabxab", true),
            ("*ab*ab*", "xxab", false),
            ("", "", true),
            ("", "x", false),
            ("é*", "éa", true),
            ("snap-*", "Snap-1", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn a_pathological_pattern_matches_in_short_time() {
        let pattern = "a*".repeat(2_000) + "b";
        assert!(!matches(&pattern, &"a".repeat(5_000)));
    }

    #[test]
    fn a_variable_matches_its_literal_value_only() {
        assert!(matches(
            "key/${aws:PrincipalAccount}/*",
            "key/222222222222/x"
        ));
        assert!(!matches("key/${aws:PrincipalAccount}", "key/333333333333"));
        assert!(matches("${aws:PrincipalTag/team}", "a*c"));
        assert!(
            !matches("${aws:PrincipalTag/team}", "abc"),
            "a star from a value is no wildcard"
        );
        assert!(
            !matches("${aws:username}", ""),
            "an unknown variable matches nothing"
        );
        assert!(!matches("*${aws:username}*", "anything"));
        assert!(matches("${aws:username, 'nobody'}", "nobody"));
    }

    #[test]
    fn an_escaped_wildcard_matches_itself_only() {
        assert!(matches("a${*}b", "a*b") && !matches("a${*}b", "axb"));
        assert!(matches("a${?}b", "a?b") && matches("a${$}b", "a$b"));
    }

    #[test]
    fn a_malformed_variable_is_refused() {
        for bad in [
            "${",
            "x${aws:username",
            "${}",
            "${nocolon}",
            "${aws:a b}",
            "${aws:x, y}",
            "${:x}",
            "${aws:${x}}",
        ] {
            assert!(Pattern::compile(bad, FULL).is_err(), "{bad}");
        }
        let plain = Syntax {
            variables: false,
            ..FULL
        };
        assert!(
            Pattern::compile("${", plain).is_ok(),
            "version 2008-10-17 has no variables"
        );
    }

    #[test]
    fn a_wildcard_in_an_arn_crosses_no_colon() {
        let arn = |pattern: &str, text: &str| {
            Pattern::compile(pattern, FULL)
                .unwrap()
                .matches_arn(text, &|key| {
                    (key == "aws:principalaccount").then_some("222222222222")
                })
        };
        let role = "arn:aws:iam::222222222222:role/path/Copy";
        assert!(arn("arn:aws:iam::*:role/*", role));
        assert!(arn("arn:*:*:*:*:*", role));
        assert!(arn("*", role));
        assert!(arn(
            "arn:aws:iam::${aws:PrincipalAccount}:role/path/C?py",
            role
        ));
        assert!(
            !arn("arn:aws:iam:*:role/*:x", role),
            "a star does not swallow a colon"
        );
        assert!(!arn("arn:aws:i*Copy", role), "too few parts");
        assert!(!arn("arn:*:*:*:*:*", "not-an-arn"));
    }
}
