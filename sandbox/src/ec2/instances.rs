//! DescribeInstances and TerminateInstances.

use super::filters::Filters;
use super::pages::Page;
use super::permit::{self, Facts};
use super::{Ask, tags};
use crate::aws::{Aws, LiveInstance, State, regional_arn};
use crate::refusals::{self, Refused};
use crate::rules::ids;
use crate::wire::time;
use crate::wire::xml::Xml;

const FILTERS: &[&str] = &[
    "client-token",
    "image-id",
    "instance-state-name",
    "instance-type",
    "subnet-id",
];

pub(super) fn describe(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let page = Page::read(aws, ask, "InstanceId", 5)?;
    let filters = Filters::read_some(ask.query, FILTERS)?;
    let wanted = ask.query.list("InstanceId");
    wanted.iter().try_for_each(|id| ids::instance(id))?;
    permit::action(aws, ask, "*", &Facts::default())?;
    ask.dry_run()?;
    let found = found(aws, ask, &wanted)?.into_iter();
    let found = found
        .filter(|instance| filters.admit(|| pairs(instance), |name| facts(aws, instance, name)));
    let (found, token) = page.cut(found.collect());
    let mut xml = Xml::new();
    xml.list("reservationSet", found, |xml, instance| {
        write_reservation(xml, aws, instance);
    });
    xml.maybe("nextToken", token.as_deref());
    Ok(xml.finish())
}

/// Returns the account's instances of these IDs, or all, as far as describe calls show them.
pub(super) fn found<'a>(
    aws: &'a Aws,
    ask: Ask<'_>,
    wanted: &[String],
) -> Result<Vec<&'a LiveInstance>, Refused> {
    let shown = |found: &&LiveInstance| found.visible_at <= aws.now;
    for id in wanted {
        let found = own(aws, ask, id).filter(shown);
        found.ok_or_else(|| refusals::INSTANCE_NOT_FOUND.with(&[id]))?;
    }
    let all = aws.instances.keys().filter_map(|id| own(aws, ask, id));
    let all = all.filter(shown);
    Ok(all
        .filter(|found| wanted.is_empty() || wanted.contains(&found.id))
        .collect())
}

fn pairs(instance: &LiveInstance) -> Vec<(&str, &str)> {
    let tags = instance.tags.iter();
    tags.map(|(key, value)| (key.as_str(), value.as_str()))
        .collect()
}

fn facts(aws: &Aws, instance: &LiveInstance, filter: &str) -> Vec<String> {
    match filter {
        "client-token" => instance.client_token.iter().cloned().collect(),
        "image-id" => vec![instance.image.image_id.clone()],
        "instance-type" => vec![instance.instance_type.clone()],
        "subnet-id" => instance.subnet_id.iter().cloned().collect(),
        _ => vec![instance.state(aws).1.to_owned()],
    }
}

pub(super) fn terminate(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let wanted = wanted(ask)?;
    for id in &wanted {
        let arn = regional_arn(
            "ec2",
            ask.region(),
            ask.account(),
            &format!("instance/{id}"),
        );
        let facts = Facts {
            resource_tags: own(aws, ask, id).map(|found| &found.tags),
            ..Facts::default()
        };
        permit::action(aws, ask, &arn, &facts)?;
    }
    ask.dry_run()?;
    // Either all instances are terminated or none.
    let mut before = Vec::new();
    for id in &wanted {
        let found = own(aws, ask, id);
        let found = found.ok_or_else(|| refusals::INSTANCE_NOT_FOUND.with(&[id]))?;
        before.push(found.state(aws));
    }
    let now = aws.now;
    for (id, (_, state)) in wanted.iter().zip(&before) {
        if let Some(live) = aws.instances.get_mut(id).filter(|_| *state != "terminated") {
            live.terminated.get_or_insert(now);
        }
    }
    let mut xml = Xml::new();
    let both = wanted.iter().zip(before);
    xml.list("instancesSet", both, |xml, (id, before)| {
        xml.text("instanceId", id);
        if let Some(live) = aws.instances.get(id) {
            write_state(xml, "currentState", live.state(aws));
        }
        write_state(xml, "previousState", before);
    });
    Ok(xml.finish())
}

/// Returns the IDs of the request, which must name some.
fn wanted(ask: Ask<'_>) -> Result<Vec<String>, Refused> {
    let wanted = ask.query.list("InstanceId");
    if wanted.is_empty() {
        let what = format!("{} without instance IDs", ask.operation);
        return Err(refusals::NOT_IMPLEMENTED.with(&[&what]));
    }
    wanted.iter().try_for_each(|id| ids::instance(id))?;
    Ok(wanted)
}

fn own<'a>(aws: &'a Aws, ask: Ask<'_>, id: &str) -> Option<&'a LiveInstance> {
    let found = aws.instances.get(id);
    found.filter(|found| found.owner == ask.account() && found.region == ask.region())
}

/// Returns the answer of RunInstances.
pub(super) fn reservation(aws: &Aws, id: &str) -> String {
    let mut xml = Xml::new();
    if let Some(instance) = aws.instances.get(id) {
        write_reservation(&mut xml, aws, instance);
    }
    xml.finish()
}

fn write_reservation(xml: &mut Xml, aws: &Aws, instance: &LiveInstance) {
    xml.text("reservationId", &instance.reservation_id)
        .text("ownerId", &instance.owner)
        .list("groupSet", [(); 0], |_, ()| {})
        .list("instancesSet", [instance], |xml, instance| {
            write(xml, aws, instance);
        });
}

fn write(xml: &mut Xml, aws: &Aws, instance: &LiveInstance) {
    let image = &instance.image;
    let stopped = instance.terminated.map_or_else(String::new, |at| {
        format!("User initiated ({} GMT)", time::iso_seconds(at))
    });
    xml.text("instanceId", &instance.id)
        .text("imageId", &image.image_id);
    write_state(xml, "instanceState", instance.state(aws));
    xml.text("reason", stopped)
        .number("amiLaunchIndex", 0)
        .text("instanceType", &instance.instance_type)
        .text("launchTime", time::iso(instance.launched))
        .text("architecture", &image.architecture)
        .text("rootDeviceType", &image.root_device_type)
        .maybe("rootDeviceName", image.root_device_name.as_deref())
        .text("virtualizationType", &image.virtualization_type)
        .text("hypervisor", "xen")
        .flag("enaSupport", image.ena_support)
        .maybe("bootMode", image.boot_mode.as_deref())
        .maybe("tpmSupport", image.tpm_support.as_deref())
        .maybe("clientToken", instance.client_token.as_deref())
        .text("platformDetails", &image.platform_details)
        .text("usageOperation", &image.usage_operation)
        .maybe("subnetId", instance.subnet_id.as_deref());
    if let Some(arn) = &instance.profile_arn {
        xml.element("iamInstanceProfile", |xml| {
            xml.text("arn", arn);
        });
    }
    if let Some(tokens) = &instance.http_tokens {
        xml.element("metadataOptions", |xml| {
            xml.text("state", "applied").text("httpTokens", tokens);
        });
    }
    tags::write(xml, &instance.tags);
    if let Some((code, message)) = instance.reason(aws) {
        xml.element("stateReason", |xml| {
            xml.text("code", code).text("message", message);
        });
    }
    let attached = instance.volumes.iter().filter(|_| instance.is_running(aws));
    xml.list("blockDeviceMapping", attached, |xml, volume| {
        let (device, id, deleted) = volume;
        xml.text("deviceName", device).element("ebs", |xml| {
            xml.text("volumeId", id)
                .text("status", "attached")
                .text("attachTime", time::iso(instance.launched))
                .flag("deleteOnTermination", *deleted);
        });
    });
}

pub(super) fn write_state(xml: &mut Xml, tag: &str, (code, name): State) {
    xml.element(tag, |xml| {
        xml.number("code", code).text("name", name);
    });
}
