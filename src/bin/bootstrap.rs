//! The Lambda function: tracing, clients, handler; nothing else.

use std::time::{Duration, UNIX_EPOCH};

use amiferry::error::Error;
use amiferry::handler::{Handler, Invocation};
use amiferry::setup::Settings;
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;
use serde_json::value::RawValue;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda_runtime::tracing::init_default_subscriber();
    let config = amiferry::setup::from_environment().await;
    let handler = Handler::new(config, Settings::from_environment());
    let handler = &handler;
    lambda_runtime::run(service_fn(
        async |event: LambdaEvent<Box<RawValue>>| -> Result<Value, Error> {
            let invocation = Invocation {
                deadline: Some(UNIX_EPOCH + Duration::from_millis(event.context.deadline)),
                function_arn: event.context.invoked_function_arn.clone(),
                function_name: event.context.env_config.function_name.clone(),
            };
            handler.handle(event.payload.get(), &invocation).await
        },
    ))
    .await
}
