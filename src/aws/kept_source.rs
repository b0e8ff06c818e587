//! The source as an execution of the state machine read it, kept in the bucket for its children. A
//! thousand children that read the image themselves, at once when their copies end, would wait for
//! each other: EC2 answers twenty such calls a second.

use tracing::warn;

use super::Aws;
use crate::error::Error;
use crate::source::Source;
use crate::state::State;

impl Aws {
    /// Keeps the source for the children of this run's execution.
    pub async fn keep_source(&self, state: &State, source: &Source) -> Result<(), Error> {
        let Some(bucket) = &self.bucket else {
            return Ok(());
        };
        // A process that uses what KMS says of the keys asks KMS.
        let source = Source {
            aws_managed_keys: Vec::new(),
            unusable_keys: Vec::new(),
            ..source.clone()
        };
        let body = serde_json::to_vec(&source).map_err(|e| Error::Internal(e.to_string()))?;
        self.keep(bucket, &key(state), body).await
    }

    /// Returns the kept source of a child's execution. Without it, a child reads the image.
    pub async fn kept_source(&self, state: &State) -> Option<Source> {
        let bucket = self.bucket.as_ref().filter(|_| state.part)?;
        match self.kept(bucket, &key(state)).await {
            Ok(body) => serde_json::from_slice(&body?).ok(),
            Err(error) => {
                warn!(run = state.run, %error, "the kept source could not be read");
                None
            }
        }
    }
}

fn key(state: &State) -> String {
    format!("{}source.json", state.prefix())
}
