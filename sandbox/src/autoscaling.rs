//! Auto Scaling: groups of at most one instance, launched from a launch template by the service's
//! role. It shows whether that role can launch from an image.
//!
//! Source: model; EC2 Auto Scaling guide, API permissions and control of launch templates; Service
//! Authorization Reference, Amazon EC2 Auto Scaling.

mod activities;
mod capacity;

pub(crate) use capacity::keep as keep_capacity;

use std::collections::BTreeMap;

use crate::aws::{Aws, GroupKey, LiveGroup, LiveTemplate, regional_arn};
use crate::ec2;
use crate::iam::Context;
use crate::identity::{self, Admitted, Verdict};
use crate::refusals::{self, Refused};
use crate::wire::query::Query;
use crate::wire::time;
use crate::wire::xml::Xml;

const SERVICE: &str = "autoscaling.amazonaws.com";
const ROLE: &str = "AWSServiceRoleForAutoScaling";

/// A call, as the operations read it.
#[derive(Clone, Copy)]
struct Ask<'a> {
    call: &'a Admitted,
    operation: &'a str,
    query: &'a Query,
}

pub(crate) fn perform(
    aws: &mut Aws,
    call: &Admitted,
    operation: &str,
    query: &Query,
) -> Result<String, Refused> {
    let ask = Ask {
        call,
        operation,
        query,
    };
    match operation {
        "CreateAutoScalingGroup" => create(aws, ask),
        "DeleteAutoScalingGroup" => delete(aws, ask),
        "DescribeAutoScalingGroups" => describe(aws, ask),
        "DescribeScalingActivities" => activities::describe(aws, ask),
        _ => {
            let what = format!("operation {operation} of Auto Scaling");
            Err(refusals::NOT_IMPLEMENTED.with(&[&what]))
        }
    }
}

impl<'a> Ask<'a> {
    /// Refuses parameters that are not modelled, by name.
    fn only(self, modelled: &[&str]) -> Result<(), Refused> {
        let known = |name: &str| {
            modelled
                .iter()
                .any(|known| name == *known || name.starts_with(&format!("{known}.")))
        };
        match self.query.params().keys().find(|name| !known(name)) {
            None => Ok(()),
            Some(other) => {
                let what = format!("parameter {other} of {}", self.operation);
                Err(refusals::NOT_IMPLEMENTED.with(&[&what]))
            }
        }
    }

    fn permit(self, aws: &Aws, resource: &str) -> Result<(), Refused> {
        let region = vec![self.call.region.clone()];
        let context = Context::from([("aws:requestedregion".to_owned(), region)]);
        let action = format!("autoscaling:{}", self.operation);
        let caller = &self.call.caller;
        let verdict = identity::decide(aws, caller, &action, resource, &context);
        if verdict == Verdict::Allowed {
            return Ok(());
        }
        let (arn, reason) = (&caller.principal.arn, verdict.reason(&action));
        Err(refusals::GROUP_ACCESS_DENIED.with(&[arn, &action, resource, &reason]))
    }

    /// Returns whether the caller may launch by a template, which is a resource of RunInstances.
    fn may_launch_by(self, aws: &Aws, id: &str) -> bool {
        let (region, account) = (&self.call.region, self.call.caller.account());
        let arn = regional_arn("ec2", region, account, &format!("launch-template/{id}"));
        let context = Context::from([("aws:requestedregion".to_owned(), vec![region.clone()])]);
        let caller = &self.call.caller;
        identity::decide(aws, caller, "ec2:RunInstances", &arn, &context) == Verdict::Allowed
    }

    fn name(self) -> Result<&'a str, Refused> {
        let name = self.query.required("AutoScalingGroupName")?;
        if name.len() > 255 || name.contains(':') {
            return Err(refusals::GROUP_INVALID.with(&[name, "autoScalingGroupName"]));
        }
        Ok(name)
    }

    fn key(self, name: &str) -> GroupKey {
        let account = self.call.caller.account().to_owned();
        (account, self.call.region.clone(), name.to_owned())
    }

    /// Returns the ARN of a group for policies: its UUID is not known before it exists.
    fn arn(self, name: &str) -> String {
        let (region, account) = (&self.call.region, self.call.caller.account());
        let resource = format!("autoScalingGroup:*:autoScalingGroupName/{name}");
        regional_arn("autoscaling", region, account, &resource)
    }
}

fn create(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    ask.only(&[
        "AutoScalingGroupName",
        "LaunchTemplate.LaunchTemplateId",
        "LaunchTemplate.LaunchTemplateName",
        "LaunchTemplate.Version",
        "MinSize",
        "MaxSize",
        "DesiredCapacity",
        "VPCZoneIdentifier",
        "AvailabilityZones.member",
    ])?;
    let name = ask.name()?;
    let sizes = ["MinSize", "MaxSize"].map(|size| ask.query.required(size));
    for size in sizes {
        if size? != "1" {
            let what = "groups of other sizes than one instance";
            return Err(refusals::NOT_IMPLEMENTED.with(&[what]));
        }
    }
    ask.permit(aws, &ask.arn(name))?;
    let subnet_id = ask.query.owned("VPCZoneIdentifier");
    let zones = ask.query.list("AvailabilityZones.member");
    if subnet_id.is_none() && zones.is_empty() {
        return Err(refusals::GROUP_INVALID.with(&["null", "availabilityZones"]));
    }
    let template = template(aws, ask)?;
    let named = (template.id.clone(), template.name.clone());
    let launch = launch_of(template, subnet_id.as_deref());
    let query = Query::from(launch.clone());
    if ec2::may_run(aws, ask.call, &query).is_err() || !ask.may_launch_by(aws, &named.0) {
        return Err(refusals::GROUP_TEMPLATE_DENIED.with(&[&named.0]));
    }
    capacity::link_role(aws, ask)?;
    let key = ask.key(name);
    if aws.groups.contains_key(&key) {
        return Err(refusals::GROUP_EXISTS.with(&[name]));
    }
    let group = LiveGroup {
        launch,
        template: named,
        zones,
        subnet_id,
        created: aws.now,
        visible_at: aws.now + aws.rules.scaled(aws.rules.read_delay),
        instance: None,
        activities: Vec::new(),
        deleted: None,
    };
    aws.groups.insert(key, group);
    keep_capacity(aws);
    Ok(String::new())
}

/// Returns the launch template that the call names.
fn template<'a>(aws: &'a Aws, ask: Ask<'_>) -> Result<&'a LiveTemplate, Refused> {
    let id = ask.query.get("LaunchTemplate.LaunchTemplateId");
    let name = ask.query.get("LaunchTemplate.LaunchTemplateName");
    let version = ask.query.get("LaunchTemplate.Version");
    if version.is_some_and(|version| !matches!(version, "1" | "$Default" | "$Latest")) {
        let what = "versions of launch templates other than the first";
        return Err(refusals::NOT_IMPLEMENTED.with(&[what]));
    }
    let mut all = aws.templates_of(ask.call.caller.account(), &ask.call.region);
    let found = all.find(|live| id == Some(&live.id) || name == Some(&live.name));
    found.ok_or_else(|| {
        let why = "The specified launch template does not exist.";
        refusals::GROUP_TEMPLATE_INVALID.with(&[why])
    })
}

/// Returns the parameters of RunInstances by which a group launches.
fn launch_of(template: &LiveTemplate, subnet: Option<&str>) -> BTreeMap<String, String> {
    let mut launch = template
        .version(template.default_version)
        .map(|version| version.data.clone())
        .unwrap_or_default();
    let mut put = |name: &str, value: &str| launch.insert(name.to_owned(), value.to_owned());
    put("MinCount", "1");
    put("MaxCount", "1");
    if let Some(subnet) = subnet {
        put("SubnetId", subnet);
    }
    launch
}

fn delete(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    ask.only(&["AutoScalingGroupName", "ForceDelete"])?;
    let name = ask.name()?;
    let force = ask.query.flag("ForceDelete")?.unwrap_or(false);
    ask.permit(aws, &ask.arn(name))?;
    let key = ask.key(name);
    let group = aws.groups.get(&key);
    let group = group.ok_or_else(|| refusals::GROUP_NOT_FOUND.with(&[name]))?;
    let instance = group.instance.clone().filter(|id| aws.is_at_work(id));
    if instance.is_some() && !force {
        return Err(refusals::GROUP_IN_USE.with(&[]));
    }
    let now = aws.now;
    if let Some(live) = instance.and_then(|id| aws.instances.get_mut(&id)) {
        live.terminated.get_or_insert(now);
    }
    if let Some(group) = aws.groups.get_mut(&key) {
        group.deleted.get_or_insert(now);
    }
    Ok(String::new())
}

fn describe(aws: &Aws, ask: Ask<'_>) -> Result<String, Refused> {
    ask.only(&["AutoScalingGroupNames.member"])?;
    ask.permit(aws, "*")?;
    let wanted = ask.query.list("AutoScalingGroupNames.member");
    let (account, region) = (ask.call.caller.account(), &ask.call.region);
    let mut xml = Xml::new();
    xml.element("AutoScalingGroups", |xml| {
        for ((owner, place, name), group) in &aws.groups {
            let asked = wanted.is_empty() || wanted.contains(name);
            let here = owner == account && place == region && group.visible_at <= aws.now;
            if asked && here {
                xml.element("member", |xml| write(xml, aws, name, group, &ask.arn(name)));
            }
        }
    });
    Ok(xml.finish())
}

fn write(xml: &mut Xml, aws: &Aws, name: &str, group: &LiveGroup, arn: &str) {
    xml.text("AutoScalingGroupName", name)
        .text("AutoScalingGroupARN", arn)
        .number("MinSize", 1)
        .number("MaxSize", 1)
        .number("DesiredCapacity", 1)
        .number("DefaultCooldown", 300)
        .text("HealthCheckType", "EC2")
        .text("CreatedTime", time::iso(group.created))
        .maybe("VPCZoneIdentifier", group.subnet_id.as_deref())
        .maybe("Status", group.deleted.map(|_| "Delete in progress"));
    xml.element("LaunchTemplate", |xml| {
        xml.text("LaunchTemplateId", &group.template.0)
            .text("LaunchTemplateName", &group.template.1);
    });
    xml.element("AvailabilityZones", |xml| {
        for zone in &group.zones {
            xml.text("member", zone);
        }
    });
    xml.element("Instances", |xml| {
        let instance = group.instance.as_ref();
        let Some(live) = instance.and_then(|id| aws.instances.get(id)) else {
            return;
        };
        let (lifecycle, health) = match live.state(aws).1 {
            "pending" => ("Pending", "Healthy"),
            "running" => ("InService", "Healthy"),
            "shutting-down" => ("Terminating", "Unhealthy"),
            _ => return,
        };
        xml.element("member", |xml| {
            xml.text("InstanceId", &live.id)
                .text("LifecycleState", lifecycle)
                .text("HealthStatus", health)
                .flag("ProtectedFromScaleIn", false);
        });
    });
}
