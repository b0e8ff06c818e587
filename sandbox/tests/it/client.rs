//! A client that signs with AWS's own signer and sends requests by hand, so that no SDK repairs
//! them.

use std::time::{Duration, SystemTime};

use amiferry_sandbox::Sandbox;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation,
    SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use bytes::Bytes;
use http::{Method, Request, Response};
use serde_json::Value;

pub type Params<'a> = &'a [(&'a str, &'a str)];

#[derive(Clone, Debug)]
pub struct Client {
    pub sandbox: Sandbox,
    pub region: String,
    pub key: String,
    pub secret: String,
    pub token: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub refusal: Option<String>,
    /// AWS's error code, from its place in the protocol.
    pub code: Option<String>,
    pub body: String,
}

impl Answer {
    /// Returns the text of the first element of this name.
    pub fn text(&self, tag: &str) -> Option<String> {
        let (_, rest) = self.body.split_once(&format!("<{tag}>"))?;
        rest.split_once(&format!("</{tag}>"))
            .map(|(text, _)| text.to_owned())
    }

    pub fn texts(&self, tag: &str) -> Vec<String> {
        let (start, end) = (format!("<{tag}>"), format!("</{tag}>"));
        let parts = self
            .body
            .split(&start)
            .skip(1)
            .filter_map(|part| part.split_once(&end));
        parts.map(|(text, _)| text.to_owned()).collect()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.status / 100, 2, "{self:?}");
        self
    }
}

impl From<Response<Bytes>> for Answer {
    fn from(response: Response<Bytes>) -> Self {
        let header = |name| {
            let value = response.headers().get(name);
            value.map(|value: &http::HeaderValue| value.to_str().expect("ascii").to_owned())
        };
        let mut answer = Self {
            status: response.status().as_u16(),
            refusal: header("x-sandbox-refusal"),
            code: None,
            body: String::from_utf8_lossy(response.body()).into_owned(),
        };
        let in_json = answer.json()["__type"].as_str().map(str::to_owned);
        answer.code = answer
            .text("Code")
            .or(in_json)
            .or_else(|| header("x-amzn-errortype"));
        answer
    }
}

/// Returns the settings for S3, whose paths are signed as sent.
fn of_s3() -> SigningSettings {
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings
}

fn form(action: &str, version: &str, params: Params<'_>) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("Action", action)
        .append_pair("Version", version);
    form.extend_pairs(params);
    form.finish()
}

impl Client {
    pub fn new(sandbox: &Sandbox, region: &str, key: &str, secret: &str) -> Self {
        Self {
            sandbox: sandbox.clone(),
            region: region.to_owned(),
            key: key.to_owned(),
            secret: secret.to_owned(),
            token: None,
        }
    }

    pub fn in_region(&self, region: &str) -> Self {
        Self {
            region: region.to_owned(),
            ..self.clone()
        }
    }

    /// Returns the Regional endpoint of a service.
    pub fn host(&self, service: &str) -> String {
        let suffix = if self.region.starts_with("cn-") {
            "amazonaws.com.cn"
        } else {
            "amazonaws.com"
        };
        format!("{service}.{}.{suffix}", self.region)
    }

    pub async fn ec2(&self, action: &str, params: Params<'_>) -> Answer {
        self.answer(self.query("ec2", action, "2016-11-15", params))
            .await
    }

    pub async fn sts(&self, action: &str, params: Params<'_>) -> Answer {
        self.answer(self.query("sts", action, "2011-06-15", params))
            .await
    }

    pub async fn kms(&self, operation: &str, body: Value) -> Answer {
        self.answer(self.json(operation, body.to_string())).await
    }

    pub async fn states(&self, operation: &str, body: Value) -> Answer {
        let request = Request::post(format!("https://{}/", self.host("states")))
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", format!("AWSStepFunctions.{operation}"))
            .body(Bytes::from(body.to_string()));
        self.answer(self.signed("states", request.expect("a request")))
            .await
    }

    pub async fn ssm(&self, operation: &str, body: Value) -> Answer {
        let request = Request::post(format!("https://{}/", self.host("ssm")))
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("AmazonSSM.{operation}"))
            .body(Bytes::from(body.to_string()));
        self.answer(self.signed("ssm", request.expect("a request")))
            .await
    }

    pub async fn organizations(&self, operation: &str, body: Value) -> Answer {
        self.answer(self.organizations_request(operation, body.to_string()))
            .await
    }

    pub async fn stacks(&self, action: &str, params: Params<'_>) -> Answer {
        self.answer(self.query("cloudformation", action, "2010-05-15", params))
            .await
    }

    pub async fn groups(&self, action: &str, params: Params<'_>) -> Answer {
        self.answer(self.query("autoscaling", action, "2011-01-01", params))
            .await
    }

    /// Calls IAM, signed for its only endpoint whatever the client's Region.
    pub async fn iam(&self, action: &str, params: Params<'_>) -> Answer {
        let home = self.in_region("us-east-1");
        let body = form(action, "2010-05-08", params);
        let request = Request::post("https://iam.amazonaws.com/")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Bytes::from(body));
        self.answer(home.signed("iam", request.expect("a request")))
            .await
    }

    /// Returns a request signed for the only endpoint of Organizations, whatever the client's
    /// Region.
    pub fn organizations_request(&self, operation: &str, body: String) -> Request<Bytes> {
        let home = self.in_region("us-east-1");
        let target = format!("AWSOrganizationsV20161128.{operation}");
        let request = Request::post("https://organizations.us-east-1.amazonaws.com/")
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", target)
            .body(Bytes::from(body));
        home.signed("organizations", request.expect("a request"))
    }

    /// Acts as a service-linked role, as its service does.
    pub fn as_service(&self, role: &str) -> Self {
        let issued = self.sandbox.edit(|aws| aws.act_as_service(role));
        let issued = issued.expect("a service-linked role");
        Self {
            key: issued.access_key_id,
            secret: issued.secret_access_key,
            token: Some(issued.session_token),
            ..self.clone()
        }
    }

    pub async fn assume(&self, role: &str, more: Params<'_>) -> Self {
        let mut params = vec![("RoleArn", role), ("RoleSessionName", "test")];
        params.extend_from_slice(more);
        let answer = self.sts("AssumeRole", &params).await.ok();
        Self {
            key: answer.text("AccessKeyId").expect("a key"),
            secret: answer.text("SecretAccessKey").expect("a secret"),
            token: answer.text("SessionToken"),
            ..self.clone()
        }
    }

    pub async fn answer(&self, request: Request<Bytes>) -> Answer {
        self.sandbox.send(request).await.expect("an answer").into()
    }

    pub fn query(
        &self,
        service: &str,
        action: &str,
        version: &str,
        params: Params<'_>,
    ) -> Request<Bytes> {
        let body = form(action, version, params);
        let request = Request::post(format!("https://{}/", self.host(service)))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Bytes::from(body));
        self.signed(service, request.expect("a request"))
    }

    pub fn json(&self, operation: &str, body: String) -> Request<Bytes> {
        let request = Request::post(format!("https://{}/", self.host("kms")))
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("TrentService.{operation}"))
            .body(Bytes::from(body));
        self.signed("kms", request.expect("a request"))
    }

    pub fn invoke(&self, function: &str, kind: &str, payload: Vec<u8>) -> Request<Bytes> {
        let uri = format!(
            "https://lambda.{}.amazonaws.com/2015-03-31/functions/{function}/invocations",
            self.region
        );
        let request = Request::post(uri)
            .header("x-amz-invocation-type", kind)
            .body(Bytes::from(payload));
        self.signed("lambda", request.expect("a request"))
    }

    pub fn signed(&self, service: &str, request: Request<Bytes>) -> Request<Bytes> {
        self.signed_at(service, request, self.sandbox.now())
    }

    pub fn signed_at(
        &self,
        service: &str,
        mut request: Request<Bytes>,
        at: SystemTime,
    ) -> Request<Bytes> {
        let mut settings = SigningSettings::default();
        if service == "s3" {
            settings = of_s3();
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        self.apply(service, &mut request, at, settings);
        request
    }

    /// Signs a request for S3 without the header that declares the payload.
    pub fn signed_bare(&self, mut request: Request<Bytes>) -> Request<Bytes> {
        self.apply("s3", &mut request, self.sandbox.now(), of_s3());
        request
    }

    /// Returns a presigned GET, as CopySnapshot takes it as a parameter.
    pub fn presigned(&self, params: Params<'_>) -> String {
        self.presigned_for(Duration::from_hours(1), params)
    }

    pub fn presigned_for(&self, lives: Duration, params: Params<'_>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("Action", "CopySnapshot")
            .append_pair("Version", "2016-11-15");
        query.extend_pairs(params);
        let uri = format!("https://{}/?{}", self.host("ec2"), query.finish());
        let request = Request::builder()
            .method(Method::GET)
            .uri(uri)
            .body(Bytes::new());
        let mut request = request.expect("a request");
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(lives);
        self.apply("ec2", &mut request, self.sandbox.now(), settings);
        request.uri().to_string()
    }

    fn apply(
        &self,
        service: &str,
        request: &mut Request<Bytes>,
        at: SystemTime,
        settings: SigningSettings,
    ) {
        let identity =
            Credentials::new(&self.key, &self.secret, self.token.clone(), None, "test").into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(service)
            .time(at)
            .settings(settings)
            .build()
            .expect("signing parameters")
            .into();
        let uri = request.uri().to_string();
        // The signer adds the header.
        let declared = request.headers_mut().remove("x-amz-content-sha256");
        let declared = declared.map(|value| value.to_str().expect("ascii").to_owned());
        let body = request.body().clone();
        let headers: Vec<(String, String)> = request
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().expect("ascii").to_owned()))
            .collect();
        let signable = SignableRequest::new(
            request.method().as_str(),
            uri.as_str(),
            headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
            declared.map_or(SignableBody::Bytes(&body), SignableBody::Precomputed),
        );
        let (instructions, _) = sign(signable.expect("signable"), &params)
            .expect("a signature")
            .into_parts();
        instructions.apply_to_request_http1x(request);
    }
}
