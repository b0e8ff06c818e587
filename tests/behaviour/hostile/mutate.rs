//! Making JSON wrong, one change at a time: of a value, of the structure, of the text.

use serde_json::{Map, Number, Value, json};

use super::play::Rng;

/// The only place to which answers to CloudFormation go from here: no server listens there.
pub const NOWHERE: &str =
    "https://127.0.0.1:1/secret-of-the-stack?X-Amz-Signature=secret-of-the-stack";

/// Words with a meaning elsewhere, or in an unexpected place.
pub const WORDS: [&str; 40] = [
    "",
    " ",
    "\0",
    "\n",
    "a\r\nb",
    "\u{7f}",
    "\u{1b}[31m",
    "\u{202e}",
    "\u{feff}",
    "\u{fffe}",
    "\"",
    "'",
    "\\",
    "`id`",
    "$(id)",
    "${AWS::AccountId}",
    "{}",
    "{{}}",
    "{name}",
    "{nmae}",
    "{",
    "}",
    "%s%n",
    "../../etc/passwd",
    "..",
    "*",
    "all",
    "none",
    "<x>&amp;</x>",
    "]]>",
    "😀🏴\u{e0067}",
    "e\u{301}",
    "２２２２２２２２２２２２",
    "١٢٣",
    "arn:aws:iam::222222222222:root",
    "null",
    "true",
    "NaN",
    "+222222222222,by=x",
    "; rm -rf /",
];

/// Makes one change somewhere in the value.
pub fn mutate(rng: &mut Rng, value: &mut Value) {
    let mut paths = vec![String::new()];
    collect(value, "", &mut paths);
    let path = rng.choice(&paths).cloned().unwrap_or_default();
    if let Some(here) = value.pointer_mut(&path) {
        change(rng, here);
    }
    tame(value, "");
}

fn collect(value: &Value, path: &str, paths: &mut Vec<String>) {
    let mut below = |key: &str, inner: &Value| {
        let key = key.replace('~', "~0").replace('/', "~1");
        let path = format!("{path}/{key}");
        paths.push(path.clone());
        collect(inner, &path, paths);
    };
    match value {
        Value::Object(object) => object.iter().for_each(|(key, inner)| below(key, inner)),
        Value::Array(items) => (0..)
            .zip(items)
            .for_each(|(i, inner)| below(&i.to_string(), inner)),
        _ => {}
    }
}

fn change(rng: &mut Rng, here: &mut Value) {
    match rng.u8(0..10) {
        0 | 1 => *here = any(rng),
        2 => *here = json!([here.take()]),
        3 => *here = json!({word(rng): here.take()}),
        _ => match here {
            Value::Object(object) => in_object(rng, object),
            Value::Array(items) => in_list(rng, items),
            Value::String(text) => in_text(rng, text),
            Value::Number(_) => *here = number(rng),
            Value::Bool(flag) => {
                let said = if rng.bool() {
                    "yes".to_owned()
                } else {
                    flag.to_string()
                };
                *here = json!(said);
            }
            Value::Null => *here = any(rng),
        },
    }
}

fn in_object(rng: &mut Rng, object: &mut Map<String, Value>) {
    let keys: Vec<String> = object.keys().cloned().collect();
    let Some(key) = rng.choice(&keys).cloned() else {
        object.insert(word(rng), any(rng));
        return;
    };
    match rng.u8(0..8) {
        0 | 1 => drop(object.remove(&key)),
        2 => {
            // Adds a similar key, in place of the key or beside it.
            let other = match rng.u8(0..4) {
                0 => key.to_lowercase(),
                1 => format!("{key} "),
                2 => format!("{key}\u{200b}"),
                _ => key.chars().rev().collect(),
            };
            let value = if rng.bool() {
                object.remove(&key)
            } else {
                object.get(&key).cloned()
            };
            object.insert(other, value.unwrap_or_default());
        }
        3 => drop(object.insert(word(rng), any(rng))),
        4 => drop(object.insert("k".repeat(rng.usize(1..200_000)), any(rng))),
        5 => {
            let other = rng.choice(&keys).cloned().unwrap_or_default();
            let (one, two) = (object[&key].clone(), object[&other].clone());
            object.insert(key, two);
            object.insert(other, one);
        }
        6 => drop(object.insert(key, Value::Null)),
        _ => drop(object.insert(key, any(rng))),
    }
}

fn in_list(rng: &mut Rng, items: &mut Vec<Value>) {
    match rng.u8(0..6) {
        0 => items.clear(),
        1 => {
            let again = rng.choice(&*items).cloned();
            items.extend(again);
        }
        2 => items.push(any(rng)),
        3 if !items.is_empty() => drop(items.remove(rng.usize(0..items.len()))),
        4 => items.reverse(),
        _ => {
            let one = items.first().cloned().unwrap_or_default();
            items.extend(std::iter::repeat_n(one, rng.usize(1..1200)));
        }
    }
}

fn in_text(rng: &mut Rng, text: &mut String) {
    let at = rng.usize(0..=text.chars().count());
    let at = text.char_indices().nth(at).map_or(text.len(), |(i, _)| i);
    match rng.u8(0..9) {
        0 => text.truncate(at),
        1 => text.insert_str(at, &word(rng)),
        2 => *text = word(rng),
        3 => *text = text.repeat(rng.usize(2..40)),
        4 => *text = text.to_uppercase(),
        5 => {
            let full_width = |c: char| {
                c.to_digit(10)
                    .and_then(|d| char::from_u32(0xff10 + d))
                    .unwrap_or(c)
            };
            *text = text.chars().map(full_width).collect();
        }
        6 => *text = format!("{text},{text}"),
        7 => *text = format!(" {text}\t"),
        _ => *text = word(rng).repeat(rng.usize(1..3000)),
    }
}

pub fn word(rng: &mut Rng) -> String {
    (*rng.choice(WORDS).expect("there are words")).to_owned()
}

fn number(rng: &mut Rng) -> Value {
    match rng.u8(0..9) {
        0 => json!(0),
        1 => json!(-1),
        2 => json!(i64::MAX),
        3 => json!(i64::MIN),
        4 => json!(u64::MAX),
        5 => json!(rng.i64(-5_000_000_000..5_000_000_000)),
        6 => Number::from_f64(1.0e308).map_or(Value::Null, Value::Number),
        7 => json!(0.5),
        _ => json!(rng.u8(..)),
    }
}

fn any(rng: &mut Rng) -> Value {
    match rng.u8(0..9) {
        0 => Value::Null,
        1 => json!(rng.bool()),
        2 | 3 => number(rng),
        4 | 5 => json!(word(rng)),
        6 => json!([]),
        7 => json!({}),
        _ => {
            let depth = rng.usize(1..100);
            (0..depth).fold(json!(word(rng)), |inner, i| {
                if i % 2 == 0 {
                    json!([inner])
                } else {
                    json!({"a": inner})
                }
            })
        }
    }
}

/// Sends answers nowhere, and keeps their URL in its own place only.
fn tame(value: &mut Value, key: &str) {
    match value {
        Value::Object(object) => object.iter_mut().for_each(|(key, inner)| tame(inner, key)),
        Value::Array(items) => items.iter_mut().for_each(|inner| tame(inner, key)),
        Value::String(text) if key == "ResponseURL" => {
            let leads = text.trim_start().to_ascii_lowercase().starts_with("http");
            let target = if leads && !text.starts_with("https://127.0.0.1:1/") {
                NOWHERE
            } else {
                text.as_str()
            };
            *text = target.to_owned();
        }
        Value::String(text) if text.contains("secret") || text.contains("X-Amz") => {
            "moved".clone_into(text);
        }
        _ => {}
    }
}

/// Makes one change to the text, which may end up as no JSON at all.
pub fn garble(rng: &mut Rng, text: &mut String) {
    let at = text.floor_char_boundary(rng.usize(0..=text.len()));
    match rng.u8(0..6) {
        0 => text.truncate(at),
        1 => text.insert_str(at, &word(rng)),
        2 => text.insert(0, '\u{feff}'),
        3 => text.push_str("{}"),
        4 => {
            // Doubles a key. Either value may count, but the same one everywhere.
            if let Some(brace) = text[..at].rfind('{') {
                text.insert_str(
                    brace + 1,
                    "\"SourceImageId\":\"ami-00000000\",\"Schema\":9,",
                );
            }
        }
        _ => {
            let end = text.ceil_char_boundary((at + rng.usize(0..40)).min(text.len()));
            text.replace_range(at..end, "");
        }
    }
}
