//! Names, descriptions and tags as odd as people make them: they are carried over unchanged, or
//! refused by name before any call.

use std::collections::BTreeMap;

use amiferry_sandbox::Sandbox;
use serde_json::json;

use super::mutate::{WORDS, word};
use super::play::{Rng, play};
use super::{is_well_said, nothing_is_public, outcome};
use crate::support::*;

const PLACE: [Place; 1] = [TWO[0]];

#[test]
fn odd_words_on_the_source_are_carried_over_unchanged() {
    play("names::odd_words_on", 20, |rng| {
        Box::pin(on_the_source(rng))
    });
}

#[test]
fn odd_words_in_the_request_are_carried_over_or_refused_by_name() {
    play("names::odd_words_in", 60, |rng| {
        Box::pin(in_the_request(rng))
    });
}

/// Returns a few odd words in a row. Characters that XML cannot express are left out: EC2 cannot
/// return them.
fn text(rng: &mut Rng, most: usize) -> String {
    let words: Vec<String> = (0..rng.usize(1..6)).map(|_| word(rng)).collect();
    let text = words.join(rng.choice(["", " ", "-"]).expect("one"));
    let expressible =
        |c: &char| matches!(c, '\t' | '\n' | '\r') || !c.is_control() && *c != '\u{fffe}';
    text.chars().filter(expressible).take(most).collect()
}

fn tags(rng: &mut Rng) -> BTreeMap<String, String> {
    let one = |_| (format!("k{}", text(rng, 100)), text(rng, 256));
    (0..8).map(one).collect()
}

async fn on_the_source(rng: &mut Rng) -> Result<String, String> {
    let (image_tags, snapshot_tags) = (tags(rng), tags(rng));
    let about = text(rng, 250);
    let about_snapshot = text(rng, 250);
    let names = [
        "{x}",
        "a()[] ./-'@_z",
        "all",
        "...",
        "-- -",
        "''''",
        "[ami-0a1b2c3d]",
    ];
    // EC2 refuses the first name.
    let name = rng.choice(&names[1..]).expect("one");
    let mut producer = producer();
    for image in &mut producer.images {
        image.tags.extend(image_tags.clone());
        image.description = Some(about.clone()).filter(|text| !text.is_empty());
        (*name).clone_into(&mut image.name);
    }
    for snapshot in &mut producer.snapshots {
        snapshot.tags.extend(snapshot_tags.clone());
        about_snapshot.clone_into(&mut snapshot.description);
    }
    let sandbox = Sandbox::new(world_with(producer, &PLACE));
    let reply = to_the_end(&sandbox, &distribute(&PLACE)).await;
    if reply["Status"] != "Succeeded" {
        return Err(format!(
            "{reply}\nTags: {image_tags:?} {snapshot_tags:?}\nDescription: {about:?}"
        ));
    }
    // This check compares description and tags with the source's.
    let copy = assert_one_image(&sandbox, PLACE[0]);
    assert_eq!(copy.name, format!("{name}-copied-from-{SOURCE}"));
    for snapshot in sandbox.snapshots(PLACE[0].0, PLACE[0].1) {
        for (key, value) in &snapshot_tags {
            assert_eq!(
                snapshot.tags.get(key),
                Some(value),
                "tag {key:?} of a snapshot"
            );
        }
        if !about_snapshot.is_empty() {
            assert_eq!(snapshot.description, about_snapshot);
        }
    }
    assert_closed(&sandbox);
    nothing_is_public(&sandbox)?;
    Ok("travelled".to_owned())
}

async fn in_the_request(rng: &mut Rng) -> Result<String, String> {
    let odd = |rng: &mut Rng| {
        (0..rng.usize(1..4))
            .map(|_| word(rng))
            .collect::<Vec<_>>()
            .join("x")
    };
    let mut event = distribute(&PLACE);
    let request = &mut event["Distribute"];
    let (key, value) = (odd(rng), odd(rng));
    match rng.u8(0..4) {
        0 => request["Tags"] = json!({ &*key: "value" }),
        1 => request["Tags"] = json!({ "key": value }),
        2 => request["Tags"] = json!({ &*key: value }),
        _ => request["Name"] = json!(key),
    }
    let sandbox = Sandbox::new(world(&PLACE));
    let result = call(&sandbox, &event).await;
    if let Err(error) = &result {
        is_well_said(error).map_err(|said| format!("{said}\n{event}"))?;
        let named = ["Tags", "Name"]
            .iter()
            .any(|key| error.to_string().starts_with(key));
        if error.error_type() != "InvalidRequest" || !named || !sandbox.ledger().is_empty() {
            return Err(format!("{event} is refused so: {error}"));
        }
        return Ok(outcome(&result));
    }
    let reply = to_the_end(&sandbox, &event).await;
    if reply["Status"] != "Succeeded" {
        return Err(format!("{event} comes to {reply}"));
    }
    let copy = assert_one_image(&sandbox, PLACE[0]);
    for (key, value) in event["Distribute"]["Tags"]
        .as_object()
        .into_iter()
        .flatten()
    {
        assert_eq!(
            copy.tags.get(key).map(String::as_str),
            value.as_str(),
            "tag {key:?}"
        );
    }
    Ok("travelled".to_owned())
}

/// Plays every odd word, so that none depends on a seed.
#[tokio::test(start_paused = true)]
async fn each_odd_word_alone_becomes_a_tag_or_is_refused() {
    for word in WORDS {
        let sandbox = Sandbox::new(world(&PLACE));
        let mut event = distribute(&PLACE);
        event["Distribute"]["Tags"] = json!({"odd": word});
        // EC2 cannot return a character that XML cannot express.
        let expressible =
            |c: char| matches!(c, '\t' | '\n' | '\r') || !c.is_control() && c != '\u{fffe}';
        match call(&sandbox, &event).await {
            Err(error) => {
                assert!(
                    error.to_string().starts_with("Tags.odd: "),
                    "{word:?}: {error}"
                );
                assert!(sandbox.ledger().is_empty());
                assert!(
                    !word.chars().all(expressible),
                    "{word:?} is refused: {error}"
                );
            }
            Ok(_) => {
                assert!(word.chars().all(expressible), "{word:?} is taken");
                to_the_end(&sandbox, &event).await;
                let copy = assert_one_image(&sandbox, PLACE[0]);
                assert_eq!(copy.tags.get("odd").map(String::as_str), Some(word));
            }
        }
    }
}
