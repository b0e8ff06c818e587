//! `retain`: which copies of a lineage are kept in each target, and which go.

use serde_json::Value;

use super::preflight::ask;
use crate::arguments::{Globals, RetainArgs};
use crate::failure::{Failure, code_of};
use crate::print::{List, note, text};
use crate::session::Session;

/// Keeps and removes old copies, or with no `--apply` tells what would be done.
pub async fn retain(globals: &Globals, args: &RetainArgs) -> Result<u8, Failure> {
    let session = Session::with_ledger(globals, &args.ledger).await?;
    let event = args.rule.read(&session.region, args.apply)?;
    let reply = ask(&session, &event).await?;
    let mut list = List::new(&["ACCOUNT", "REGION", "AMI", "NAME", "CREATED", "STEP", "WHY"]);
    let mut steps = 0;
    for target in reply["Targets"].as_array().into_iter().flatten() {
        if target["Reason"].is_string() {
            let cells = [text(target, "AccountId"), text(target, "Region")];
            let rest = ["", "", "", "Failed"].map(str::to_owned);
            let why = format!("{}. {}", text(target, "Reason"), text(target, "Remedy"));
            list.add([&cells[..], &rest, &[why]].concat(), target.clone());
        }
        for image in target["Images"].as_array().into_iter().flatten() {
            steps += usize::from(is_step(image));
            list.add(row(target, image), of_target(target, image));
        }
    }
    list.print(globals.output, &reply, "No copies match the lineage.")?;
    for target in reply["Targets"].as_array().into_iter().flatten() {
        for key in target["RetiredKeys"].as_array().into_iter().flatten() {
            let ids = key["ImageIds"].as_array().map_or(0, Vec::len);
            let (arn, state) = (text(key, "KmsKeyArn"), text(key, "KeyState"));
            note(globals, format!("{arn} is {state}; AMIs under it: {ids}"));
        }
    }
    if steps > 0 && !args.apply {
        note(globals, "Nothing was changed; --apply does it.");
    }
    Ok(code_of(&reply))
}

fn is_step(image: &Value) -> bool {
    !matches!(image["Decision"].as_str(), Some("Keep" | "Wait"))
}

fn row(target: &Value, image: &Value) -> Vec<String> {
    let step = match image["Done"].as_bool() {
        Some(false) => format!("{} failed", text(image, "Decision")),
        _ => text(image, "Decision"),
    };
    let why = match image["Decision"].as_str() {
        Some("Wait") => format!("{} on {}", text(image, "Next"), text(image, "Due")),
        _ => text(image, "Reason"),
    };
    vec![
        text(target, "AccountId"),
        text(target, "Region"),
        text(image, "ImageId"),
        text(image, "Name"),
        text(image, "CreatedAt"),
        step,
        why,
    ]
}

fn of_target(target: &Value, image: &Value) -> Value {
    let mut image = image.clone();
    image["AccountId"] = target["AccountId"].clone();
    image["Region"] = target["Region"].clone();
    image
}
