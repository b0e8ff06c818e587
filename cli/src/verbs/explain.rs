//! `explain`: what an error means, or what a service lacks to launch from an AMI, and what to do.

use std::io::Read;

use amiferry::aws::KeyToLaunch;
use amiferry::ids::ImageId;
use amiferry::kms::{LAUNCHING, operation};
use amiferry::service_linked_role::ServiceLinkedRole;
use serde_json::{Value, json};

use crate::arguments::{Explain, Globals, Output};
use crate::failure::{DONE, FAILED, Failure};
use crate::print::{self, text, wrapped};
use crate::session::Session;

mod denied;
mod page;

/// Explains an error text, or the launch from an AMI.
pub async fn explain(globals: &Globals, args: &Explain) -> Result<u8, Failure> {
    let told = match &args.image {
        Some(image) => launch(globals, image, &args.role).await?,
        None => of_text(&given(&args.text)?),
    };
    let known = told["Explanations"]
        .as_array()
        .is_some_and(|all| !all.is_empty());
    match globals.output {
        Output::Json => print::json(&told)?,
        Output::Jsonl => explanations(&told).try_for_each(print::json_line)?,
        Output::Table | Output::Text => show(&told)?,
    }
    Ok(if known { DONE } else { FAILED })
}

fn explanations(told: &Value) -> impl Iterator<Item = &Value> {
    told["Explanations"].as_array().into_iter().flatten()
}

/// Returns the error of the command line, or of standard input.
fn given(words: &[String]) -> Result<String, Failure> {
    if words != ["-"] && !words.is_empty() {
        return Ok(words.join(" "));
    }
    if words.is_empty() {
        let said = "nothing to explain: give the error as an argument, - for standard input, or \
                    --image";
        return Err(Failure::Usage(said.to_owned()));
    }
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|e| Failure::Usage(format!("standard input: {e}")))?;
    Ok(text)
}

/// Explains a text by the denial that it tells, then by the sections of the page that fit it.
fn of_text(said: &str) -> Value {
    let denied = denied::explained(said);
    let sections = page::fitting(said).into_iter().map(|section| {
        json!({"About": section.title, "Says": section.body,
            "Page": format!("docs/troubleshooting.md#{}", section.anchor)})
    });
    json!({"Explanations": denied.into_iter().chain(sections).collect::<Vec<Value>>()})
}

fn show(told: &Value) -> Result<(), Failure> {
    let mut first = true;
    for one in explanations(told) {
        if !first {
            print::line("")?;
        }
        first = false;
        print::line(print::colored(&text(one, "About"), "1"))?;
        for paragraph in text(one, "Says").split("\n\n") {
            print::line(wrapped(paragraph, "  "))?;
        }
        for command in one["Commands"].as_array().into_iter().flatten() {
            print::line(format!("  {}", command.as_str().unwrap_or_default()))?;
        }
        if let Some(page) = one["Page"].as_str() {
            print::line(format!("  See {page}"))?;
        }
    }
    if first {
        print::line(
            "Nothing here knows this error. Give the whole message, with its code; the list is \
             docs/troubleshooting.md",
        )?;
    }
    Ok(())
}

/// Explains what a service's role lacks to launch from an AMI, in the account of the credentials.
async fn launch(globals: &Globals, image: &str, role: &str) -> Result<Value, Failure> {
    let image = ImageId::parse(image).map_err(|e| Failure::Usage(format!("--image: {e}")))?;
    let role = ServiceLinkedRole::parse(role)
        .map_err(|said| Failure::Usage(format!("--role: {role} {said}")))?;
    let session = Session::open(globals, None).await?;
    let aws = session.aws();
    let account = aws.caller().await?.account;
    let region = &session.region;
    let grantee = role.arn(region.partition(), &account);
    let keys = aws.keys_to_launch(&account, region, &image, &role).await?;
    let all: Vec<Value> = match keys {
        None => vec![json!({"About": format!("{image} in {account} {region}"),
            "Says": "The account sees no such AMI in this Region: it is neither its own nor \
                     shared with it."})],
        Some(keys) if keys.is_empty() => vec![json!({"About": image,
            "Says": "None of its snapshots is encrypted, so a launch needs no key."})],
        Some(keys) => keys.iter().map(|key| of_key(key, &grantee)).collect(),
    };
    Ok(json!({"ImageId": image, "Role": grantee, "Explanations": all}))
}

fn of_key(key: &KeyToLaunch, grantee: &str) -> Value {
    let arn = &key.key;
    let (says, command) = if let Some(fault) = &key.fault {
        let id = format!("aws kms enable-key --key-id {arn}");
        (
            format!("The key cannot be used: {fault}. A disabled key can be enabled."),
            Some(id),
        )
    } else if key.aws_managed {
        (
            "AWS manages the key, and the account's services can use it.".to_owned(),
            None,
        )
    } else {
        match &key.granted {
            Ok(true) => ("A grant lets the role launch.".to_owned(), None),
            Ok(false) => {
                let operations = LAUNCHING.map(operation).join(" ");
                let grant = format!(
                    "aws kms create-grant --key-id {arn} --grantee-principal {grantee} \
                     --operations {operations}"
                );
                let says = "No grant lets the role launch. Instances end at once, with \
                            Client.InternalError, unless the key's own policy allows the role. \
                            Name the service in ServiceLinkedRoles and send the request again, \
                            or make the grant:";
                (says.to_owned(), Some(grant))
            }
            Err(refusal) => (
                format!("Whether a grant lets the role launch could not be seen: {refusal}"),
                None,
            ),
        }
    };
    json!({"About": arn, "Says": says, "Commands": command.into_iter().collect::<Vec<String>>()})
}
