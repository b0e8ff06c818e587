//! DescribeScalingActivities.
//!
//! Source: EC2 Auto Scaling guide, verify a scaling activity; the words of a failed launch are a
//! live answer (cloudcaptainsh/cloudcaptain#204).

use super::Ask;
use crate::aws::{Aws, LiveActivity};
use crate::refusals::{self, Refused};
use crate::wire::time;
use crate::wire::xml::Xml;

pub(super) fn describe(aws: &Aws, ask: Ask<'_>) -> Result<String, Refused> {
    ask.only(&["AutoScalingGroupName"])?;
    let name = ask.name()?;
    ask.permit(aws, "*")?;
    let group = aws.groups.get(&ask.key(name));
    let group = group.ok_or_else(|| refusals::GROUP_NOT_FOUND.with(&[name]))?;
    let mut xml = Xml::new();
    xml.element("Activities", |xml| {
        for activity in &group.activities {
            xml.element("member", |xml| {
                let (code, said) = outcome(aws, activity);
                xml.text("ActivityId", &activity.id)
                    .text("AutoScalingGroupName", name)
                    .text(
                        "Cause",
                        "an instance was started in response to a difference",
                    )
                    .text("StartTime", time::iso(activity.began))
                    .text("StatusCode", code)
                    .maybe("StatusMessage", said.as_deref())
                    .number("Progress", 100);
            });
        }
    });
    Ok(xml.finish())
}

fn outcome(aws: &Aws, activity: &LiveActivity) -> (&'static str, Option<String>) {
    let id = match &activity.launched {
        Ok(id) => id,
        Err(said) => {
            let said = format!("{said} Launching EC2 instance failed.");
            return ("Failed", Some(said));
        }
    };
    let live = aws.instances.get(id);
    match live.and_then(|live| live.fails.as_ref().and_then(|_| live.reason(aws))) {
        Some((_, reason)) => (
            "Cancelled",
            Some(format!(
                "Instance became unhealthy while waiting for instance to be in InService state. \
                 Termination Reason: {reason}"
            )),
        ),
        None => ("Successful", None),
    }
}
