//! The sweeper: closes what outlived its run. A run that an execution works on is over when the execution is; any other when no
//! copy can last that long.

use serde_json::{Value, json};
use tracing::{info, warn};

use super::{Handler, Invocation, budget};
use crate::aws::{Aws, OpenRun};
use crate::engine::{Progress, advance};
use crate::error::Error;
use crate::ids::Region;
use crate::plan;
use crate::reply::{Status, notice};
use crate::step::COPY_LIMIT;

/// Seconds after which a run that no execution works on must be over.
const LONGEST_RUN: i64 = COPY_LIMIT + 3600;

/// What became of one run that has the source open.
enum Swept {
    Closed,
    Alive,
    /// In words for a person.
    Stuck(String),
}

impl Handler {
    /// Closes what is open of runs that are over; `of` names one execution whose end was told.
    pub(super) async fn sweep(
        &self,
        aws: &Aws,
        of: Option<&str>,
        invocation: &Invocation,
    ) -> Result<Value, Error> {
        let (mut closed, mut alive, mut stuck) = (Vec::new(), Vec::new(), Vec::new());
        for region in self.swept_regions(invocation)? {
            for open in aws.open_runs(&region).await? {
                if of.is_some() && open.mark.execution.as_deref() != of {
                    continue;
                }
                let told = json!({"RunId": open.run, "Region": region});
                let run = open.run.clone();
                let swept = match self.is_alive(aws, &open).await {
                    Ok(true) => Ok(Swept::Alive),
                    Ok(false) => self.close(aws, open, invocation).await,
                    Err(error) => Err(error),
                };
                // One that cannot be closed keeps nobody from closing the others.
                match swept {
                    Ok(Swept::Closed) => closed.push(told),
                    Ok(Swept::Alive) => alive.push(told),
                    Ok(Swept::Stuck(said)) => {
                        warn!(run, said, "stuck");
                        stuck.push(said);
                    }
                    Err(error) => {
                        warn!(run, %error, "not closed");
                        stuck.push(format!("run {run} in {region} is not closed: {error}"));
                    }
                }
            }
        }
        info!(
            closed = closed.len(),
            alive = alive.len(),
            stuck = stuck.len(),
            "swept"
        );
        if stuck.is_empty() {
            Ok(json!({"Closed": closed, "Alive": alive}))
        } else {
            // As an error it reaches the dead letters, and a person.
            Err(Error::Internal(stuck.join("\n\n")))
        }
    }

    fn swept_regions(&self, invocation: &Invocation) -> Result<Vec<Region>, Error> {
        let mut regions = vec![self.defaults(invocation)?.region];
        for name in &self.settings.sweep_regions {
            let region = Region::parse(name)
                .map_err(|e| Error::invalid("AMIFERRY_SWEEP_REGIONS", e.to_string()))?;
            if !regions.contains(&region) {
                regions.push(region);
            }
        }
        Ok(regions)
    }

    async fn is_alive(&self, aws: &Aws, open: &OpenRun) -> Result<bool, Error> {
        match (&open.mark.execution, &self.settings.state_machine) {
            (Some(execution), Some(machine)) => aws.is_running(machine, execution).await,
            _ => Ok(aws.now() - open.mark.since < LONGEST_RUN),
        }
    }

    async fn close(
        &self,
        aws: &Aws,
        open: OpenRun,
        invocation: &Invocation,
    ) -> Result<Swept, Error> {
        let budget = budget(aws, invocation, i64::MAX)?;
        let mut state = plan::close(open.source, &open.run, aws.now());
        let accounts = aws
            .let_in(&state, &open.mark)
            .await
            .map_err(Error::from_refusal)?;
        plan::let_in(&mut state, accounts)?;
        info!(
            run = state.run,
            accounts = state.targets.len(),
            "closing what outlived its run"
        );
        let nothing = Err("a run that is over copies nothing".to_owned());
        if advance(aws, &mut state, &nothing, budget).await != Progress::Ended {
            return Err(Error::Internal(
                "the time was up; the next sweep goes on".to_owned(),
            ));
        }
        if Status::of(&state) != Status::Stuck {
            return Ok(Swept::Closed);
        }
        let notice = notice::of(&state);
        let said = notice["Message"].as_str().unwrap_or_default();
        Ok(Swept::Stuck(said.to_owned()))
    }
}
