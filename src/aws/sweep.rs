//! The sweeper's work on one resource's record, and on an attempt that is over.

use super::Aws;
use super::closing::ClosedAttempt;
use crate::error::Refusal;
use crate::ledger::{Attempt, Record, Run};

impl Aws {
    /// Closes everything that an attempt holds, once its work is over, and deletes its staged
    /// copies.
    pub async fn close_over(&self, run: &Run, attempt: &Attempt) -> Result<ClosedAttempt, Refusal> {
        let run = self
            .announce_end(attempt)
            .await?
            .unwrap_or_else(|| run.clone());
        Ok(self.close_attempt(&run, attempt, None).await)
    }

    /// Finishes the closings of one resource that their processes left half-way, and takes off a
    /// dead process's lock.
    pub async fn finish_half_closed(&self, record: &Record) -> Result<Vec<Attempt>, Refusal> {
        let Some(site) = record.site() else {
            return Ok(Vec::new());
        };
        let half = record.half_closed(self.now());
        for attempt in &half {
            self.finish_closing(&site, attempt).await?;
        }
        self.break_dead_lock(record).await?;
        Ok(half)
    }
}
