//! DescribeInstanceStatus: the status checks of instances. Scheduled events and checks of attached
//! volumes are not modelled.

use super::filters::Filters;
use super::pages::Page;
use super::permit::{self, Facts};
use super::{Ask, instances};
use crate::aws::{Aws, LiveInstance};
use crate::refusals::Refused;
use crate::rules::ids;
use crate::wire::xml::Xml;

const FILTERS: &[&str] = &[
    "instance-state-name",
    "instance-status.reachability",
    "instance-status.status",
    "system-status.reachability",
    "system-status.status",
];
/// The limit of instance IDs in a call (model).
const MOST_IDS: usize = 100;

pub(super) fn describe(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let page = Page::read(aws, ask, "InstanceId", 5)?;
    let filters = Filters::read_some(ask.query, FILTERS)?;
    let all = ask.query.flag("IncludeAllInstances")?.unwrap_or(false);
    let wanted = ask.query.list("InstanceId");
    wanted.iter().try_for_each(|id| ids::instance(id))?;
    if let Some(id) = wanted.get(MOST_IDS) {
        return Err(ask.query.bad("InstanceId", id));
    }
    permit::action(aws, ask, "*", &Facts::default())?;
    ask.dry_run()?;
    let found = instances::found(aws, ask, &wanted)?.into_iter();
    let found = found.filter(|instance| {
        (all || instance.is_running(aws))
            && filters.admit(Vec::new, |name| vec![fact(aws, instance, name).to_owned()])
    });
    let (found, token) = page.cut(found.collect());
    let mut xml = Xml::new();
    xml.list("instanceStatusSet", found, |xml, instance| {
        write(xml, aws, instance);
    });
    xml.maybe("nextToken", token.as_deref());
    Ok(xml.finish())
}

fn fact(aws: &Aws, instance: &LiveInstance, filter: &str) -> &'static str {
    let (own, system) = instance.checks(aws);
    match filter {
        "instance-status.status" => own,
        "instance-status.reachability" => reachability(own),
        "system-status.status" => system,
        "system-status.reachability" => reachability(system),
        _ => instance.state(aws).1,
    }
}

/// Returns the status of the only check for a summary.
fn reachability(summary: &'static str) -> &'static str {
    match summary {
        "ok" => "passed",
        "impaired" => "failed",
        other => other,
    }
}

fn write(xml: &mut Xml, aws: &Aws, instance: &LiveInstance) {
    let (own, system) = instance.checks(aws);
    xml.text("instanceId", &instance.id);
    instances::write_state(xml, "instanceState", instance.state(aws));
    for (tag, summary) in [("instanceStatus", own), ("systemStatus", system)] {
        xml.element(tag, |xml| {
            xml.text("status", summary);
            let details = [reachability(summary)].into_iter();
            let details = details.filter(|_| instance.is_running(aws));
            xml.list("details", details, |xml, status| {
                xml.text("name", "reachability").text("status", status);
            });
        });
    }
}
