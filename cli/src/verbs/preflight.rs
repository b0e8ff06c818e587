//! `preflight` and `policies`: questions about a request.

use serde_json::{Value, json};

use super::skeleton;
use crate::arguments::{Asked, Globals, Output};
use crate::failure::{DONE, Failure, code_of};
use crate::local;
use crate::print::{self, List, text, wrapped};
use crate::session::Session;

/// Lists what stands in the way of a request.
pub async fn preflight(globals: &Globals, args: &Asked) -> Result<u8, Failure> {
    if args.wish.skeleton {
        return skeleton(globals, &args.wish);
    }
    let (mut session, words, _) = Session::of_request(globals, &args.wish, &args.ledger).await?;
    session.find_ledger(&args.ledger).await?;
    let reply = ask(&session, &json!({"Preflight": words})).await?;
    print_findings(globals.output, &reply)?;
    Ok(code_of(&reply))
}

/// Prints the policies that a request needs.
pub async fn policies(globals: &Globals, args: &Asked) -> Result<u8, Failure> {
    if args.wish.skeleton {
        return skeleton(globals, &args.wish);
    }
    let (session, words, _) = Session::of_request(globals, &args.wish, &args.ledger).await?;
    let reply = ask(&session, &json!({"Policies": words})).await?;
    let documents = reply["Policies"].as_array().map_or(&[][..], Vec::as_slice);
    match globals.output {
        Output::Json => print::json(&reply)?,
        Output::Jsonl => documents.iter().try_for_each(print::json_line)?,
        Output::Table | Output::Text => documents.iter().try_for_each(print_document)?,
    }
    Ok(DONE)
}

/// Sends the function's handler a question.
pub async fn ask(session: &Session, event: &Value) -> Result<Value, Failure> {
    let invocation = local::invocation();
    let asked = session.handler();
    Ok(asked.handle(&event.to_string(), &invocation).await?)
}

fn print_document(document: &Value) -> Result<(), Failure> {
    let place = format!(
        "{} {}",
        text(document, "AccountId"),
        text(document, "Region")
    );
    let (of, resource) = (text(document, "For"), text(document, "Resource"));
    print::line(format!("# {of}: {resource} ({})", place.trim()))?;
    print::line(format!("{:#}\n", document["Document"]))
}

fn print_findings(output: Output, reply: &Value) -> Result<(), Failure> {
    let findings = reply["Findings"].as_array().map_or(&[][..], Vec::as_slice);
    if output == Output::Table {
        findings.iter().try_for_each(print_finding)?;
        return print::line(summary(reply, findings));
    }
    let columns = ["Level", "Check", "AccountId", "Region", "Reason", "Remedy"];
    let mut list = List::new(&columns);
    for finding in findings {
        let row = columns.iter().map(|key| text(finding, key)).collect();
        list.add(row, finding.clone());
    }
    list.print(output, reply, "")
}

fn print_finding(finding: &Value) -> Result<(), Failure> {
    let level = text(finding, "Level");
    let color = match level.as_str() {
        "Error" => "1;31",
        "Warning" => "1;33",
        _ => "1",
    };
    let level = print::colored(&format!("{level:8}"), color);
    let place = format!("{} {}", text(finding, "AccountId"), text(finding, "Region"));
    print::line(format!(
        "{level} {}  {}",
        text(finding, "Check"),
        place.trim()
    ))?;
    print::line(wrapped(&text(finding, "Reason"), "  "))?;
    print::line(wrapped(&format!("Remedy: {}", text(finding, "Remedy")), "  ") + "\n")
}

fn summary(reply: &Value, findings: &[Value]) -> String {
    let count = |level: &str| findings.iter().filter(|f| f["Level"] == level).count();
    let status = text(reply, "Status");
    let counted: Vec<String> = ["Error", "Warning", "Unknown", "Note"]
        .iter()
        .filter(|level| count(level) > 0)
        .map(|level| format!("{level} {}", count(level)))
        .collect();
    if counted.is_empty() {
        format!("{status}: nothing stands in the way")
    } else {
        format!("{status}: {}", counted.join(", "))
    }
}
