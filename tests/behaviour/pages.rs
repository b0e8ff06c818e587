//! The documents agree with the code. docs/requests.md is written from the keys in the code, and
//! the product's own parsers read every JSON example of every page.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use amiferry::cause::Cause;
use amiferry::event::Event;
use amiferry::event::custom_resource::CustomResource;
use amiferry::ids::Region;
use amiferry::ledger::Record;
use amiferry::request::keys::{
    ENROLL_KEYS, KEYS, Key, LAUNCH_PERMISSION_KEYS, LAUNCH_TEST_KEYS, PROMOTE_KEYS, PUBLISH_KEYS,
    RETAIN_KEYS, ROLLBACK_KEYS, TARGET_KEYS,
};
use amiferry::request::{Defaults, Mode, Request};
use amiferry_sandbox::iam::Policy;
use serde_json::{Map, Value, json};

use crate::support::*;
use crate::tables::{shown, wrapped};

/// The keys that name a request's targets.
const TARGETING: [&str; 5] = [
    "Targets",
    "TargetAccountIds",
    "TargetAccountId",
    "OrganizationId",
    "OrganizationalUnitIds",
];

/// Returns the groups of keys, each with links to its keys.
fn contents(keys: &[Key]) -> String {
    let mut page = String::new();
    for group in keys.chunk_by(|a, b| a.group == b.group) {
        let links: Vec<String> = group
            .iter()
            .map(|key| format!("[`{}`](#{})", key.name, key.name.to_lowercase()))
            .collect();
        let line = format!("{}: {}", group[0].group, links.join(", "));
        page += &wrapped(&line, "- ", "  ");
    }
    page
}

/// The keys of the request's objects other than targets.
const OF_OBJECTS: [(&str, &[Key]); 7] = [
    ("Publish", &PUBLISH_KEYS),
    ("LaunchPermissions", &LAUNCH_PERMISSION_KEYS),
    ("LaunchTest", &LAUNCH_TEST_KEYS),
    ("Retain", &RETAIN_KEYS),
    ("Promote", &PROMOTE_KEYS),
    ("Rollback", &ROLLBACK_KEYS),
    ("Enroll", &ENROLL_KEYS),
];

fn sections(keys: &[Key]) -> String {
    let mut page = String::new();
    for key in keys {
        writeln!(page, "### `{}`\n", key.name).expect("text");
        page += &wrapped(key.about, "", "");
        page.push('\n');
        if let Some(also) = key.also {
            writeln!(page, "- Also named: `{also}`").expect("text");
        }
        match key.mode {
            Some(Mode::Copy) => page += "- Only with: `Mode: Copy`\n",
            Some(Mode::Share) => page += "- Only with: `Mode: Share`\n",
            None => {}
        }
        page += &wrapped(key.form, "- Form: ", "  ");
        page += &wrapped(key.default, "- Default: ", "  ");
        writeln!(page, "- Example: `{}`\n", key.example).expect("text");
    }
    page
}

#[test]
fn the_page_of_requests_lists_every_key_of_the_code() {
    let mut page = contents(&KEYS);
    for group in KEYS.chunk_by(|a, b| a.group == b.group) {
        writeln!(page, "\n## {}\n", group[0].group).expect("text");
        page += sections(group).trim_end();
        page.push('\n');
    }
    shown("docs/requests.md", "keys of a request", &page);
    let page = sections(&TARGET_KEYS);
    shown("docs/requests.md", "keys of a target", &page);
    for (of, keys) in OF_OBJECTS {
        shown(
            "docs/requests.md",
            &format!("keys of {of}"),
            &sections(keys),
        );
    }
}

/// Returns the members in a text, which has no braces around them.
fn members(text: &str) -> Map<String, Value> {
    serde_json::from_str(&format!("{{{text}}}")).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn request(mut members: Map<String, Value>) -> Value {
    if !members.contains_key("SourceImageId") && !members.contains_key("AmiId") {
        members.insert("SourceImageId".to_owned(), json!(AMI));
    }
    if !TARGETING.iter().any(|key| members.contains_key(*key)) {
        members.insert("TargetAccountIds".to_owned(), json!(["222222222222"]));
    }
    members.into()
}

fn parse(value: &Value) -> Result<Request, String> {
    let defaults = Defaults {
        region: Region::parse(HOME).expect("a Region"),
        account: None,
    };
    Request::parse(value, &defaults).map_err(|e| e.to_string())
}

/// Parses an example in this mode, which it leaves to the default or names.
fn in_mode(mode: Mode, example: &str) -> Result<Request, String> {
    let mut members = members(example);
    let word = match mode {
        Mode::Copy => "Copy",
        Mode::Share => "Share",
    };
    members.insert("Mode".to_owned(), json!(word));
    // A key of copies is refused by its own name, not by that of the targets' keys.
    if let (Mode::Share, Some(Value::Array(targets))) = (mode, members.get_mut("Targets")) {
        for target in targets {
            target.as_object_mut().expect("a target").remove("KmsKeyId");
        }
    }
    parse(&request(members))
}

#[test]
fn every_key_is_accepted_in_its_documented_modes_only() {
    for key in &KEYS {
        for mode in [Mode::Copy, Mode::Share] {
            let result = in_mode(mode, key.example);
            let named = key.mode.is_none_or(|only| only == mode);
            assert_eq!(
                result.is_ok(),
                named,
                "{} in {mode:?}: {result:?}",
                key.name
            );
        }
        if let Some(also) = key.also {
            let example = key
                .example
                .replace(&format!("\"{}\"", key.name), &format!("\"{also}\""));
            in_mode(key.mode.unwrap_or(Mode::Copy), &example).expect(also);
        }
    }
    for key in &TARGET_KEYS {
        let target = format!("\"Targets\": [{{{}}}]", key.example);
        parse(&request(members(&target))).expect(key.name);
    }
    let calls = ["Retain", "Promote", "Rollback", "Enroll"];
    for (of, keys) in OF_OBJECTS.into_iter().filter(|(of, _)| !calls.contains(of)) {
        for key in keys {
            let within = match of {
                "Publish" => format!("\"Publish\": {{{}}}", key.example),
                of => format!("\"Publish\": {{\"{of}\": {{{}}}}}", key.example),
            };
            parse(&request(members(&within))).expect(key.name);
        }
    }
}

/// Returns every page with its text.
fn pages() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let of_folder = |folder: PathBuf| fs::read_dir(folder).expect("a folder");
    let mut files: Vec<PathBuf> = of_folder(root.to_owned())
        .chain(of_folder(root.join("docs")))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "md"))
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let name = path
                .strip_prefix(root)
                .expect("within")
                .display()
                .to_string();
            (name, fs::read_to_string(path).expect("a page"))
        })
        .collect()
}

/// Returns the fenced blocks of JSON, each with the words behind `json` in its fence.
fn examples(page: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.trim_start().strip_prefix("```json") else {
            continue;
        };
        let body: Vec<&str> = lines
            .by_ref()
            .take_while(|line| line.trim() != "```")
            .collect();
        found.push((kind.trim().to_owned(), body.join("\n")));
    }
    found
}

fn read_event(value: &Value) -> Result<(), String> {
    match Event::parse(value).map_err(|e| e.to_string())? {
        Event::Distribute(request) | Event::Preflight(request) | Event::Policies(request) => {
            parse(&request).map(|_| ())
        }
        Event::CustomResource(resource) => {
            let CustomResource { properties, .. } = *resource;
            parse(&properties).map(|_| ())
        }
        _ => Ok(()),
    }
}

/// Returns the text of the code that makes replies and records.
fn code() -> String {
    fn add(folder: PathBuf, text: &mut String) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                add(path, text);
            } else {
                *text += &fs::read_to_string(path).expect("text");
            }
        }
    }
    let mut text = String::new();
    add(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut text);
    text
}

/// Returns whether the code writes this key: quoted, or as a field that serde renames.
fn is_written(key: &str, code: &str) -> bool {
    let mut field = String::new();
    for (i, letter) in key.char_indices() {
        if letter.is_uppercase() && i > 0 {
            field.push('_');
        }
        field.extend(letter.to_lowercase());
    }
    code.contains(&format!("\"{key}\"")) || code.contains(&format!("{field}:"))
}

/// Checks that the code writes every key of a reply, but for keys that stand for a value, such as
/// account IDs.
fn read_reply(value: &Value, code: &str) -> Result<(), String> {
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| read_reply(item, code)),
        Value::Object(members) => members.iter().try_for_each(|(key, value)| {
            if key.chars().all(|c| c.is_ascii_alphabetic()) && !is_written(key, code) {
                return Err(format!("has {key}, which the code does not write"));
            }
            read_reply(value, code)
        }),
        _ => Ok(()),
    }
}

fn read_machine(value: &Value) -> Result<(), String> {
    let states = value["States"].as_object().ok_or("has no States")?;
    let known = |name: &Value| name.as_str().is_some_and(|name| states.contains_key(name));
    let mut named = vec![&value["StartAt"]];
    for state in states.values() {
        named.extend(["Next", "Default"].iter().filter_map(|key| state.get(key)));
        let choices = state["Choices"].as_array().into_iter().flatten();
        named.extend(choices.map(|choice| &choice["Next"]));
    }
    match named.into_iter().find(|name| !known(name)) {
        Some(name) => Err(format!("has no state {name}")),
        None => Ok(()),
    }
}

fn event_schema() -> Value {
    serde_json::from_str(include_str!("../../schemas/event.json")).expect("the schema is JSON")
}

/// The fabric's tests validate the events themselves; a page must not show another word.
fn read_outcome(value: &Value) -> Result<(), String> {
    read_outcome_pattern(&json!({"detail-type": [value["detail-type"]]}))?;
    let schema = event_schema();
    let detail = &value["detail"];
    let targets = detail["Targets"].as_array().into_iter().flatten();
    let parts = targets.map(|target| (target, "target"));
    for (part, of) in parts.chain([(detail, "distribution")]) {
        let (known, keys) = (&schema["$defs"][of], part.as_object().ok_or("no object")?);
        if let Some(key) = keys.keys().find(|key| known["properties"][key].is_null()) {
            return Err(format!("has {key}, which the schema lacks"));
        }
        let required = known["required"].as_array().into_iter().flatten();
        if let Some(key) = required
            .filter_map(Value::as_str)
            .find(|key| part[key].is_null())
        {
            return Err(format!("lacks {key}"));
        }
    }
    Ok(())
}

fn read_outcome_pattern(value: &Value) -> Result<(), String> {
    let schema = event_schema();
    let types = &schema["oneOf"][0]["properties"]["detail-type"]["enum"];
    let types = types.as_array().ok_or("the schema has no detail types")?;
    let named = value["detail-type"].as_array().ok_or("no detail-type")?;
    match named.iter().find(|one| !types.contains(one)) {
        Some(one) => Err(format!("has {one}, which the schema lacks")),
        None => Ok(()),
    }
}

fn read(kind: &str, text: &str, code: &str) -> Result<(), String> {
    if kind == "keys" {
        return parse(&request(members(text))).map(|_| ());
    }
    let value: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    match kind {
        "event" => read_event(&value),
        "reply" => read_reply(&value, code),
        "machine" => read_machine(&value),
        "outcome" => read_outcome(&value),
        "pattern" => read_outcome_pattern(&value),
        "record" => serde_json::from_value::<Record>(value)
            .map(|_| ())
            .map_err(|e| e.to_string()),
        // Most blocks without a word are policies.
        "" => Policy::parse(text)
            .map(|_| ())
            .map_err(|e| format!("{e:?}")),
        other => Err(format!("is of the kind {other:?}, which nothing reads")),
    }
}

#[test]
fn every_json_example_is_of_the_kind_its_fence_says() {
    let mut kinds = Vec::new();
    let code = code();
    for (page, text) in pages() {
        for (kind, block) in examples(&text) {
            let result = read(&kind, &block, &code);
            assert_eq!(result, Ok(()), "{page}, json {kind}:\n{block}");
            kinds.push(kind);
        }
    }
    for kind in [
        "", "event", "keys", "reply", "machine", "outcome", "pattern", "record",
    ] {
        assert!(
            kinds.iter().any(|seen| seen == kind),
            "no page has json {kind}"
        );
    }
}

/// Checks that a rule forwards what the stack's rule takes.
fn read_member_pattern(value: &Value) -> Result<(), String> {
    let names = value["detail"]["eventName"].as_array().ok_or("no names")?;
    let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
    let wanted = format!("eventName: [{}]", names.join(", "));
    let template = include_str!("../../template.yaml");
    let known = template.contains(&wanted);
    known
        .then_some(())
        .ok_or(format!("the template has no {wanted}"))
}

#[test]
fn every_request_in_a_command_is_valid() {
    let mut seen = 0;
    for (page, text) in pages() {
        for after in text.split("'{\"").skip(1) {
            let (inside, _) = after.split_once("}'").expect("a closing quotation mark");
            let carried = format!("{{\"{inside}}}");
            let value: Value = serde_json::from_str(&carried).expect("JSON");
            let result = if value.get("Targets").is_some() {
                parse(&request(value.as_object().expect("an object").clone())).map(|_| ())
            } else if value["source"].is_array() {
                read_member_pattern(&value)
            } else {
                read_event(&value)
            };
            assert_eq!(result, Ok(()), "{page}: {carried}");
            seen += 1;
        }
    }
    assert!(seen > 1);
}

/// Returns the names of all causes, which serde lists in its error.
fn causes() -> Vec<String> {
    let refused = serde_json::from_str::<Cause>("\"?\"").expect_err("no cause");
    let text = refused.to_string();
    let (_, listed) = text.split_once("expected one of").expect("a list");
    listed
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_cause_has_exactly_one_section_in_troubleshooting() {
    let page = include_str!("../../docs/troubleshooting.md");
    let (_, causes_of_page) = page
        .split_once("## A target failed\n")
        .expect("the section");
    let (section, _) = causes_of_page
        .split_once("\n## ")
        .expect("the next section");
    let headings = section
        .lines()
        .filter_map(|line| line.strip_prefix("### `"));
    let mut shown: Vec<String> = headings
        .map(|heading| heading.trim_end_matches('`').to_owned())
        .collect();
    shown.sort();
    let mut wanted = causes();
    assert!(wanted.len() > 30, "{wanted:?}");
    wanted.sort();
    assert_eq!(shown, wanted);
}
