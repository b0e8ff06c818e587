//! An execution of the state machine that ended badly: stopped, or out of time, it has concluded
//! nothing. Its caller is answered, its targets are tidied, and what it holds open is closed.

use serde_json::Value;
use tracing::warn;

use super::begin::NOTHING;
use super::{Handler, Invocation, answer_by};
use crate::aws::Aws;
use crate::error::Error;
use crate::event::Turn;
use crate::event::custom_resource::CustomResource;
use crate::event::job::{AT_ONCE, Call, Job};
use crate::ledger::RunStatus;
use crate::reply::cloudformation::Answer;
use crate::state::{State, TargetPhase};

const ENDED: &str = "the execution was stopped, or failed, before it was done";

impl Handler {
    pub(super) async fn execution_ended(
        &self,
        aws: &Aws,
        machine: &str,
        name: &str,
        invocation: &Invocation,
    ) -> Result<Value, Error> {
        let input = aws.execution_input(machine, name).await;
        if let Some(job) = input.map_err(Error::from_refusal)? {
            self.conclude_for(aws, &job, name, invocation).await?;
        }
        self.sweep(aws, Some(name), true, invocation).await
    }

    /// Does the work of the execution's own end, unless that has done it.
    async fn conclude_for(
        &self,
        aws: &Aws,
        job: &Value,
        name: &str,
        invocation: &Invocation,
    ) -> Result<(), Error> {
        let call = Call {
            job: job.clone(),
            execution: name.to_owned(),
            last: Value::Null,
            at_once: AT_ONCE,
            parts: Value::Null,
            failed: Some(ENDED.to_owned()),
        };
        let resource = match Job::parse(job) {
            Ok(Job::CustomResource(resource, url_at)) => {
                self.tell_of_the_end(aws, &resource, url_at.as_deref(), invocation)
                    .await?;
                Some(*resource)
            }
            Ok(Job::Distribute(_)) => None,
            Err(_) => return Ok(()),
        };
        let Some(mut state) = self.recover(aws, &call, invocation).await? else {
            return Ok(());
        };
        let run = aws.run_record(&state.run).await;
        let run = run.map_err(Error::from_refusal)?;
        let unconcluded =
            run.is_some_and(|run| run.executions.contains(name) && run.status != RunStatus::Ended);
        if unconcluded {
            warn!(
                run = state.run,
                execution = name,
                "tidied after an execution that ended"
            );
            self.tidy_after(aws, &mut state, resource, invocation)
                .await?;
        }
        Ok(())
    }

    /// Answers CloudFormation; an answer that was given has taken the ResponseURL with it.
    async fn tell_of_the_end(
        &self,
        aws: &Aws,
        resource: &CustomResource,
        url_at: Option<&str>,
        invocation: &Invocation,
    ) -> Result<(), Error> {
        let id = resource.physical_resource_id.as_deref();
        let answer = Answer::failure(id.unwrap_or(NOTHING), ENDED);
        let by = answer_by(aws, invocation);
        self.answer(aws, resource, url_at, &answer, by).await
    }

    async fn tidy_after(
        &self,
        aws: &Aws,
        state: &mut State,
        resource: Option<CustomResource>,
        invocation: &Invocation,
    ) -> Result<(), Error> {
        for target in &mut state.targets {
            target.phase = TargetPhase::Undoing;
        }
        let turn = Turn::first(resource, None, true);
        let done = self.go_on(aws, state, None, &turn, invocation);
        done.await.map(drop)
    }
}
