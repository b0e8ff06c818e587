//! PutParameter. A value of the data type `aws:ec2:image` becomes a version only once it is
//! validated, after the answer.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::input::{Input, invalid};
use super::{context, permit, validated_at};
use crate::aws::{Aws, LiveParameterVersion, ParameterKey, PendingParameter, parameter_arn};
use crate::iam::Context;
use crate::identity::Admitted;
use crate::model::ParameterVersion;
use crate::refusals::{self, Refused};
use crate::rules::parameters::{IMAGE, TEXT, check_name};

const MEMBERS: &[&str] = &[
    "Name",
    "Description",
    "Value",
    "Type",
    "Overwrite",
    "Tags",
    "Tier",
    "DataType",
];
/// The data types of the model and the guide.
const DATA_TYPES: &[&str] = &[
    TEXT,
    IMAGE,
    "aws:ssm:integration",
    "integer",
    "float",
    "boolean",
];
const TYPES: &[&str] = &["SecureString", "StringList", "String"];
const TIERS: &[&str] = &["Standard", "Advanced", "Intelligent-Tiering"];
/// The longest value of a standard parameter (model).
const LONGEST_VALUE: usize = 4096;

/// A checked request.
struct Order<'a> {
    key: ParameterKey,
    overwrite: bool,
    kind: Option<&'a str>,
    data_type: Option<&'a str>,
    value: &'a str,
    description: Option<&'a str>,
    tags: BTreeMap<String, String>,
}

pub(super) fn perform(aws: &mut Aws, call: &Admitted, input: Input<'_>) -> Result<Value, Refused> {
    let order = read(call, input)?;
    let existing = aws.parameters.get(&order.key);
    let former = existing.and_then(|found| found.versions.last());
    let former = former.map(|version| version.view.data_type.clone());
    let data_type = order.data_type.or(former.as_deref()).unwrap_or(TEXT);
    authorise(aws, call, &order, data_type)?;
    match &former {
        Some(_) if !order.overwrite => {
            return Err(refusals::SSM_PARAMETER_ALREADY_EXISTS.with(&[]));
        }
        Some(former) if former != data_type => {
            return Err(refusals::SSM_DATA_TYPE_CHANGE.with(&[former, data_type]));
        }
        None if order.kind.is_none() => return Err(refusals::SSM_TYPE_MISSING.with(&[])),
        _ => {}
    }
    let number = aws.next_parameter_version(&order.key);
    let version = LiveParameterVersion {
        view: ParameterVersion {
            version: number,
            value: order.value.to_owned(),
            data_type: data_type.to_owned(),
        },
        description: order.description.map(str::to_owned),
        modified: aws.now,
        by: call.caller.principal.arn.clone(),
    };
    if data_type == IMAGE {
        let at = validated_at(aws);
        aws.pending_parameters.push_back(PendingParameter {
            at,
            key: order.key,
            overwrite: order.overwrite,
            version,
            tags: order.tags,
        });
    } else {
        aws.put_parameter(order.key, version, order.tags);
    }
    Ok(json!({"Version": number, "Tier": "Standard"}))
}

fn read<'a>(call: &Admitted, input: Input<'a>) -> Result<Order<'a>, Refused> {
    input.only("PutParameter", MEMBERS)?;
    let name = input.required("Name", 2048)?.trim_matches(' ');
    let account = call.caller.account().to_owned();
    let key = (account, call.region.clone(), name.to_owned());
    check_name(name, &parameter_arn(&key))?;
    let value = input.required("Value", LONGEST_VALUE)?;
    if value.contains("{{") {
        let why = "Member must not refer to parameters";
        return Err(invalid("Value", &Value::from(value), why));
    }
    input.one_of("Tier", TIERS, &["Standard"])?;
    let order = Order {
        key,
        overwrite: input.flag("Overwrite")?,
        kind: input.one_of("Type", TYPES, &["String"])?,
        data_type: input.one_of("DataType", DATA_TYPES, &[TEXT, IMAGE])?,
        value,
        description: input.text("Description", 1024)?,
        tags: input.tags()?,
    };
    if order.overwrite && !order.tags.is_empty() {
        return Err(refusals::SSM_TAGS_AND_OVERWRITE.with(&[]));
    }
    Ok(order)
}

/// Checks the permission to put the parameter, to tag it, and to describe images, which the
/// validation of an image's ID needs.
fn authorise(
    aws: &Aws,
    call: &Admitted,
    order: &Order<'_>,
    data_type: &str,
) -> Result<(), Refused> {
    let arn = parameter_arn(&order.key);
    let mut facts = context(aws, call, &order.key);
    facts.insert(
        "ssm:overwrite".to_owned(),
        vec![order.overwrite.to_string()],
    );
    for (key, value) in &order.tags {
        let key = format!("aws:requesttag/{key}").to_lowercase();
        facts.insert(key, vec![value.clone()]);
    }
    if !order.tags.is_empty() {
        let keys = order.tags.keys().cloned().collect();
        facts.insert("aws:tagkeys".to_owned(), keys);
        permit(aws, call, "ssm:AddTagsToResource", &arn, &facts)?;
    }
    permit(aws, call, "ssm:PutParameter", &arn, &facts)?;
    if data_type == IMAGE {
        let region = ("aws:requestedregion".to_owned(), vec![call.region.clone()]);
        permit(
            aws,
            call,
            "ec2:DescribeImages",
            "*",
            &Context::from([region]),
        )?;
    }
    Ok(())
}
