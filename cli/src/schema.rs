//! The JSON Schema of a request, and a request to fill in. Both are made from the library's table
//! of keys, as docs/requests.md is.

use amiferry::request::keys::{KEYS, Key, Kind, TARGET_KEYS};
use serde_json::{Map, Value, json};

use crate::wish::plain;

/// The keys that a skeleton gives a value; all others are in comments.
const IN_USE: [&str; 3] = ["SourceImageId", "SourceRegion", "Targets"];
/// Columns of a skeleton's comments.
const COLUMNS: usize = 78;

/// Returns the JSON Schema of a request.
pub fn schema() -> Value {
    let mut schema = object(&KEYS);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("A request of amiferry");
    schema["anyOf"] = json!([{"required": ["SourceImageId"]}, {"required": ["AmiId"]}]);
    schema
}

fn object(keys: &[Key]) -> Value {
    let mut properties = Map::new();
    for key in keys {
        let mut of_key = of_kind(key.kind);
        of_key["description"] = json!(format!(
            "{} Form: {}. Default: {}.",
            plain(key.about),
            plain(key.form),
            plain(key.default)
        ));
        if let Some(also) = key.also {
            let mut other = of_kind(key.kind);
            other["description"] = json!(format!("Another name of {}.", key.name));
            properties.insert(also.to_owned(), other);
        }
        properties.insert(key.name.to_owned(), of_key);
    }
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}

/// Returns the schema of a value. CloudFormation sends scalars as strings, and lists as
/// comma-joined strings.
fn of_kind(kind: Kind) -> Value {
    match kind {
        Kind::Text(pattern) => json!({"type": "string", "pattern": pattern}),
        Kind::Word(words) => {
            let word = |word: &str| match word {
                "true" | "false" => vec![json!(word == "true"), json!(word)],
                word => vec![json!(word)],
            };
            let words: Vec<Value> = words.iter().copied().flat_map(word).collect();
            json!({"enum": words})
        }
        Kind::Number(least, most) => json!({"anyOf": [
            {"type": "integer", "minimum": least, "maximum": most},
            {"type": "string", "pattern": "^[0-9]+$"}]}),
        Kind::Object(keys) => object(keys),
        Kind::Flag => json!({"enum": [true, false, "true", "false"]}),
        Kind::Minutes => json!({"anyOf": [
            {"type": "integer", "minimum": 15, "maximum": 2880, "multipleOf": 15},
            {"type": "string", "pattern": "^[0-9]+$"}]}),
        Kind::List(pattern) => json!({"anyOf": [
            {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": pattern}},
            {"type": "string"}]}),
        Kind::Map => json!({"anyOf": [
            {"type": "object", "additionalProperties": {"type": "string"}},
            {"type": "array", "items": {
                "type": "object",
                "properties": {"Key": {"type": "string"}, "Value": {"type": "string"}},
                "required": ["Key", "Value"],
                "additionalProperties": false}}]}),
        Kind::Targets => {
            let mut target = object(&TARGET_KEYS);
            target["required"] = json!(["AccountId"]);
            json!({"type": "array", "minItems": 1, "items": target})
        }
    }
}

/// Returns a request to fill in, as YAML: each key with its meaning, all but a few in comments.
pub fn skeleton(keys: impl Iterator<Item = &'static Key>) -> String {
    let mut text = "# A request of amiferry: give it with -f.\n".to_owned();
    for key in keys {
        text.push('\n');
        let about = format!("{} Default: {}.", plain(key.about), plain(key.default));
        text += &commented(&about);
        let off = if IN_USE.contains(&key.name) { "" } else { "# " };
        // The other keys of an example are those that the key needs.
        let value = &members(key)[key.name];
        for part in [off, key.name, ": ", &value.to_string(), "\n"] {
            text += part;
        }
    }
    text
}

/// Returns the same with the keys in use only, as JSON.
pub fn skeleton_json(keys: impl Iterator<Item = &'static Key>) -> Value {
    let used = keys.filter(|key| IN_USE.contains(&key.name));
    used.map(|key| (key.name.to_owned(), members(key)[key.name].clone()))
        .collect::<Map<_, _>>()
        .into()
}

/// Returns the members of a key's example.
fn members(key: &Key) -> Value {
    serde_json::from_str(&format!("{{{}}}", key.example)).unwrap_or_default()
}

fn commented(text: &str) -> String {
    let mut lines = String::new();
    let mut line = "#".to_owned();
    for word in text.split_whitespace() {
        if line.len() + word.len() >= COLUMNS && line.len() > 1 {
            lines += &line;
            lines.push('\n');
            "#".clone_into(&mut line);
        }
        line.push(' ');
        line += word;
    }
    lines + &line + "\n"
}

#[cfg(test)]
mod tests {
    use amiferry::ids::Region;
    use amiferry::request::{Defaults, Request};

    use super::*;

    fn parse(value: &Value) -> Result<Request, String> {
        let region = Region::parse("us-west-2").expect("a Region");
        let defaults = Defaults {
            region,
            account: None,
        };
        Request::parse(value, &defaults).map_err(|e| e.to_string())
    }

    #[test]
    fn a_skeleton_is_a_request_and_so_is_each_key_in_its_comments() {
        let text = skeleton(KEYS.iter());
        let value: Value = serde_saphyr::from_str(&text).expect("YAML");
        assert_eq!(value, skeleton_json(KEYS.iter()));
        parse(&value).expect("a request");
        for key in &KEYS {
            let line = format!("{}: ", key.name);
            let line = text
                .lines()
                .find_map(|l| l.trim_start_matches("# ").strip_prefix(&line));
            let value: Value = serde_saphyr::from_str(line.expect(key.name)).expect("YAML");
            assert_eq!(value, members(key)[key.name], "{}", key.name);
        }
        assert!(
            text.lines().all(|line| line.chars().count() <= 100),
            "{text}"
        );
    }

    #[test]
    fn the_words_of_the_schema_are_those_that_the_library_accepts() {
        for key in &KEYS {
            let Kind::Word(words) = key.kind else {
                continue;
            };
            for word in words.iter().chain(&["Other"]) {
                let request = json!({"SourceImageId": "ami-00000000",
                    "TargetAccountId": "222222222222", key.name: word});
                let accepted = parse(&request).is_ok();
                assert_eq!(accepted, *word != "Other", "{}: {word}", key.name);
            }
        }
    }

    /// Values of keys with a pattern: those that the library accepts, and others.
    const VALUES: [(&str, &[&str], &[&str]); 8] = [
        (
            "SourceImageId",
            &["ami-0a1b2c3d", "ami-0a1b2c3d4e5f60718"],
            &["ami-0a1b2c3d4", "ami-0A1B2C3D", "snap-0a1b2c3d"],
        ),
        (
            "SourceSnapshotId",
            &["snap-0a1b2c3d4e5f60722"],
            &["snap-", "ami-0a1b2c3d"],
        ),
        (
            "SourceRegion",
            &["us-west-2", "us-gov-east-1", "ap-southeast-10"],
            &["us-west", "us-2", "us-west-2a", "US-WEST-2"],
        ),
        (
            "TargetAccountId",
            &["012345678901"],
            &["1234", "12345678901x"],
        ),
        (
            "ReencryptKmsKeyId",
            &[
                "alias/amis",
                "1234abcd-12ab-34cd-56ef-1234567890ab",
                "mrk-1234abcd12ab34cd56ef1234567890ab",
                "arn:aws:kms:us-west-2:111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab",
                "arn:aws-us-gov:kms:us-gov-west-1:111111111111:alias/amis",
            ],
            &["amis", "1234abcd", "arn:aws:s3:::bucket", "alias/"],
        ),
        (
            "TargetRoleName",
            &["AmiCopyRole", "path/to/AmiCopyRole"],
            &["/AmiCopyRole", "a role"],
        ),
        (
            "OrganizationId",
            &["o-abcdefghij"],
            &["o-short", "O-ABCDEFGHIJ"],
        ),
        ("ExternalId", &["images-4711", "a/b:c"], &["x", "a b"]),
    ];

    #[test]
    fn the_patterns_of_the_schema_agree_with_the_library() {
        for (name, good, bad) in VALUES {
            let key = KEYS.iter().find(|key| key.name == name).expect(name);
            let Kind::Text(pattern) = key.kind else {
                panic!("{name} has no pattern")
            };
            let pattern = regex_lite::Regex::new(pattern).expect(name);
            let values = good.iter().map(|value| (value, true));
            for (value, expected) in values.chain(bad.iter().map(|value| (value, false))) {
                let mut request = json!({"SourceImageId": "ami-00000000",
                    "SourceRegion": "us-west-2", "OrganizationalUnitIds": "r-abcd"});
                request[name] = json!(value);
                let accepted = parse(&request).map(drop);
                assert_eq!(accepted.is_ok(), expected, "{name}: {value}: {accepted:?}");
                assert_eq!(pattern.is_match(value), expected, "{name}: {value}");
            }
        }
    }
}
