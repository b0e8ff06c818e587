//! Systems Manager's Parameter Store: PutParameter, GetParameter and GetParameterHistory, for
//! parameters of the type `String` in the standard tier.
//!
//! Source: model; Service Authorization Reference, AWS Systems Manager; Systems Manager guide,
//! parameters for AMI IDs.

mod input;
mod put;
mod validation;

use std::time::SystemTime;

use serde_json::{Value, json};

pub(crate) use validation::settle;

use crate::aws::{Aws, LiveParameter, ParameterKey, parameter_arn};
use crate::iam::Context;
use crate::identity::{self, Admitted, Verdict};
use crate::refusals::{self, Refused};
use crate::wire::time;
use input::Input;

/// The size of a page of GetParameterHistory, at most (model).
const LARGEST_PAGE: usize = 50;

pub(crate) fn perform(
    aws: &mut Aws,
    call: &Admitted,
    operation: &str,
    body: &Value,
) -> Result<Value, Refused> {
    let input = Input::new(body);
    match operation {
        "PutParameter" => put::perform(aws, call, input),
        "GetParameter" => get(aws, call, input),
        "GetParameterHistory" => history(aws, call, input),
        _ => {
            let what = format!("operation {operation} of Systems Manager");
            Err(refusals::NOT_IMPLEMENTED.with(&[&what]))
        }
    }
}

fn get(aws: &Aws, call: &Admitted, input: Input<'_>) -> Result<Value, Refused> {
    input.only("GetParameter", &["Name", "WithDecryption"])?;
    let key = named(call, input)?;
    let found = readable(aws, call, "ssm:GetParameter", &key)?;
    let latest = found.versions.last();
    let latest = latest.ok_or_else(|| refusals::SSM_PARAMETER_NOT_FOUND.with(&[&key.2]))?;
    Ok(json!({"Parameter": {
        "Name": key.2,
        "Type": "String",
        "Value": latest.view.value,
        "Version": latest.view.version,
        "LastModifiedDate": time::epoch(latest.modified),
        "ARN": parameter_arn(&key),
        "DataType": latest.view.data_type,
    }}))
}

fn history(aws: &Aws, call: &Admitted, input: Input<'_>) -> Result<Value, Refused> {
    input.only(
        "GetParameterHistory",
        &["Name", "WithDecryption", "MaxResults", "NextToken"],
    )?;
    let key = named(call, input)?;
    let size = input.number("MaxResults", LARGEST_PAGE)?;
    let size = size.unwrap_or(LARGEST_PAGE);
    let found = readable(aws, call, "ssm:GetParameterHistory", &key)?;
    // A token is the number of the version after which the page begins.
    let after: u64 = match input.text("NextToken", usize::MAX)? {
        None => 0,
        Some(token) => {
            let number = token.strip_prefix("after-").and_then(|n| n.parse().ok());
            number.ok_or_else(|| refusals::SSM_INVALID_NEXT_TOKEN.with(&[]))?
        }
    };
    let left: Vec<_> = found
        .versions
        .iter()
        .filter(|version| version.view.version > after)
        .collect();
    let page = left.iter().take(size).map(|version| {
        let mut shown = json!({
            "Name": key.2,
            "Type": "String",
            "LastModifiedDate": time::epoch(version.modified),
            "LastModifiedUser": version.by,
            "Value": version.view.value,
            "Version": version.view.version,
            "Labels": [],
            "Tier": "Standard",
            "Policies": [],
            "DataType": version.view.data_type,
        });
        if let Some(description) = &version.description {
            shown["Description"] = json!(description);
        }
        shown
    });
    let mut answer = json!({"Parameters": page.collect::<Vec<_>>()});
    if left.len() > size {
        let last = left[size - 1].view.version;
        answer["NextToken"] = json!(format!("after-{last}"));
    }
    Ok(answer)
}

/// Returns the key of the parameter that a read names, by name or by ARN.
fn named(call: &Admitted, input: Input<'_>) -> Result<ParameterKey, Refused> {
    let given = input.required("Name", 2048)?;
    let (account, region) = (call.caller.account(), call.region.as_str());
    let key = |name: &str| (account.to_owned(), region.to_owned(), name.to_owned());
    if !given.starts_with("arn:") {
        if given.contains(':') {
            let what = "a parameter by version or label";
            return Err(refusals::NOT_IMPLEMENTED.with(&[what]));
        }
        return Ok(key(given));
    }
    // The ARN of `/amis/golden` ends in `parameter/amis/golden`, that of `golden` in
    // `parameter/golden`.
    let start = parameter_arn(&key(""));
    let Some(name) = given.strip_prefix(&start) else {
        return Err(refusals::NOT_IMPLEMENTED.with(&["a parameter of another account or Region"]));
    };
    let slash = if name.contains('/') { "/" } else { "" };
    Ok(key(&format!("{slash}{name}")))
}

/// Returns a parameter that the caller may read.
fn readable<'a>(
    aws: &'a Aws,
    call: &Admitted,
    action: &str,
    key: &ParameterKey,
) -> Result<&'a LiveParameter, Refused> {
    permit(
        aws,
        call,
        action,
        &parameter_arn(key),
        &context(aws, call, key),
    )?;
    let found = aws.parameters.get(key);
    found.ok_or_else(|| refusals::SSM_PARAMETER_NOT_FOUND.with(&[&key.2]))
}

/// Returns the values of the condition keys that every action on a parameter has.
fn context(aws: &Aws, call: &Admitted, key: &ParameterKey) -> Context {
    let mut context =
        Context::from([("aws:requestedregion".to_owned(), vec![call.region.clone()])]);
    let tags = aws.parameters.get(key).map(|found| &found.tags);
    for (key, value) in tags.into_iter().flatten() {
        let key = format!("aws:resourcetag/{key}").to_lowercase();
        context.insert(key, vec![value.clone()]);
    }
    context
}

fn permit(
    aws: &Aws,
    call: &Admitted,
    action: &str,
    resource: &str,
    context: &Context,
) -> Result<(), Refused> {
    let decision = identity::decide(aws, &call.caller, action, resource, context);
    if decision == Verdict::Allowed {
        return Ok(());
    }
    let caller = &call.caller.principal.arn;
    Err(refusals::SSM_ACCESS_DENIED.with(&[caller, action, resource, &decision.reason(action)]))
}

/// Returns the time after which a value of the data type `aws:ec2:image` is validated.
fn validated_at(aws: &Aws) -> SystemTime {
    aws.now + aws.rules.scaled(validation::DELAY)
}
