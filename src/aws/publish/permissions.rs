//! The launch permissions of a copy.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::builders::LaunchPermissionBuilder;
use aws_sdk_ec2::types::{LaunchPermission, LaunchPermissionModifications};

use super::Publishing;
use crate::aws::membership::Membership;
use crate::aws::permission::launchers;
use crate::aws::{Aws, refusal};
use crate::command::Rest;
use crate::error::Error;
use crate::ids::{AccountId, AudienceArn};
use crate::request::LaunchPermissions;

impl Aws {
    /// Lets accounts, organizations and units launch from the copy, if the settings allow them.
    pub(super) async fn permit_launches(
        &self,
        publishing: &mut Publishing<'_>,
    ) -> Result<(), Rest> {
        let Some(wanted) = &publishing.wish.launch_permissions else {
            return Ok(());
        };
        // A state may come from anybody who may call, so the settings are asked again.
        self.may_launch(wanted).await.map_err(Rest::Unfit)?;
        let (visit, id) = (publishing.visit, publishing.id);
        let own = &visit.target.account_id;
        let there: BTreeSet<String> = launchers(&visit.ec2, &visit.at, id)
            .await?
            .into_iter()
            .collect();
        let accounts = wanted.account_ids.iter();
        let accounts =
            accounts.filter(|account| *account != own && !there.contains(account.as_str()));
        let arns = wanted
            .arns
            .iter()
            .filter(|arn| !there.contains(arn.as_str()));
        let of_accounts =
            accounts.map(|account| LaunchPermission::builder().user_id(account.as_str()));
        let of_arns = arns.map(of_arn);
        let missing: Vec<LaunchPermission> = of_accounts
            .chain(of_arns)
            .map(LaunchPermissionBuilder::build)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let added = LaunchPermissionModifications::builder().set_add(Some(missing));
        let asked = visit.ec2.modify_image_attribute().image_id(id.as_str());
        let answer = asked.launch_permission(added.build()).send().await;
        answer.map_err(|e| refusal("ModifyImageAttribute", &visit.at, id, &e))?;
        Ok(())
    }

    /// Returns why the settings do not let these principals launch.
    async fn may_launch(&self, wanted: &LaunchPermissions) -> Result<(), String> {
        let allowed = self.allowed.as_ref().map_err(String::clone)?;
        let words = |error: Error| error.to_string();
        allowed.check_permissions(wanted).map_err(words)?;
        let unlisted: BTreeSet<AccountId> = allowed.unlisted(wanted.account_ids.iter());
        let Some(organization) = allowed.organization().filter(|_| !unlisted.is_empty()) else {
            return Ok(());
        };
        let told = self.membership(organization.as_str(), &unlisted).await;
        match told.map_err(words)? {
            Membership::Outside(outside) => allowed.check_outside(&outside).map_err(words),
            Membership::Untold(why) => Err(allowed.unknown(&unlisted, &why).to_string()),
        }
    }
}

fn of_arn(arn: &AudienceArn) -> LaunchPermissionBuilder {
    let permission = LaunchPermission::builder();
    if arn.as_str().contains(":ou/") {
        permission.organizational_unit_arn(arn.as_str())
    } else {
        permission.organization_arn(arn.as_str())
    }
}
