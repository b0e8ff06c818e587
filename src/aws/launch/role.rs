//! Service-linked roles that are not there: made where that was asked for. IAM is global and knows
//! a new role at once; KMS, in each Region, only a little later.

use crate::aws::visit::Visit;
use crate::aws::{Actor, Aws, refusal};
use crate::command::Granted;
use crate::error::Refusal;
use crate::ids::Region;
use crate::service_linked_role::ServiceLinkedRole;

impl Aws {
    /// Of roles that KMS does not know. `first` is what it said of the first.
    pub(super) async fn make_roles(
        &self,
        visit: &Visit<'_>,
        roles: Vec<&ServiceLinkedRole>,
        first: Refusal,
    ) -> Result<Granted, Refusal> {
        let names: Vec<String> = roles.iter().map(|role| role.role_name()).collect();
        if !visit.run.order.create_service_linked_roles {
            return Ok(Granted::RolesMissing(names, first));
        }
        for role in roles {
            match self
                .make_role(&visit.actor, &visit.target.region, role)
                .await
            {
                Err(refusal) if !refusal.is_passing() => {
                    return Ok(Granted::RolesMissing(vec![role.role_name()], refusal));
                }
                other => other?,
            }
        }
        Ok(Granted::NotYet(format!(
            "{} made, but not known to KMS yet: {first}",
            names.join(", ")
        )))
    }

    /// Makes one. One that is there already counts as made: an earlier try may have made it.
    async fn make_role(
        &self,
        actor: &Actor,
        region: &Region,
        role: &ServiceLinkedRole,
    ) -> Result<(), Refusal> {
        let answer = self
            .iam(actor, region)
            .create_service_linked_role()
            .aws_service_name(role.service())
            .set_custom_suffix(role.suffix().map(str::to_owned))
            .send()
            .await;
        let at = actor.at(region);
        match answer.map_err(|e| refusal("CreateServiceLinkedRole", &at, role.role_name(), &e)) {
            Err(refusal) if !is_taken(&refusal) => Err(refusal),
            _ => Ok(()),
        }
    }
}

/// `InvalidInput` says many things; this one in the words "Service role name … has been taken in
/// this account".
fn is_taken(refusal: &Refusal) -> bool {
    refusal.code.starts_with("InvalidInput") && refusal.message.contains("has been taken")
}
