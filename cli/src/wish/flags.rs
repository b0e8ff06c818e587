//! The flag of each key of a request.

use amiferry::request::keys::{Key, Kind, kind};
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, value_parser};
use serde_json::{Map, Value, json};

/// Flags with a shorter name than that of their key.
const SHORTER: [(&str, &str); 3] = [
    ("SourceImageId", "image"),
    ("Targets", "target"),
    ("Tags", "tag"),
];

/// Returns the name of a key's flag: `source-image-id` for `SourceImageId`.
pub fn name(key: &Key) -> String {
    if let Some((_, short)) = SHORTER.iter().find(|(name, _)| *name == key.name) {
        return (*short).to_owned();
    }
    let mut name = String::new();
    for c in key.name.chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

/// Returns the flag of a key.
pub fn flag(key: &'static Key) -> Arg {
    let about = plain(key.about);
    let first = about.split_inclusive(". ").next().unwrap_or(&about);
    let arg = Arg::new(key.name)
        .long(name(key))
        .help(first.trim_end_matches(['.', ' ']).to_owned())
        .long_help(format!(
            "{about}\n\n{}: {}.\nDefault: {}.",
            key.name,
            plain(key.form),
            plain(key.default)
        ));
    match key.kind {
        Kind::Text(pattern) => arg.value_name(value_name(pattern)),
        Kind::Minutes => arg.value_name("MINUTES"),
        Kind::Number(..) => arg.value_name("NUMBER"),
        Kind::Object(_) => arg.value_name("JSON").value_parser(object),
        Kind::Word(words) => arg
            .value_name("WORD")
            .value_parser(PossibleValuesParser::new(words.iter().copied())),
        Kind::Flag => arg
            .value_name("true|false")
            .value_parser(value_parser!(bool))
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
        Kind::List(pattern) => arg
            .value_name(format!("{},…", value_name(pattern)))
            .value_delimiter(',')
            .action(ArgAction::Append),
        Kind::Map => arg
            .value_name("KEY=VALUE")
            .value_parser(pair)
            .action(ArgAction::Append),
        Kind::Targets => arg
            .value_name("ACCOUNT[/REGION][=KEY]")
            .value_parser(target)
            .action(ArgAction::Append),
    }
}

fn value_name(pattern: &str) -> &'static str {
    match pattern {
        kind::ACCOUNT => "ACCOUNT",
        kind::REGION => "REGION",
        kind::IMAGE => "AMI",
        kind::SNAPSHOT => "SNAPSHOT",
        kind::KMS_KEY => "KEY",
        kind::ROLE => "ROLE",
        kind::EXTERNAL_ID | kind::ORGANIZATION => "ID",
        kind::UNIT => "UNIT",
        _ => "TEXT",
    }
}

/// Returns the JSON of a key's flag; `None` if the flag was not given.
pub fn value(key: &Key, matches: &ArgMatches) -> Result<Option<Value>, clap::Error> {
    let name = key.name;
    if !matches.contains_id(name) {
        return Ok(None);
    }
    let text = || matches.get_one::<String>(name).cloned();
    Ok(match key.kind {
        Kind::Text(_) | Kind::Word(_) => text().map(Value::String),
        // A number in JSON, as in the documents; anything else is refused by the library.
        Kind::Minutes | Kind::Number(..) => text().map(|text| match text.parse::<u32>() {
            Ok(number) => json!(number),
            Err(_) => Value::String(text),
        }),
        Kind::Flag => matches.get_one::<bool>(name).map(|flag| json!(flag)),
        Kind::Object(_) => matches.get_one::<Value>(name).cloned(),
        Kind::List(_) => matches
            .get_many::<String>(name)
            .map(|items| items.map(|item| json!(item.trim())).collect()),
        Kind::Map => {
            let pairs = matches
                .get_many::<(String, String)>(name)
                .into_iter()
                .flatten();
            let mut map = Map::new();
            for (key, value) in pairs {
                if map.insert(key.clone(), json!(value)).is_some() {
                    let said = format!("{name}: names {key} a second time\n");
                    return Err(clap::Error::raw(
                        clap::error::ErrorKind::ValueValidation,
                        said,
                    ));
                }
            }
            Some(Value::Object(map))
        }
        Kind::Targets => matches
            .get_many::<Value>(name)
            .map(|targets| targets.cloned().collect()),
    })
}

/// Reads an object as JSON or YAML. The library checks its keys.
fn object(text: &str) -> Result<Value, String> {
    let said = "an object is expected, such as '{\"Parameter\": \"/golden/{name}\"}'";
    let value: Value = serde_saphyr::from_str(text).map_err(|_| said.to_owned())?;
    value
        .is_object()
        .then_some(value)
        .ok_or_else(|| said.to_owned())
}

/// Reads `KEY=VALUE`.
fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("KEY=VALUE is expected")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Reads `ACCOUNT[/REGION][=KEY]`. The library checks the parts.
fn target(text: &str) -> Result<Value, String> {
    let (place, key) = match text.split_once('=') {
        Some((place, key)) => (place, Some(key)),
        None => (text, None),
    };
    let (account, region) = match place.split_once('/') {
        Some((account, region)) => (account, Some(region)),
        None => (place, None),
    };
    if [Some(account), region, key].contains(&Some("")) {
        return Err("ACCOUNT[/REGION][=KEY] is expected, and no part may be empty".to_owned());
    }
    let mut target = json!({"AccountId": account});
    for (name, value) in [("Region", region), ("KmsKeyId", key)] {
        if let Some(value) = value {
            target[name] = json!(value);
        }
    }
    Ok(target)
}

/// Returns Markdown as text: without its code marks, and with links as their words.
pub fn plain(markdown: &str) -> String {
    let mut text = String::new();
    let mut rest = markdown;
    while let Some(end) = rest.find("](") {
        let begin = rest[..end].rfind('[').unwrap_or(end);
        text += &rest[..begin];
        text += rest[begin..end].trim_start_matches('[');
        let after = &rest[end..];
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    text += rest;
    text.replace('`', "")
}
