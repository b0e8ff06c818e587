//! The parameter that holds the ID of the image.

use aws_sdk_ssm::types::ParameterType;

use super::Publishing;
use crate::aws::{Aws, Place, refusal};
use crate::command::Rest;
use crate::error::Refusal;
use crate::publish::{AMI_TYPE, ParameterStep, ParameterVersion, parameter_step};

/// The number of versions in one page of a parameter's history.
const PAGE: i32 = 50;

impl Aws {
    /// Writes the image's ID into the parameter, unless the parameter has or had it.
    ///
    /// Systems Manager validates an AMI after the call: the version shows once it is valid, and
    /// never if it is not.
    pub(super) async fn write_parameter(
        &self,
        publishing: &mut Publishing<'_>,
    ) -> Result<(), Rest> {
        let Some(template) = &publishing.wish.parameter else {
            return Ok(());
        };
        let (visit, id) = (publishing.visit, publishing.id);
        let target = visit.target;
        let name = template.fill(&target.account_id, &target.region);
        let ssm = self.ssm_at(&visit.actor, &target.region);
        let history = history(&ssm, &visit.at, &name).await?;
        match parameter_step(&history, id) {
            ParameterStep::Done(done) => publishing.done.parameter = Some(done),
            ParameterStep::MovedOn(now) => {
                publishing.done.parameter = None;
                publishing
                    .notes
                    .push(format!("{name} was changed since, to {now}: it stays"));
            }
            ParameterStep::Write { typed } => {
                let asked = ssm.put_parameter().name(&name).value(id.as_str());
                let asked = asked.r#type(ParameterType::String).overwrite(true);
                let data_type = typed.then(|| AMI_TYPE.to_owned());
                let answer = asked.set_data_type(data_type).send().await;
                answer.map_err(|e| refusal("PutParameter", &visit.at, &name, &e))?;
                let role = target.role_name.as_str();
                return Err(Rest::NotYet(format!(
                    "{name} does not show {id}: Systems Manager validates an AMI after \
                     PutParameter, and drops it if {role} may not ec2:DescribeImages"
                )));
            }
        }
        Ok(())
    }
}

/// Returns the versions of a parameter, the oldest first; none if there is no such parameter.
pub(in crate::aws) async fn history(
    ssm: &aws_sdk_ssm::Client,
    at: &Place,
    name: &str,
) -> Result<Vec<ParameterVersion>, Refusal> {
    let asked = ssm.get_parameter_history().name(name).max_results(PAGE);
    let mut pages = asked.into_paginator().send();
    let mut versions = Vec::new();
    while let Some(page) = pages.next().await {
        let page = match page.map_err(|e| refusal("GetParameterHistory", at, name, &e)) {
            Ok(page) => page,
            Err(refusal) if refusal.code == "ParameterNotFound" => return Ok(Vec::new()),
            Err(refusal) => return Err(refusal),
        };
        for version in page.parameters.into_iter().flatten() {
            versions.push(ParameterVersion {
                number: version.version,
                value: version.value.unwrap_or_default(),
                data_type: version.data_type.unwrap_or_default(),
            });
        }
    }
    versions.sort_by_key(|version| version.number);
    Ok(versions)
}
