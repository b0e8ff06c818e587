//! The parameters of a channel in one target: reading and writing them.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::Filter;
use aws_sdk_ssm::types::ParameterType;

use super::copies::FILTER_VALUES;
use super::publish::parameter_history;
use super::{Aws, Place, refusal, tags};
use crate::channel::{ChannelFacts, SeenImage};
use crate::command::tag;
use crate::error::Refusal;
use crate::ids::AccountId;
use crate::policy::channel_policy;
use crate::publish::AMI_TYPE;
use crate::state::TargetState;

/// One target of a channel, with a session in it.
#[derive(Debug)]
pub struct ChannelTarget {
    ssm: aws_sdk_ssm::Client,
    ec2: aws_sdk_ec2::Client,
    at: Place,
    owner: AccountId,
}

impl Aws {
    /// Assumes the target's role to read these parameters and, with `apply`, to write the last.
    pub async fn channel_target(
        &self,
        target: &TargetState,
        owner: &AccountId,
        names: &[String],
        apply: bool,
    ) -> Result<ChannelTarget, Refusal> {
        let policy = channel_policy(target, names, apply);
        let session = self.session_for("amiferry-channel", owner, target, policy);
        let actor = session.await?;
        Ok(ChannelTarget {
            ssm: self.ssm_at(&actor, &target.region),
            ec2: self.ec2(&actor, &target.region),
            at: actor.at(&target.region),
            owner: owner.clone(),
        })
    }
}

impl ChannelTarget {
    /// Reads the parameters, and the images that they name. `from` is absent in a rollback.
    pub async fn read(&self, from: Option<&str>, to: &str) -> Result<ChannelFacts, Refusal> {
        let (ssm, at) = (&self.ssm, &self.at);
        let from = match from {
            Some(from) => parameter_history(ssm, at, from).await?,
            None => Vec::new(),
        };
        let to = parameter_history(ssm, at, to).await?;
        let named: BTreeSet<&str> = from
            .iter()
            .chain(&to)
            .map(|version| version.value.as_str())
            .filter(|value| value.starts_with("ami-"))
            .collect();
        let named: Vec<String> = named.into_iter().map(str::to_owned).collect();
        let mut images = BTreeMap::new();
        for some in named.chunks(FILTER_VALUES) {
            let filter = Filter::builder().name("image-id");
            let filter = filter.set_values(Some(some.to_vec())).build();
            let asked = self.ec2.describe_images().include_disabled(true);
            let answer = asked.filters(filter).send().await;
            let answer = answer.map_err(|e| refusal("DescribeImages", at, &some[0], &e))?;
            for image in answer.images() {
                let tags = tags::to_map(image.tags());
                let ours =
                    tags.get(tag::SOURCE_ACCOUNT).map(String::as_str) == Some(self.owner.as_str());
                let source = tags.get(tag::SOURCE_IMAGE).filter(|_| ours).cloned();
                let state = image.state().map_or("", |state| state.as_str()).to_owned();
                let id = image.image_id().unwrap_or_default().to_owned();
                images.insert(id, SeenImage { state, source });
            }
        }
        Ok(ChannelFacts { from, to, images })
    }

    /// Writes a value.
    pub async fn write(&self, name: &str, value: &str, typed: bool) -> Result<(), Refusal> {
        let asked = self.ssm.put_parameter().name(name).value(value);
        let asked = asked.r#type(ParameterType::String).overwrite(true);
        let data_type = typed.then(|| AMI_TYPE.to_owned());
        let answer = asked.set_data_type(data_type).send().await;
        answer.map_err(|e| refusal("PutParameter", &self.at, name, &e))?;
        Ok(())
    }

    /// Whether the parameter holds this value now.
    pub async fn holds(&self, name: &str, value: &str) -> Result<bool, Refusal> {
        let history = parameter_history(&self.ssm, &self.at, name).await?;
        Ok(history.last().is_some_and(|version| version.value == value))
    }
}
