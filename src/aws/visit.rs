//! A session in one target, with what every call of a run needs there.

use aws_sdk_ec2::Client;

use super::{Actor, Aws, Place};
use crate::error::Refusal;
use crate::state::{RunRef, State, TargetState};

/// One run in one target: the run's order, the target, and the credentials for it.
#[derive(Debug, Clone)]
pub(super) struct Visit<'a> {
    pub run: RunRef<'a>,
    pub target: &'a TargetState,
    pub actor: Actor,
    pub ec2: Client,
    /// The target, as a refusal names it.
    pub at: Place,
}

impl<'a> Visit<'a> {
    /// Returns the same session for another view of the same target.
    pub fn with<'b>(&self, target: &'b TargetState) -> Visit<'b>
    where
        'a: 'b,
    {
        Visit {
            target,
            ..self.clone()
        }
    }
}

impl Aws {
    /// Assumes the target's role. Takes the whole state, because [`Aws::session`] does.
    pub(super) async fn visit<'a>(
        &self,
        state: &'a State,
        target: &'a TargetState,
    ) -> Result<Visit<'a>, Refusal> {
        let actor = self.session(state, target).await?;
        Ok(self.visit_as(state.run_ref(), target, actor))
    }

    /// Visits a target with credentials that are there already.
    pub(super) fn visit_as<'a>(
        &self,
        run: RunRef<'a>,
        target: &'a TargetState,
        actor: Actor,
    ) -> Visit<'a> {
        Visit {
            run,
            target,
            ec2: self.ec2(&actor, &target.region),
            at: actor.at(&target.region),
            actor,
        }
    }
}
