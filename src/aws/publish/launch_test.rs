//! The launch test: an instance of the image, until it runs and passes its status checks. Whatever
//! the end of the test, the instance is terminated first.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{
    ArchitectureValues, BlockDeviceMapping, EbsBlockDevice, Filter, HttpTokensState,
    IamInstanceProfileSpecification, Instance, InstanceMetadataOptionsRequest, InstanceStateName,
    InstanceType, ResourceType, ShutdownBehavior,
};
use aws_smithy_types::DateTime;

use super::Publishing;
use crate::aws::visit::Visit;
use crate::aws::{Aws, refusal, tags};
use crate::command::{Rest, tag};
use crate::error::Refusal;
use crate::ids::{self, ImageId, is_test_group};
use crate::publish::{
    TestInstance, TestStep, group_step, smallest_type, test_group, test_step, test_tokens,
};
use crate::request::LaunchTest;

/// The tag that Auto Scaling gives the instances of a group.
const GROUP_TAG: &str = "aws:autoscaling:groupName";

impl Aws {
    /// Advances the launch test. Fails with its rest until it has passed.
    pub(super) async fn test_launch(&self, publishing: &mut Publishing<'_>) -> Result<(), Rest> {
        let Some(test) = &publishing.wish.launch_test else {
            return Ok(());
        };
        if publishing.done.launched {
            return Ok(());
        }
        let step = if test.auto_scaling {
            self.test_by_group(publishing, test).await?
        } else {
            self.test_by_call(publishing, test).await?
        };
        publishing.done.launched = step == TestStep::Passed;
        publishing.done.launching &= !matches!(step, TestStep::Passed | TestStep::Failed(_));
        step.rest().map_or(Ok(()), Err)
    }

    async fn test_by_call(
        &self,
        publishing: &mut Publishing<'_>,
        test: &LaunchTest,
    ) -> Result<TestStep, Refusal> {
        let (visit, id) = (publishing.visit, publishing.id);
        let tokens = test_tokens(visit.run, visit.target, id);
        let there = instances(visit, id).await?;
        publishing.done.launching |= !there.is_empty();
        // An earlier attempt of this run may have died over its test.
        let is_other = |one: &TestInstance| !tokens.contains(&one.token);
        self.terminate(visit, &there, is_other).await?;
        let step = test_step(&tokens, &there, self.now());
        match &step {
            TestStep::Launch(token) => {
                publishing.done.launching = true;
                launch(publishing, test, token).await?;
            }
            TestStep::Wait => {}
            TestStep::Passed | TestStep::Failed(_) => {
                self.terminate(visit, &there, |_| true).await?;
            }
        }
        Ok(step)
    }

    async fn test_by_group(
        &self,
        publishing: &mut Publishing<'_>,
        test: &LaunchTest,
    ) -> Result<TestStep, Refusal> {
        let (visit, id) = (publishing.visit, publishing.id);
        let name = test_group(visit.run, visit.target, id);
        let there = instances(visit, id).await?;
        publishing.done.launching |= !there.is_empty();
        let is_other = |one: &TestInstance| one.group.as_ref() != Some(&name);
        self.terminate(visit, &there, is_other).await?;
        let ours: Vec<TestInstance> = there.into_iter().filter(|one| !is_other(one)).collect();
        let group = self.find_group(visit, &name).await?;
        let step = group_step(&name, group.as_ref(), &ours, self.now());
        match &step {
            TestStep::Launch(_) => {
                publishing.done.launching = true;
                self.launch_by_group(publishing, test, &name).await?;
            }
            TestStep::Wait => {}
            TestStep::Passed | TestStep::Failed(_) => self.delete_group(visit, &name).await?,
        }
        Ok(step)
    }

    /// Ends every instance and the group by which this run tests the image.
    pub(in crate::aws) async fn end_launch_test(
        &self,
        visit: &Visit<'_>,
        id: &ImageId,
        test: &LaunchTest,
    ) -> Result<(), Refusal> {
        let there = instances(visit, id).await?;
        self.terminate(visit, &there, |_| true).await?;
        if test.auto_scaling {
            // A group that has launched nothing yet would do it later.
            let name = test_group(visit.run, visit.target, id);
            self.delete_group(visit, &name).await?;
        }
        Ok(())
    }

    /// Terminates the picked instances that live; those of a group go with it, because it would
    /// replace them.
    async fn terminate(
        &self,
        visit: &Visit<'_>,
        instances: &[TestInstance],
        picked: impl Fn(&TestInstance) -> bool,
    ) -> Result<(), Refusal> {
        let alive = instances.iter().filter(|one| one.lives() && picked(one));
        let (grouped, single): (Vec<_>, Vec<_>) = alive.partition(|one| one.group.is_some());
        let groups: BTreeSet<&String> = grouped
            .iter()
            .filter_map(|one| one.group.as_ref())
            .collect();
        for group in groups {
            self.delete_group(visit, group).await?;
        }
        let ids: Vec<String> = single.iter().map(|one| one.id.clone()).collect();
        let Some(first) = ids.first().cloned() else {
            return Ok(());
        };
        let asked = visit.ec2.terminate_instances().set_instance_ids(Some(ids));
        let answer = asked.send().await;
        answer.map_err(|e| refusal("TerminateInstances", &visit.at, first, &e))?;
        Ok(())
    }
}

/// Returns the instances by which this run has tested the image, with their status checks.
async fn instances(visit: &Visit<'_>, id: &ImageId) -> Result<Vec<TestInstance>, Refusal> {
    let tagged = |name: &str, value: &str| {
        let filter = Filter::builder().name(format!("tag:{name}"));
        filter.values(value).build()
    };
    let asked = visit.ec2.describe_instances();
    let asked = asked.filters(tagged(tag::RUN, visit.run.id));
    let asked = asked.filters(tagged(tag::LAUNCH_TEST, id.as_str()));
    let mut pages = asked.into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| refusal("DescribeInstances", &visit.at, id, &e))?;
        let reservations = page.reservations.into_iter().flatten();
        let instances = reservations.flat_map(|one| one.instances.unwrap_or_default());
        let found_here = instances.map(|instance| facts(&instance));
        // Anybody may tag an instance of a group in production: only groups of tests end.
        found.extend(found_here.filter(|one| one.group.as_deref().is_none_or(is_test_group)));
    }
    for instance in found.iter_mut().filter(|one| one.state == "running") {
        instance.checks = checks(visit, &instance.id).await?;
    }
    Ok(found)
}

fn facts(instance: &Instance) -> TestInstance {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let state = instance.state().and_then(|state| state.name());
    let reason = instance.state_reason();
    TestInstance {
        id: text(instance.instance_id()),
        token: text(instance.client_token()),
        group: {
            let mut tags = instance.tags().iter();
            let found = tags.find(|tag| tag.key() == Some(GROUP_TAG));
            found.and_then(|tag| tag.value()).map(str::to_owned)
        },
        state: text(state.map(InstanceStateName::as_str)),
        reason: reason.map(|reason| (text(reason.code()), text(reason.message()))),
        launched: instance.launch_time().map_or(0, DateTime::secs),
        checks: None,
    }
}

/// Returns the statuses of an instance and of its system.
async fn checks(visit: &Visit<'_>, instance: &str) -> Result<Option<(String, String)>, Refusal> {
    let asked = visit.ec2.describe_instance_status().instance_ids(instance);
    let answer = asked.send().await;
    let answer = answer.map_err(|e| refusal("DescribeInstanceStatus", &visit.at, instance, &e))?;
    let status = answer.instance_statuses().first();
    let word = |summary: Option<&aws_sdk_ec2::types::InstanceStatusSummary>| {
        let status = summary.and_then(|summary| summary.status());
        status
            .map_or("unknown", |status| status.as_str())
            .to_owned()
    };
    Ok(status.map(|one| (word(one.instance_status()), word(one.system_status()))))
}

/// Returns the tags by which the instances of a test are found.
pub(super) fn test_tags(publishing: &Publishing<'_>) -> Vec<(String, String)> {
    let run = publishing.visit.run;
    let tags = [
        (tag::RUN, run.id),
        (tag::LAUNCH_TEST, publishing.id.as_str()),
        (tag::SOURCE_ACCOUNT, run.source.account_id.as_str()),
    ];
    tags.map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
}

/// Returns the instance type of a test.
pub(super) fn kind_of(publishing: &Publishing<'_>, test: &LaunchTest) -> InstanceType {
    let architecture = publishing.image.architecture();
    let architecture = architecture.map(ArchitectureValues::as_str);
    let ena = publishing.image.ena_support() == Some(true);
    let named = test.instance_type.as_ref().map(ids::InstanceType::as_str);
    InstanceType::from(named.unwrap_or_else(|| smallest_type(architecture, ena)))
}

/// Returns the devices whose volumes the image would leave behind when the instance is terminated.
pub(super) fn kept_devices(publishing: &Publishing<'_>) -> Vec<String> {
    let mappings = publishing.image.block_device_mappings().iter();
    let kept = mappings.filter(|mapping| {
        let ebs = mapping.ebs();
        ebs.is_some_and(|ebs| ebs.delete_on_termination() != Some(true))
    });
    kept.filter_map(|mapping| mapping.device_name().map(str::to_owned))
        .collect()
}

/// Launches the instance of a test. The token launches one instance, however often it is used.
async fn launch(
    publishing: &Publishing<'_>,
    test: &LaunchTest,
    token: &str,
) -> Result<(), Refusal> {
    let (visit, id) = (publishing.visit, publishing.id);
    let profile = test.instance_profile_name.as_ref().map(|name| {
        let profile = IamInstanceProfileSpecification::builder();
        profile.name(name.as_str()).build()
    });
    let mappings = kept_devices(publishing).into_iter().map(|device| {
        let ebs = EbsBlockDevice::builder().delete_on_termination(true);
        let mapping = BlockDeviceMapping::builder().device_name(device);
        mapping.ebs(ebs.build()).build()
    });
    let mappings: Vec<BlockDeviceMapping> = mappings.collect();
    let metadata = InstanceMetadataOptionsRequest::builder().http_tokens(HttpTokensState::Required);
    let tags = test_tags(publishing);
    let asked = visit
        .ec2
        .run_instances()
        .image_id(id.as_str())
        .instance_type(kind_of(publishing, test))
        .set_block_device_mappings(Some(mappings))
        .min_count(1)
        .max_count(1)
        .client_token(token)
        .set_subnet_id(test.subnet_id.as_ref().map(ToString::to_string))
        .set_iam_instance_profile(profile)
        .metadata_options(metadata.build())
        .instance_initiated_shutdown_behavior(ShutdownBehavior::Terminate)
        .tag_specifications(tags::specification(tags.clone(), ResourceType::Instance))
        .tag_specifications(tags::specification(tags, ResourceType::Volume));
    match asked
        .send()
        .await
        .map_err(|e| refusal("RunInstances", &visit.at, id, &e))
    {
        // The instance of this token has ended and does not show yet: the next look sees it.
        Err(refusal) if refusal.code == "IdempotentInstanceTerminated" => Ok(()),
        answer => answer.map(drop),
    }
}
