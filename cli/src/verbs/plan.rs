//! `plan`: what a request would do, target by target. Nothing is changed.

use std::collections::BTreeSet;

use amiferry::ids::AccountId;
use amiferry::request::{Mode, Request};
use amiferry::source::Source;
use serde_json::{Value, json};

use super::{preflight, skeleton};
use crate::arguments::{Assumptions, Globals, Output, Plan};
use crate::failure::{CHANGES, DONE, FAILED, Failure};
use crate::print::{self, List, text, wrapped};
use crate::session::Session;

mod estimate;
mod route;
#[cfg(test)]
mod tests;

use estimate::{Size, estimate};
use route::Route;

/// The change of one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// An image of its own is made.
    Copy,
    /// A permission is given, or taken back.
    Permission,
    /// There is a copy already.
    Nothing,
    /// Something stands in the way.
    Blocked,
}

impl Change {
    fn sign(self) -> &'static str {
        match self {
            Self::Copy => "+",
            Self::Permission => "~",
            Self::Nothing => "=",
            Self::Blocked => "!",
        }
    }

    fn color(self) -> &'static str {
        match self {
            Self::Copy => "32",
            Self::Permission => "33",
            Self::Nothing => "2",
            Self::Blocked => "1;31",
        }
    }
}

/// Shows the plan of a request.
pub async fn plan(globals: &Globals, args: &Plan) -> Result<u8, Failure> {
    let asked = &args.asked;
    if asked.wish.skeleton {
        return skeleton(globals, &asked.wish);
    }
    let (mut session, words, request) =
        Session::of_request(globals, &asked.wish, &asked.ledger).await?;
    session.find_ledger(&asked.ledger).await?;
    let reply = preflight::ask(&session, &json!({"Preflight": words})).await?;
    let plan = if reply.get("Plan").is_some() {
        let (source, request, audience) = facts(&session, request).await?;
        let mut plan = planned(&request, &audience, &reply);
        if request.mode == Mode::Copy
            && let Some(size) = Size::of(&source)
        {
            plan["Estimate"] = priced(&request, &source.owner, &plan, size, args.assumed);
        }
        plan
    } else {
        planned(&request, &[], &reply)
    };
    show(globals.output, &plan)?;
    Ok(code(&plan, args.detailed_exitcode))
}

/// Reads the image, and completes the request with the members of its organization or units.
pub(super) async fn facts(
    session: &Session,
    request: Request,
) -> Result<(Source, Request, Vec<String>), Failure> {
    let aws = session.aws();
    let source = aws
        .read_source(&request.source_image, &request.source_region)
        .await?;
    let Some(audience) = &request.audience else {
        return Ok((source, request, Vec::new()));
    };
    let needed = request.needs_members();
    let members = aws.members(audience, needed, &source.owner).await?;
    let request = request.with_members(&members.accounts, &source.owner)?;
    let shares = request.mode == Mode::Share;
    let audience = if shares { members.arns } else { Vec::new() };
    Ok((source, request, audience))
}

/// Returns the plan: the preflight's reply, sorted by targets.
fn planned(request: &Request, audience: &[String], reply: &Value) -> Value {
    let findings = reply["Findings"].as_array().map_or(&[][..], Vec::as_slice);
    let places: BTreeSet<(String, String)> = request
        .targets
        .iter()
        .map(|target| (target.account.to_string(), target.region.to_string()))
        .collect();
    let place = |f: &Value| (text(f, "AccountId"), text(f, "Region"));
    let general: Vec<&Value> = findings
        .iter()
        .filter(|f| !places.contains(&place(f)))
        .collect();
    let all_blocked = general.iter().any(|f| f["Level"] == "Error");
    let targets: Vec<Value> = places
        .iter()
        .map(|at| {
            let own: Vec<&Value> = findings.iter().filter(|f| place(f) == *at).collect();
            let change = change(request.mode, &own, all_blocked);
            json!({"AccountId": at.0, "Region": at.1, "Change": change.sign(), "Findings": own})
        })
        .collect();
    let count = |change: Change| {
        targets
            .iter()
            .filter(|t| t["Change"] == change.sign())
            .count()
    };
    json!({
        "Status": reply["Status"],
        "SourceImageId": request.source_image,
        "SourceRegion": request.source_region,
        "Copies": count(Change::Copy),
        "Permissions": count(Change::Permission) + audience.len(),
        "Unchanged": count(Change::Nothing),
        "Blocked": count(Change::Blocked),
        "Findings": general,
        "Targets": targets,
        "Audience": audience,
        "Plan": reply["Plan"],
    })
}

/// Returns the estimate of the copies of a plan, and beside it that of the other way between
/// Regions.
fn priced(
    request: &Request,
    owner: &AccountId,
    plan: &Value,
    size: Size,
    assumed: Assumptions,
) -> Value {
    let targets = plan["Targets"].as_array().into_iter().flatten();
    let copies = targets.filter(|target| target["Change"] == Change::Copy.sign());
    let route = Route::of(request, owner, copies);
    let minutes = request.copy_completion_minutes;
    let other = estimate(size, &route.other_way(), minutes, assumed);
    let mut told = estimate(size, &route, minutes, assumed);
    if !route.shared_regions().is_empty() {
        let way = if route.is_staged() {
            "Direct"
        } else {
            "Staged"
        };
        told[way] = json!({
            "Regions": route.shared_regions(),
            "GiBBetweenRegions": other["GiBBetweenRegions"],
            "TransferUSD": other["TransferUSD"],
            "Minutes": other["Minutes"],
        });
    }
    told
}

fn change(mode: Mode, findings: &[&Value], all_blocked: bool) -> Change {
    if all_blocked || findings.iter().any(|f| f["Level"] == "Error") {
        Change::Blocked
    } else if findings.iter().any(|f| f["Check"] == "AlreadyThere") {
        Change::Nothing
    } else if mode == Mode::Share {
        Change::Permission
    } else {
        Change::Copy
    }
}

fn show(output: Output, plan: &Value) -> Result<(), Failure> {
    let targets = plan["Targets"].as_array().map_or(&[][..], Vec::as_slice);
    match output {
        Output::Json => print::json(plan),
        Output::Jsonl => targets.iter().try_for_each(print::json_line),
        Output::Text => {
            let mut list = List::new(&[]);
            for target in targets {
                let row = ["Change", "AccountId", "Region"].map(|key| text(target, key));
                list.add(row.to_vec(), target.clone());
            }
            list.print(output, plan, "")
        }
        Output::Table => {
            for line in plan["Plan"].as_array().into_iter().flatten() {
                let line = line.as_str().unwrap_or_default();
                let indent = &line[..line.len() - line.trim_start().len()];
                print::line(wrapped(line, indent))?;
            }
            print::line("")?;
            let findings = plan["Findings"].as_array().into_iter().flatten();
            findings
                .filter(|finding| in_the_way(finding))
                .try_for_each(show_finding)?;
            targets.iter().try_for_each(show_target)?;
            for arn in plan["Audience"].as_array().into_iter().flatten() {
                let sign = print::colored(Change::Permission.sign(), Change::Permission.color());
                print::line(format!("{sign} {}", arn.as_str().unwrap_or_default()))?;
            }
            print::line(format!("\n{}", summary(plan)))?;
            let estimate = estimate::lines(&plan["Estimate"]).into_iter();
            estimate
                .map(|line| wrapped(&line, ""))
                .try_for_each(print::line)
        }
    }
}

fn show_target(target: &Value) -> Result<(), Failure> {
    let findings = target["Findings"].as_array().map_or(&[][..], Vec::as_slice);
    let all = [
        Change::Copy,
        Change::Permission,
        Change::Nothing,
        Change::Blocked,
    ];
    let change = all
        .into_iter()
        .find(|change| target["Change"] == change.sign());
    let change = change.unwrap_or(Change::Blocked);
    let sign = print::colored(change.sign(), change.color());
    let (account, region) = (text(target, "AccountId"), text(target, "Region"));
    let there = findings.iter().find(|f| f["Check"] == "AlreadyThere");
    let there = there
        .map(|f| format!("  {}", image_of(f)))
        .unwrap_or_default();
    print::line(format!("{sign} {account} {region}{there}"))?;
    let mut shown = findings.iter().filter(|finding| in_the_way(finding));
    shown.try_for_each(show_finding)
}

/// Returns the image that is there already, with which the reason begins.
fn image_of(finding: &Value) -> String {
    let reason = text(finding, "Reason");
    reason.split(' ').next().unwrap_or_default().to_owned()
}

/// Returns whether a person should read a finding before the run: what could not be looked at need
/// not be wrong.
fn in_the_way(finding: &Value) -> bool {
    finding["Level"] == "Error" || finding["Level"] == "Warning"
}

fn show_finding(finding: &Value) -> Result<(), Failure> {
    let (level, check) = (text(finding, "Level"), text(finding, "Check"));
    print::line(wrapped(
        &format!("{level} {check}: {}", text(finding, "Reason")),
        "    ",
    ))?;
    print::line(wrapped(
        &format!("Remedy: {}", text(finding, "Remedy")),
        "      ",
    ))
}

fn summary(plan: &Value) -> String {
    let of_targets = plan["Targets"].as_array().into_iter().flatten();
    let of_targets = of_targets.filter_map(|target| target["Findings"].as_array());
    let all = plan["Findings"]
        .as_array()
        .into_iter()
        .chain(of_targets)
        .flatten();
    let unseen = match all.filter(|finding| finding["Level"] == "Unknown").count() {
        0 => String::new(),
        count => format!("\nNot looked at: {count}; amiferry preflight says why"),
    };
    let count = |key: &str| plan[key].as_u64().unwrap_or_default();
    let estimate = &plan["Estimate"];
    let size = match (
        estimate["GiB"].as_f64(),
        estimate["GiBIsUpperBound"] == true,
    ) {
        (Some(0.0) | None, _) => String::new(),
        (Some(gib), true) => format!(" (at most {gib} GiB)"),
        (Some(gib), false) => format!(" ({gib} GiB)"),
    };
    let words = [
        (count("Copies"), "to copy", size.as_str()),
        (count("Permissions"), "to permit", ""),
        (count("Unchanged"), "there already", ""),
        (count("Blocked"), "blocked", ""),
    ];
    let words = words.iter().filter(|(count, ..)| *count > 0);
    let words: Vec<String> = words
        .map(|(n, words, size)| format!("{n} {words}{size}"))
        .collect();
    let words = match words.as_slice() {
        [] => "no target".to_owned(),
        words => words.join(", "),
    };
    format!("Plan: {words}{unseen}")
}

/// Returns the exit code: with `detailed`, changes are told apart from none.
fn code(plan: &Value, detailed: bool) -> u8 {
    let changes = plan["Copies"] != 0 || plan["Permissions"] != 0;
    if plan["Status"] != "Ready" {
        FAILED
    } else if detailed && changes {
        CHANGES
    } else {
        DONE
    }
}
