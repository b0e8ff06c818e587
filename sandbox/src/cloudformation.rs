//! CloudFormation: DescribeStacks, as far as the outputs of one stack.
//!
//! Source: model; Service Authorization Reference, AWS CloudFormation.

use crate::aws::{Aws, regional_arn, uuid_of};
use crate::iam::Context;
use crate::identity::{self, Admitted, Verdict};
use crate::refusals::{self, Refused};
use crate::wire::query::Query;
use crate::wire::time;
use crate::wire::xml::Xml;

const ACTION: &str = "cloudformation:DescribeStacks";

pub(crate) fn perform(
    aws: &Aws,
    call: &Admitted,
    operation: &str,
    query: &Query,
) -> Result<String, Refused> {
    let name = query.get("StackName").filter(|_| query.params().len() == 1);
    match (operation, name) {
        ("DescribeStacks", Some(name)) => describe(aws, call, name),
        _ => {
            let what = format!("operation {operation} of CloudFormation with these parameters");
            Err(refusals::NOT_IMPLEMENTED.with(&[&what]))
        }
    }
}

fn describe(aws: &Aws, call: &Admitted, name: &str) -> Result<String, Refused> {
    let account = call.caller.account();
    let id = uuid_of(&format!("stack {account} {} {name}", call.region));
    let arn = regional_arn(
        "cloudformation",
        &call.region,
        account,
        &format!("stack/{name}/{id}"),
    );
    permit(aws, call, &arn)?;
    let key = (account.to_owned(), call.region.clone(), name.to_owned());
    let outputs = aws.stacks.get(&key);
    let outputs = outputs.ok_or_else(|| refusals::STACK_DOES_NOT_EXIST.with(&[name]))?;
    let mut xml = Xml::new();
    xml.element("Stacks", |xml| {
        xml.element("member", |xml| {
            xml.text("StackId", &arn)
                .text("StackName", name)
                .text("CreationTime", time::iso_seconds(aws.now))
                .text("StackStatus", "CREATE_COMPLETE");
            xml.element("Outputs", |xml| {
                for (key, value) in outputs {
                    xml.element("member", |xml| {
                        xml.text("OutputKey", key).text("OutputValue", value);
                    });
                }
            });
        });
    });
    Ok(xml.finish())
}

fn permit(aws: &Aws, call: &Admitted, arn: &str) -> Result<(), Refused> {
    let context = Context::from([("aws:requestedregion".to_owned(), vec![call.region.clone()])]);
    let decision = identity::decide(aws, &call.caller, ACTION, arn, &context);
    if decision == Verdict::Allowed {
        return Ok(());
    }
    let caller = &call.caller.principal.arn;
    Err(refusals::STACK_ACCESS_DENIED.with(&[caller, ACTION, arn, &decision.reason(ACTION)]))
}
