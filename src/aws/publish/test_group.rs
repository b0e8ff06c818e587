//! The Auto Scaling group of a launch test: one instance, launched by Auto Scaling's service-linked
//! role from a launch template of the same name.

use aws_sdk_autoscaling::types::{
    Activity, LaunchTemplateSpecification, ScalingActivityStatusCode,
};
use aws_sdk_ec2::types::{
    LaunchTemplateBlockDeviceMappingRequest, LaunchTemplateEbsBlockDeviceRequest,
    LaunchTemplateHttpTokensState, LaunchTemplateIamInstanceProfileSpecificationRequest,
    LaunchTemplateInstanceMetadataOptionsRequest, LaunchTemplateTagSpecificationRequest,
    RequestLaunchTemplateData, ResourceType,
};
use aws_smithy_types::DateTime;

use super::Publishing;
use super::launch_test::{kept_devices, kind_of, test_tags};
use crate::aws::visit::Visit;
use crate::aws::{Aws, refusal, tags};
use crate::error::Refusal;
use crate::publish::TestGroup;
use crate::request::LaunchTest;

impl Aws {
    /// Returns the group of this name, with the words about its last launch if that failed.
    pub(super) async fn find_group(
        &self,
        visit: &Visit<'_>,
        name: &str,
    ) -> Result<Option<TestGroup>, Refusal> {
        let client = self.autoscaling(&visit.actor, &visit.target.region);
        let asked = client.describe_auto_scaling_groups();
        let answer = asked.auto_scaling_group_names(name).send().await;
        let answer =
            answer.map_err(|e| refusal("DescribeAutoScalingGroups", &visit.at, name, &e))?;
        let Some(group) = answer.auto_scaling_groups().first() else {
            return Ok(None);
        };
        let mut found = TestGroup {
            // The only status is that of a group that is being deleted.
            ends: group.status().is_some(),
            created: group.created_time().map_or(0, DateTime::secs),
            failed: None,
        };
        if !found.ends {
            let asked = client.describe_scaling_activities();
            let answer = asked.auto_scaling_group_name(name).send().await;
            let answer =
                answer.map_err(|e| refusal("DescribeScalingActivities", &visit.at, name, &e))?;
            let failed = answer.activities().iter().find(|one| has_failed(one));
            found.failed = failed.map(|one| one.status_message().unwrap_or_default().to_owned());
        }
        Ok(Some(found))
    }

    /// Creates the launch template and the group. A template or a group of this name is an earlier
    /// call's, whose answer was lost.
    pub(super) async fn launch_by_group(
        &self,
        publishing: &Publishing<'_>,
        test: &LaunchTest,
        name: &str,
    ) -> Result<(), Refusal> {
        let visit = publishing.visit;
        let named = tags::specification(test_tags(publishing), ResourceType::LaunchTemplate);
        let asked = visit.ec2.create_launch_template();
        let asked = asked.launch_template_name(name).tag_specifications(named);
        let asked = asked.launch_template_data(data(publishing, test));
        let made = asked.send().await;
        let made = made.map_err(|e| refusal("CreateLaunchTemplate", &visit.at, name, &e));
        unless(made, "InvalidLaunchTemplateName.AlreadyExistsException")?;
        let client = self.autoscaling(&visit.actor, &visit.target.region);
        let template = LaunchTemplateSpecification::builder();
        let asked = client
            .create_auto_scaling_group()
            .auto_scaling_group_name(name)
            .launch_template(template.launch_template_name(name).build())
            .min_size(1)
            .max_size(1);
        let asked = match &test.subnet_id {
            Some(subnet) => asked.vpc_zone_identifier(subnet.as_str()),
            None => asked.set_availability_zones(Some(zones(visit).await?)),
        };
        let made = asked.send().await;
        let made = made.map_err(|e| refusal("CreateAutoScalingGroup", &visit.at, name, &e));
        unless(made, "AlreadyExists")
    }

    /// Deletes the group with its instance, and the launch template; each may be gone.
    pub(super) async fn delete_group(&self, visit: &Visit<'_>, name: &str) -> Result<(), Refusal> {
        let client = self.autoscaling(&visit.actor, &visit.target.region);
        let asked = client.delete_auto_scaling_group().force_delete(true);
        let gone = asked.auto_scaling_group_name(name).send().await;
        let gone = gone.map_err(|e| refusal("DeleteAutoScalingGroup", &visit.at, name, &e));
        match gone {
            Err(refusal) if is_missing(&refusal) => {}
            gone => drop(gone?),
        }
        let asked = visit.ec2.delete_launch_template();
        let gone = asked.launch_template_name(name).send().await;
        let gone = gone.map_err(|e| refusal("DeleteLaunchTemplate", &visit.at, name, &e));
        unless(gone, "InvalidLaunchTemplateName.NotFoundException")
    }
}

/// Auto Scaling has no code of its own for a group that does not exist.
fn is_missing(refusal: &Refusal) -> bool {
    refusal.code == "ValidationError" && refusal.message.contains("not found")
}

/// Passes every refusal on but one.
fn unless<T>(answer: Result<T, Refusal>, code: &str) -> Result<(), Refusal> {
    match answer {
        Err(refusal) if refusal.code == code => Ok(()),
        answer => answer.map(drop),
    }
}

fn has_failed(activity: &Activity) -> bool {
    matches!(
        activity.status_code(),
        Some(ScalingActivityStatusCode::Failed | ScalingActivityStatusCode::Cancelled)
    )
}

/// Returns the Region's zones. Auto Scaling launches into their default subnets.
async fn zones(visit: &Visit<'_>) -> Result<Vec<String>, Refusal> {
    let answer = visit.ec2.describe_availability_zones().send().await;
    let region = visit.target.region.as_str();
    let answer = answer.map_err(|e| refusal("DescribeAvailabilityZones", &visit.at, region, &e))?;
    let zones = answer.availability_zones().iter();
    Ok(zones
        .filter(|zone| zone.zone_type() == Some("availability-zone"))
        .filter_map(|zone| zone.zone_name().map(str::to_owned))
        .collect())
}

/// Returns the launch by which the group launches, alike that of a test without a group.
fn data(publishing: &Publishing<'_>, test: &LaunchTest) -> RequestLaunchTemplateData {
    let metadata = LaunchTemplateInstanceMetadataOptionsRequest::builder();
    let metadata = metadata.http_tokens(LaunchTemplateHttpTokensState::Required);
    let profile = test.instance_profile_name.as_ref().map(|name| {
        let profile = LaunchTemplateIamInstanceProfileSpecificationRequest::builder();
        profile.name(name.as_str()).build()
    });
    let mappings = kept_devices(publishing).into_iter().map(|device| {
        let ebs = LaunchTemplateEbsBlockDeviceRequest::builder().delete_on_termination(true);
        let mapping = LaunchTemplateBlockDeviceMappingRequest::builder().device_name(device);
        mapping.ebs(ebs.build()).build()
    });
    let tagged = |kind: ResourceType| {
        let tags = tags::list(test_tags(publishing));
        let specification = LaunchTemplateTagSpecificationRequest::builder();
        specification
            .resource_type(kind)
            .set_tags(Some(tags))
            .build()
    };
    RequestLaunchTemplateData::builder()
        .image_id(publishing.id.as_str())
        .instance_type(kind_of(publishing, test))
        .metadata_options(metadata.build())
        .set_iam_instance_profile(profile)
        .set_block_device_mappings(Some(mappings.collect()))
        .tag_specifications(tagged(ResourceType::Instance))
        .tag_specifications(tagged(ResourceType::Volume))
        .build()
}
