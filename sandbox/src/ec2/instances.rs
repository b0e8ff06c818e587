//! DescribeInstances and TerminateInstances, by instance ID.

use super::Ask;
use super::permit::{self, Facts};
use crate::aws::{Aws, LiveInstance, State, regional_arn};
use crate::refusals::{self, Refused};
use crate::rules::ids;
use crate::wire::time;
use crate::wire::xml::Xml;

pub(super) fn describe(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let wanted = wanted(ask)?;
    permit::action(aws, ask, "*", &Facts::default())?;
    ask.dry_run()?;
    let found = wanted.iter().map(|id| {
        let found = own(aws, ask, id).filter(|found| found.visible_at <= aws.now);
        found.ok_or_else(|| refusals::INSTANCE_NOT_FOUND.with(&[id]))
    });
    let found: Vec<&LiveInstance> = found.collect::<Result<_, _>>()?;
    let mut xml = Xml::new();
    xml.list("reservationSet", found, |xml, instance| {
        write_reservation(xml, aws, instance);
    });
    Ok(xml.finish())
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
        permit::action(aws, ask, &arn, &Facts::default())?;
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

/// Returns the IDs of the request; instances can be described by ID only.
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
        .text("usageOperation", &image.usage_operation);
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

fn write_state(xml: &mut Xml, tag: &str, (code, name): State) {
    xml.element(tag, |xml| {
        xml.number("code", code).text("name", name);
    });
}
