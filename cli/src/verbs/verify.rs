//! `verify`: the copies beside their source, attribute by attribute, and who can use what now.

use amiferry::aws::{Comparison, Use};
use amiferry::error::{Refusal, RefusalKind};
use amiferry::handler::run_of;
use amiferry::plan;
use amiferry::request::Mode;
use amiferry::source::Attribute;
use amiferry::state::TargetState;
use serde_json::{Value, json};

use super::skeleton;
use crate::arguments::{Globals, Output, Verify};
use crate::failure::{DONE, FAILED, Failure, SOME_FAILED};
use crate::print::{self, List, text, wrapped};
use crate::session::Session;

/// Characters of a value that are shown to a person: UEFI data have thousands.
const SHOWN: usize = 40;

/// Compares the copy of each target with the source.
pub async fn verify(globals: &Globals, args: &Verify) -> Result<u8, Failure> {
    let asked = &args.asked;
    if asked.wish.skeleton {
        return skeleton(globals, &asked.wish);
    }
    let (session, words, request) =
        Session::of_request(globals, &asked.wish, &asked.ledger).await?;
    if request.mode == Mode::Share {
        let said = "Mode: is Share, and a share makes no copies to verify; see amiferry status";
        return Err(Failure::Usage(said.to_owned()));
    }
    let (source, request, _) = super::plan::facts(&session, request).await?;
    let aws = session.aws();
    let run = run_of(&words, &request);
    let state = plan::draft(&request, &source, Vec::new(), &run, aws.now())?;
    let compared = aws.compare(&state, &source).await;
    let pairs = state.targets.iter().zip(&compared);
    let targets: Vec<Value> = pairs.map(|(target, found)| told(target, found)).collect();
    let uses = aws.uses_of_source(&state, &source).await;
    let whole = json!({
        "SourceImageId": source.id,
        "Targets": targets,
        "Source": uses.iter().map(used).collect::<Vec<_>>(),
    });
    show(globals.output, &whole, args.all)?;
    Ok(code(&targets))
}

fn told(target: &TargetState, found: &Result<Option<Comparison>, Refusal>) -> Value {
    let mut told = json!({"AccountId": target.account_id, "Region": target.region});
    match found {
        Err(refusal) => {
            told["Status"] = json!("Unread");
            told["Reason"] = json!(refusal.to_string());
        }
        Ok(None) => told["Status"] = json!("Missing"),
        Ok(Some(found)) => {
            told["ImageId"] = json!(found.image);
            told["State"] = json!(found.state);
            told["RunId"] = json!(found.run);
            told["Attributes"] = found.attributes.iter().map(attribute).collect();
            told["Snapshots"] = found
                .snapshots
                .iter()
                .map(|one| {
                    json!({"Source": one.source, "SnapshotId": one.copy,
                        "KmsKeyArn": one.key, "IsTargetsKey": one.is_targets})
                })
                .collect();
            told["Uses"] = found.uses.iter().map(used).collect();
            let equal = found.attributes.iter().all(|one| one.difference.is_none());
            let own_key = found.snapshots.iter().all(|one| one.is_targets);
            let faithful = equal && own_key && found.state == "available";
            told["Status"] = json!(if faithful { "Faithful" } else { "Different" });
        }
    }
    told
}

fn attribute(one: &Attribute) -> Value {
    json!({"Name": one.name, "Source": one.source, "Copy": one.copy,
        "Equal": one.difference.is_none()})
}

fn used(one: &Use) -> Value {
    match &one.by {
        Ok(by) => json!({"Resource": one.resource, "UsableBy": by}),
        Err(refusal) if refusal.kind() == RefusalKind::Denied => {
            let reason = format!("the role may not call {}", refusal.operation);
            json!({"Resource": one.resource, "Reason": reason})
        }
        Err(refusal) => json!({"Resource": one.resource, "Reason": refusal.to_string()}),
    }
}

fn code(targets: &[Value]) -> u8 {
    let good = targets.iter().filter(|t| t["Status"] == "Faithful").count();
    if good == targets.len() {
        DONE
    } else if good == 0 {
        FAILED
    } else {
        SOME_FAILED
    }
}

fn show(output: Output, whole: &Value, all: bool) -> Result<(), Failure> {
    let targets = whole["Targets"].as_array().map_or(&[][..], Vec::as_slice);
    if output != Output::Table {
        let columns = ["AccountId", "Region", "Status", "ImageId"];
        let mut list = List::new(&columns);
        for target in targets {
            let row = columns.iter().map(|key| text(target, key)).collect();
            list.add(row, target.clone());
        }
        return list.print(output, whole, "");
    }
    for target in targets {
        show_target(target, all)?;
    }
    print::line(format!("{} can be used by", text(whole, "SourceImageId")))?;
    show_uses(&whole["Source"])?;
    let good = targets.iter().filter(|t| t["Status"] == "Faithful").count();
    print::line(format!("\nFaithful: {good} of {} targets", targets.len()))
}

fn show_target(target: &Value, all: bool) -> Result<(), Failure> {
    let status = text(target, "Status");
    let color = if status == "Faithful" { "32" } else { "1;31" };
    let status = print::colored(&status, color);
    let (account, region) = (text(target, "AccountId"), text(target, "Region"));
    let image = text(target, "ImageId");
    print::line(format!("{account} {region}  {status}  {image}").trim_end())?;
    if let Some(reason) = target["Reason"].as_str() {
        print::line(wrapped(reason, "  "))?;
    }
    if target["State"]
        .as_str()
        .is_some_and(|state| state != "available")
    {
        print::line(format!("  State: {}", text(target, "State")))?;
    }
    let attributes = target["Attributes"].as_array().into_iter().flatten();
    for one in attributes.filter(|one| all || one["Equal"] == false) {
        show_attribute(one)?;
    }
    for one in target["Snapshots"].as_array().into_iter().flatten() {
        let own = one["IsTargetsKey"] == true;
        if all || !own {
            let sign = if own { "=" } else { "!" };
            let key = one["KmsKeyArn"].as_str().unwrap_or("no key");
            print::line(format!("  {sign} {} under {key}", text(one, "SnapshotId")))?;
        }
    }
    if target.get("Uses").is_some() {
        print::line("  can be used by its account, and")?;
        show_uses(&target["Uses"])?;
    }
    print::line("")
}

fn show_attribute(one: &Value) -> Result<(), Failure> {
    let (name, copy) = (text(one, "Name"), shortened(&text(one, "Copy")));
    if one["Equal"] == true {
        return print::line(format!("  = {name}: {copy}"));
    }
    let source = shortened(&text(one, "Source"));
    let sign = print::colored("!", "1;31");
    print::line(format!(
        "  {sign} {name}: {copy}, where the source has {source}"
    ))
}

fn shortened(value: &str) -> String {
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

/// Shows who can use each resource. Resources about which the answer is the same share a line.
fn show_uses(uses: &Value) -> Result<(), Failure> {
    let mut answers: Vec<(Vec<String>, String)> = Vec::new();
    for one in uses.as_array().into_iter().flatten() {
        let (resource, by) = (text(one, "Resource"), users(one));
        match answers.last_mut() {
            Some((resources, same)) if *same == by => resources.push(resource),
            _ => answers.push((vec![resource], by)),
        }
    }
    for (resources, by) in answers {
        print::line(wrapped(&format!("{}: {by}", resources.join(", ")), "    "))?;
    }
    Ok(())
}

fn users(one: &Value) -> String {
    let Some(by) = one["UsableBy"].as_array() else {
        return format!("unknown: {}", text(one, "Reason"));
    };
    let by: Vec<&str> = by.iter().filter_map(Value::as_str).collect();
    if by.is_empty() {
        "nobody else".to_owned()
    } else {
        by.join(", ")
    }
}
