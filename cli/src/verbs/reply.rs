//! The reply of a run that has ended.

use serde_json::{Map, Value};

use crate::arguments::Output;
use crate::failure::Failure;
use crate::print::{self, List, text, wrapped};

/// Prints a reply. With `jsonl` the targets have been printed already, as they ended.
pub fn print(output: Output, reply: &Value) -> Result<(), Failure> {
    let result = &reply["Result"];
    match output {
        Output::Json => print::json(reply),
        Output::Jsonl => print::json_line(&without_targets(reply)),
        Output::Text | Output::Table => {
            let mut list = List::new(&["ACCOUNT", "REGION", "STATUS", "IMAGE"]);
            for target in targets(result) {
                list.add(row(target), target.clone());
            }
            if let Some(audience) = result.get("Audience") {
                for arn in audience["Arns"].as_array().into_iter().flatten() {
                    let arn = arn.as_str().unwrap_or_default().to_owned();
                    let cells = [arn, String::new(), text(audience, "Status"), String::new()];
                    list.add(cells.to_vec(), audience.clone());
                }
            }
            if reply.get("Notice").is_none() || output == Output::Text {
                list.print(output, reply, "no targets")?;
            }
            if output == Output::Table {
                explain(reply)?;
            }
            Ok(())
        }
    }
}

fn targets(result: &Value) -> impl Iterator<Item = &Value> {
    result["Targets"].as_array().into_iter().flatten()
}

fn row(target: &Value) -> Vec<String> {
    ["AccountId", "Region", "Status", "ImageId"]
        .iter()
        .map(|key| text(target, key))
        .collect()
}

/// Prints why targets failed and what to change, and what is left open.
fn explain(reply: &Value) -> Result<(), Failure> {
    let result = &reply["Result"];
    if let Some(notice) = reply["Notice"].as_str() {
        return print::line(notice);
    }
    let failed = targets(result).chain(result.get("Audience"));
    for target in failed.filter(|target| target.get("Reason").is_some()) {
        let place = format!("{} {}", text(target, "AccountId"), text(target, "Region"));
        print::line(format!("\n{}", place.trim()))?;
        print::line(wrapped(&text(target, "Reason"), "  "))?;
        print::line(wrapped(
            &format!("Remedy: {}", text(target, "Remedy")),
            "  ",
        ))?;
    }
    for note in targets(result).flat_map(|t| t["Notes"].as_array().into_iter().flatten()) {
        print::line(format!(
            "\n{}",
            wrapped(note.as_str().unwrap_or_default(), "")
        ))?;
    }
    if let Some(stuck) = result.get("Stuck") {
        print::line(format!("\nLeft behind, for a person to remove:\n{stuck:#}"))?;
    }
    print::line(format!(
        "\nRun {}: {}. {}",
        text(result, "RunId"),
        text(reply, "Status"),
        open(result)
    ))
}

/// Says what the receipt has open still.
fn open(result: &Value) -> String {
    let receipt = result["Receipt"].as_array().map_or(&[][..], Vec::as_slice);
    if let Some(unread) = receipt.iter().find_map(|entry| entry["Unread"].as_str()) {
        return format!("The receipt could not be read: {unread}");
    }
    let open = receipt
        .iter()
        .filter(|entry| entry["ClosedAt"].is_null())
        .count();
    match (open, receipt.len()) {
        (0, 0) => "Nothing was opened".to_owned(),
        (0, _) => "Nothing is left open".to_owned(),
        (open, _) => format!("Open on the source: {open} resources"),
    }
}

fn without_targets(reply: &Value) -> Value {
    let mut last: Map<String, Value> = reply.as_object().cloned().unwrap_or_default();
    if let Some(Value::Object(result)) = last.get_mut("Result") {
        result.remove("Targets");
    }
    Value::Object(last)
}
