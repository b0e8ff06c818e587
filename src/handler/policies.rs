//! `Policies`: the permissions that a request would need, without doing it.

use serde_json::{Value, json};

use super::begin::{begin, run_of};
use super::{Handler, Invocation, LARGEST_REPLY, PATIENCE, budget, in_time, too_slow};
use crate::aws::Aws;
use crate::error::Error;
use crate::policy::{Document, documents, template};
use crate::request::Request;

impl Handler {
    /// Answers with the policies of exactly this request. Reads the source and changes nothing.
    pub(super) async fn policies(
        &self,
        aws: &Aws,
        request: &Value,
        invocation: &Invocation,
    ) -> Result<Value, Error> {
        let parsed = Request::parse(request, &self.defaults(invocation)?)?;
        let budget = budget(aws, invocation, PATIENCE)?;
        self.permit_words(aws, &parsed).await?;
        let run = run_of(request, &parsed);
        let reading = async {
            let begun = begin(aws, parsed, &run, false).await?;
            let caller = aws.caller().await?;
            let caller = caller.in_function(&invocation.function_arn);
            let bucket = self.settings.bucket.as_deref();
            Ok((begun, caller.with_ledger(bucket)))
        };
        let read = in_time(aws, &budget, reading).await;
        let (begun, caller) = read.unwrap_or_else(|| Err(too_slow()))?;
        let source = begun.source.map_err(Error::SourceNotFound)?;
        let documents = documents(
            &begun.state,
            &source,
            begun.request.audience.as_ref(),
            &caller,
        );
        let reply = json!({
            "Status": "Succeeded",
            "Policies": documents.iter().map(Document::to_json).collect::<Vec<_>>(),
            "CloudFormation": template(&documents, &caller),
        });
        if reply.to_string().len() > LARGEST_REPLY {
            return Err(Error::invalid(
                "Targets",
                "has more policies than one answer holds; ask for fewer targets at a time",
            ));
        }
        Ok(reply)
    }
}
