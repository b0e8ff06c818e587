//! Whether the copy role may use the keys. The copy's own use of them is EC2's, later and unseen,
//! so the policies are asked: the role's by IAM's simulator, the key's by reading it.

use aws_sdk_iam::types::PolicyEvaluationDecisionType::Allowed;
use aws_sdk_iam::types::{
    ContextEntry, ContextKeyTypeEnum, EvaluationResult, OrganizationsDecisionDetail,
    PermissionsBoundaryDecisionDetail,
};

use super::unseen;
use crate::aws::visit::Visit;
use crate::aws::{Actor, Aws, refusal};
use crate::error::Refusal;
use crate::ids::Region;
use crate::kms::{COPYING, via_ec2};
use crate::preflight::key_policy::impossible;
use crate::preflight::{Finding, Level};

/// Whether the role's own policies, its boundary and its organization allow it. For another
/// account's key the whole decision is that of both accounts, and the simulator does not see the
/// key's policy: each kind of policy is read by itself.
fn allows(result: &EvaluationResult) -> bool {
    let organization = result.organizations_decision_detail();
    let boundary = result.permissions_boundary_decision_detail();
    let above = organization.is_none_or(OrganizationsDecisionDetail::allowed_by_organizations)
        && boundary.is_none_or(PermissionsBoundaryDecisionDetail::allowed_by_permissions_boundary);
    let details = result.eval_decision_details().into_iter().flatten();
    let of_role: Vec<_> = details
        .filter(|(kind, _)| !kind.to_lowercase().contains("resource"))
        .map(|(_, decision)| decision)
        .collect();
    let own = match of_role[..] {
        [] => *result.eval_decision() == Allowed,
        ref all => all.iter().all(|decision| **decision == Allowed),
    };
    above && own
}

impl Aws {
    pub(super) async fn preflight_keys(
        &self,
        visit: &Visit<'_>,
        own_key: Option<&str>,
    ) -> Vec<Finding> {
        let (run, target) = (visit.run, visit.target);
        let mut findings = Vec::new();
        let copied = run.copied_keys(target);
        let from = run.copied_from(target);
        let mut wanted: Vec<(&str, Option<&str>, &Region)> = copied
            .iter()
            .map(|key| (key.as_str(), None, from))
            .collect();
        if let Some(named) = own_key {
            let alias = named.starts_with("alias/").then_some(named);
            wanted.push((target.kms_key_id.as_str(), alias, &target.region));
        }
        let role = target
            .role_name
            .arn(target.region.partition(), &target.account_id);
        for (key, alias, region) in wanted {
            let simulated = self.simulated(&visit.actor, &role, key, alias, region, &COPYING);
            match simulated.await {
                Ok(denied) if denied.is_empty() => {}
                Ok(denied) => findings.push(Finding::of_target(
                    Level::Error,
                    "RolePolicy",
                    target,
                    format!(
                        "the policies of the role do not allow {} on {key} in {region}",
                        denied.join(", ")
                    ),
                    format!(
                        "In account {}: allow {} {} on {key}; if it is allowed, look for a \
                         permissions boundary, or for a service control policy that denies the \
                         Region {region}",
                        target.account_id,
                        target.role_name,
                        denied.join(", ")
                    ),
                )),
                Err(refusal) => {
                    let action = "iam:SimulatePrincipalPolicy on itself";
                    findings.push(unseen("RolePolicy", target, &refusal, action));
                    break;
                }
            }
        }
        if own_key.is_some() {
            findings.extend(self.target_key_policy(visit).await);
        }
        findings
    }

    /// Returns those of the actions that the role's policies, its boundary and its organization do
    /// not allow on this key when EC2 asks for it.
    pub(super) async fn simulated(
        &self,
        actor: &Actor,
        role: &str,
        key: &str,
        alias: Option<&str>,
        region: &Region,
        actions: &[&str],
    ) -> Result<Vec<String>, Refusal> {
        let context = |name: &str, value: String, kind: ContextKeyTypeEnum| {
            ContextEntry::builder()
                .context_key_name(name)
                .context_key_values(value)
                .context_key_type(kind)
                .build()
        };
        // The role may be allowed the keys with an alias; the simulator does not look aliases up.
        let called = alias.map(|alias| {
            let kind = ContextKeyTypeEnum::StringList;
            context("kms:ResourceAliases", alias.to_owned(), kind)
        });
        let via = via_ec2(region.as_str());
        let region_name = region.to_string();
        let entries: Vec<ContextEntry> = [
            context("kms:ViaService", via, ContextKeyTypeEnum::String),
            context(
                "kms:GrantIsForAWSResource",
                "true".to_owned(),
                ContextKeyTypeEnum::Boolean,
            ),
            context(
                "aws:RequestedRegion",
                region_name,
                ContextKeyTypeEnum::String,
            ),
        ]
        .into_iter()
        .chain(called)
        .collect();
        let answer = self
            .iam(actor, region)
            .simulate_principal_policy()
            .policy_source_arn(role)
            .set_action_names(Some(actions.iter().map(|a| (*a).to_owned()).collect()))
            .resource_arns(key)
            .set_context_entries(Some(entries))
            .send()
            .await;
        let at = actor.at(region);
        let answer = answer.map_err(|e| refusal("SimulatePrincipalPolicy", &at, role, &e))?;
        let results = answer.evaluation_results.unwrap_or_default();
        let denied = results.iter().filter(|r| !allows(r));
        Ok(denied.map(|r| r.eval_action_name().to_owned()).collect())
    }

    /// Finds actions that the key's own policy can never allow to this account.
    async fn target_key_policy(&self, visit: &Visit<'_>) -> Option<Finding> {
        let (target, at) = (visit.target, &visit.at);
        let key = target.kms_key_id.as_str();
        let answer = self
            .kms(&visit.actor, &target.region)
            .get_key_policy()
            .key_id(key)
            .send()
            .await;
        let text = match answer.map_err(|e| refusal("GetKeyPolicy", at, key, &e)) {
            Ok(answer) => answer.policy.unwrap_or_default(),
            Err(refusal) => {
                return Some(unseen(
                    "TargetKeyPolicy",
                    target,
                    &refusal,
                    &format!("kms:GetKeyPolicy on {key}"),
                ));
            }
        };
        let policy = serde_json::from_str(&text).ok()?;
        let partition = target.region.partition();
        let (account, role) = (&target.account_id, &target.role_name);
        let principals = [
            format!("arn:{partition}:iam::{account}:root"),
            account.to_string(),
            role.arn(partition, account),
        ];
        let denied = impossible(&policy, &principals, &COPYING);
        (!denied.is_empty()).then(|| {
            let denied = denied.join(", ");
            Finding::of_target(
                Level::Error,
                "TargetKeyPolicy",
                target,
                format!("the policy of {key} lets neither the account nor {role} do {denied}"),
                format!(
                    "In account {account}: add a statement to the policy of {key} that allows {} \
                     {denied}",
                    role.arn(partition, account)
                ),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_iam::types::PolicyEvaluationDecisionType::{self, ExplicitDeny, ImplicitDeny};
    use aws_sdk_iam::types::builders::EvaluationResultBuilder;
    use aws_sdk_iam::types::{OrganizationsDecisionDetail, PermissionsBoundaryDecisionDetail};

    use super::*;

    fn result(
        whole: PolicyEvaluationDecisionType,
        details: &[(&str, PolicyEvaluationDecisionType)],
    ) -> EvaluationResultBuilder {
        let result = EvaluationResult::builder()
            .eval_action_name("kms:Decrypt")
            .eval_decision(whole);
        details.iter().fold(result, |result, (kind, decision)| {
            result.eval_decision_details(*kind, decision.clone())
        })
    }

    #[test]
    fn a_foreign_keys_policy_is_no_word_about_the_role() {
        for (whole, details, expected) in [
            (Allowed, &[][..], true),
            (ImplicitDeny, &[], false),
            (
                ImplicitDeny,
                &[("IAM Policy", Allowed), ("Resource Policy", ImplicitDeny)],
                true,
            ),
            (
                ImplicitDeny,
                &[("IAM Policy", ImplicitDeny), ("Resource Policy", Allowed)],
                false,
            ),
            (
                ExplicitDeny,
                &[
                    ("IAM Policy", Allowed),
                    ("Permissions Boundary Policy", ExplicitDeny),
                ],
                false,
            ),
            (ImplicitDeny, &[("Resource Policy", ImplicitDeny)], false),
        ] {
            let said = result(whole, details).build().expect("whole");
            assert_eq!(allows(&said), expected, "{said:?}");
        }
    }

    #[test]
    fn an_organization_or_a_boundary_that_does_not_allow_it_outweighs_the_roles_policy() {
        let allowed = || result(ImplicitDeny, &[("IAM Policy", Allowed)]);
        for allows_it in [true, false] {
            let organization = OrganizationsDecisionDetail::builder()
                .allowed_by_organizations(allows_it)
                .build();
            let said = allowed().organizations_decision_detail(organization);
            assert_eq!(allows(&said.build().expect("whole")), allows_it);
            let boundary = PermissionsBoundaryDecisionDetail::builder()
                .allowed_by_permissions_boundary(allows_it)
                .build();
            let said = allowed().permissions_boundary_decision_detail(boundary);
            assert_eq!(allows(&said.build().expect("whole")), allows_it);
        }
    }
}
