//! The launch test: an instance of the image, until it runs and passes its status checks. Whatever
//! the end of the test, the instance is terminated first.

use aws_sdk_ec2::types::{
    ArchitectureValues, Filter, HttpTokensState, IamInstanceProfileSpecification, Instance,
    InstanceMetadataOptionsRequest, InstanceStateName, InstanceType, ResourceType,
    ShutdownBehavior,
};
use aws_smithy_types::DateTime;

use super::Publishing;
use crate::aws::visit::Visit;
use crate::aws::{Aws, refusal, tags};
use crate::command::{Rest, tag};
use crate::error::Refusal;
use crate::ids::{self, ImageId};
use crate::publish::{TestInstance, TestStep, smallest_type, test_step, test_tokens};
use crate::request::LaunchTest;

impl Aws {
    /// Advances the launch test. Fails with its rest until it has passed.
    pub(super) async fn test_launch(&self, publishing: &mut Publishing<'_>) -> Result<(), Rest> {
        let Some(test) = &publishing.wish.launch_test else {
            return Ok(());
        };
        if publishing.done.launched {
            return Ok(());
        }
        let (visit, id) = (publishing.visit, publishing.id);
        let tokens = test_tokens(visit.run, visit.target, id);
        let there = instances(visit, id).await?;
        // An earlier attempt of this run may have died over its test.
        let is_other = |one: &TestInstance| !tokens.contains(&one.token);
        terminate(visit, &there, is_other).await?;
        let step = test_step(&tokens, &there, self.now());
        match &step {
            TestStep::Launch(token) => launch(publishing, test, token).await?,
            TestStep::Wait => {}
            TestStep::Passed | TestStep::Failed(_) => {
                terminate(visit, &there, |_| true).await?;
            }
        }
        publishing.done.launched = step == TestStep::Passed;
        step.rest().map_or(Ok(()), Err)
    }
}

/// Terminates every instance by which this run tests the image.
pub(in crate::aws) async fn end(visit: &Visit<'_>, id: &ImageId) -> Result<(), Refusal> {
    let there = instances(visit, id).await?;
    terminate(visit, &there, |_| true).await
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
        found.extend(instances.map(|instance| facts(&instance)));
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

/// Launches the instance of a test. The token launches one instance, however often it is used.
async fn launch(
    publishing: &Publishing<'_>,
    test: &LaunchTest,
    token: &str,
) -> Result<(), Refusal> {
    let (visit, id) = (publishing.visit, publishing.id);
    let architecture = publishing.image.architecture();
    let architecture = architecture.map(ArchitectureValues::as_str);
    let named = test.instance_type.as_ref();
    let kind = named.map(ids::InstanceType::as_str);
    let ena = publishing.image.ena_support() == Some(true);
    let kind = kind.unwrap_or_else(|| smallest_type(architecture, ena));
    let profile = test.instance_profile_name.as_ref().map(|name| {
        let profile = IamInstanceProfileSpecification::builder();
        profile.name(name.as_str()).build()
    });
    let metadata = InstanceMetadataOptionsRequest::builder().http_tokens(HttpTokensState::Required);
    let tags = [
        (tag::RUN, visit.run.id),
        (tag::LAUNCH_TEST, id.as_str()),
        (tag::SOURCE_ACCOUNT, visit.run.source.account_id.as_str()),
    ];
    let tags: Vec<(String, String)> = tags
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    let asked = visit
        .ec2
        .run_instances()
        .image_id(id.as_str())
        .instance_type(InstanceType::from(kind))
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

/// Terminates the picked instances that live.
async fn terminate(
    visit: &Visit<'_>,
    instances: &[TestInstance],
    picked: impl Fn(&TestInstance) -> bool,
) -> Result<(), Refusal> {
    let alive = instances.iter().filter(|one| one.lives() && picked(one));
    let ids: Vec<String> = alive.map(|one| one.id.clone()).collect();
    let Some(first) = ids.first().cloned() else {
        return Ok(());
    };
    let asked = visit.ec2.terminate_instances().set_instance_ids(Some(ids));
    let answer = asked.send().await;
    answer.map_err(|e| refusal("TerminateInstances", &visit.at, first, &e))?;
    Ok(())
}
