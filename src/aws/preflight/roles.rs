//! Whether the service-linked roles are there.

use super::unseen;
use crate::aws::visit::Visit;
use crate::aws::{Aws, refusal};
use crate::preflight::{Finding, Level};
use crate::service_linked_role::ServiceLinkedRole;
use crate::state::TargetState;

impl Aws {
    pub(super) async fn preflight_roles(&self, visit: &Visit<'_>) -> Vec<Finding> {
        let (order, target, at) = (visit.run.order, visit.target, &visit.at);
        let mut findings = Vec::new();
        for role in &order.service_linked_roles {
            let name = role.role_name();
            let answer = self
                .iam(&visit.actor, &target.region)
                .get_role()
                .role_name(&name)
                .send()
                .await;
            let finding = match answer.map_err(|e| refusal("GetRole", at, &name, &e)) {
                Ok(_) => continue,
                Err(refusal) if refusal.code.starts_with("NoSuchEntity") => {
                    let reason = format!("there is no role {name}");
                    if order.create_service_linked_roles {
                        let said = format!("{reason}: it will be made");
                        Finding::of_target(
                            Level::Note,
                            "ServiceLinkedRole",
                            target,
                            said,
                            "Nothing",
                        )
                    } else {
                        let remedy = how_to_make(role, target);
                        Finding::of_target(
                            Level::Error,
                            "ServiceLinkedRole",
                            target,
                            reason,
                            remedy,
                        )
                    }
                }
                Err(refusal) => unseen(
                    "ServiceLinkedRole",
                    target,
                    &refusal,
                    &format!(
                        "iam:GetRole on {}",
                        role.arn(target.region.partition(), &target.account_id)
                    ),
                ),
            };
            findings.push(finding);
        }
        findings
    }
}

fn how_to_make(role: &ServiceLinkedRole, target: &TargetState) -> String {
    let suffix = role
        .suffix()
        .map(|suffix| format!(" --custom-suffix {suffix}"));
    format!(
        "In account {}: aws iam create-service-linked-role --aws-service-name {}{}; or give the \
         request CreateServiceLinkedRoles: true",
        target.account_id,
        role.service(),
        suffix.unwrap_or_default()
    )
}
