//! The way in from the same process: an HTTP connector for SDK clients. Requests arrive exactly as
//! they would leave for AWS.

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use http_body_util::BodyExt;

use crate::door;
use crate::runtime::Runtime;
use crate::wire::{Incoming, Reply};

#[derive(Debug)]
struct InProcess(Runtime);

pub(crate) fn http_client(runtime: Runtime) -> SharedHttpClient {
    let connector = SharedHttpConnector::new(InProcess(runtime));
    http_client_fn(move |_settings, _components| connector.clone())
}

impl HttpConnector for InProcess {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let runtime = self.0.clone();
        HttpConnectorFuture::new(async move {
            let incoming = read(request).await?;
            match door::receive(&runtime, incoming).await {
                Reply::Answer(response) => response
                    .map(|bytes| SdkBody::from(bytes.clone()))
                    .try_into()
                    .map_err(|error| ConnectorError::other(Box::new(error), None)),
                Reply::Reset => Err(ConnectorError::io("connection reset by peer".into())),
            }
        })
    }
}

async fn read(request: HttpRequest) -> Result<Incoming, ConnectorError> {
    let request: http::Request<SdkBody> = request
        .try_into_http1x()
        .map_err(|error| ConnectorError::user(Box::new(error)))?;
    let (head, body) = request.into_parts();
    let collected = body.collect().await.map_err(ConnectorError::io)?;
    Ok(Incoming::new(&head, collected.to_bytes()))
}
