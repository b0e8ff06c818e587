//! Encodes decisions in the protocol of each service.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::json;

use super::{Done, Service};
use crate::refusals::{self, Refused};
use crate::wire::xml::Xml;

const XML: &str = "text/xml;charset=UTF-8";
const JSON: &str = "application/x-amz-json-1.1";

/// An error, from the table of refusals or from a fault.
pub(super) struct Error<'a> {
    pub status: u16,
    pub code: &'a str,
    pub message: &'a str,
    /// The refusal's name in the table.
    pub name: Option<&'static str>,
    /// Further elements of S3's error document, and headers by their `x-amz-…` names.
    pub details: &'a [(&'static str, String)],
}

impl<'a> From<&'a Refused> for Error<'a> {
    fn from(no: &'a Refused) -> Self {
        Self {
            status: no.refusal.status,
            code: no.refusal.code,
            message: &no.message,
            name: Some(no.refusal.name),
            details: &no.details,
        }
    }
}

pub(super) fn success(
    service: Service,
    operation: &str,
    done: Done,
    request_id: &str,
) -> Response<Bytes> {
    match (done, service) {
        (Done::Xml(inner), Service::Ec2) => {
            let text = format!(
                "{DECLARATION}\
                 <{operation}Response xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
                 <requestId>{request_id}</requestId>{inner}</{operation}Response>"
            );
            respond(200, XML, text, request_id)
        }
        (Done::Xml(inner), _) => {
            let namespace = namespace(service);
            let text = format!(
                "<{operation}Response xmlns=\"{namespace}\">\
                 <{operation}Result>{inner}</{operation}Result><ResponseMetadata>\
                 <RequestId>{request_id}</RequestId></ResponseMetadata></{operation}Response>"
            );
            respond(200, XML, text, request_id)
        }
        // An operation without output has no body at all, not `null`.
        (Done::Json(serde_json::Value::Null), _) => respond(200, JSON, String::new(), request_id),
        (Done::Json(value), _) => respond(200, JSON, value.to_string(), request_id),
        (Done::Rest(rest), _) => {
            let mut response = respond_as_s3(rest.status, rest.body, request_id);
            for (name, value) in &rest.headers {
                put(&mut response, name, value);
            }
            response
        }
        (Done::Accepted, _) => respond(202, JSON, String::new(), request_id),
    }
}

/// Returns the XML namespace of a query service other than EC2.
fn namespace(service: Service) -> &'static str {
    match service {
        Service::Iam => "https://iam.amazonaws.com/doc/2010-05-08/",
        Service::CloudFormation => "http://cloudformation.amazonaws.com/doc/2010-05-15/",
        Service::AutoScaling => "http://autoscaling.amazonaws.com/doc/2011-01-01/",
        _ => "https://sts.amazonaws.com/doc/2011-06-15/",
    }
}

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

pub(super) fn error(service: Service, error: &Error<'_>, request_id: &str) -> Response<Bytes> {
    let mut response = match service {
        Service::Ec2 => respond(error.status, XML, ec2_error(error, request_id), request_id),
        Service::Sts | Service::Iam | Service::CloudFormation | Service::AutoScaling => {
            let text = query_error(service, error, request_id);
            respond(error.status, XML, text, request_id)
        }
        Service::S3 => s3_error(error, request_id),
        Service::Kms
        | Service::States
        | Service::Ssm
        | Service::Organizations
        | Service::Lambda => {
            let text = json_error(service, error);
            let mut response = respond(error.status, JSON, text, request_id);
            put(&mut response, "x-amzn-errortype", error.code);
            response
        }
    };
    if let Some(name) = error.name {
        put(&mut response, "x-sandbox-refusal", name);
    }
    response
}

fn ec2_error(error: &Error<'_>, request_id: &str) -> String {
    let mut xml = Xml::new();
    xml.element("Response", |xml| {
        xml.element("Errors", |xml| {
            xml.element("Error", |xml| {
                xml.text("Code", error.code).text("Message", error.message);
            });
        });
        xml.text("RequestID", request_id);
    });
    DECLARATION.to_owned() + &xml.finish()
}

/// Encodes an error of a query service other than EC2.
fn query_error(service: Service, error: &Error<'_>, request_id: &str) -> String {
    let mut xml = Xml::new();
    xml.element("Error", |xml| {
        let fault = if error.status < 500 {
            "Sender"
        } else {
            "Receiver"
        };
        xml.text("Type", fault);
        xml.text("Code", error.code).text("Message", error.message);
    });
    xml.text("RequestId", request_id);
    format!(
        "<ErrorResponse xmlns=\"{}\">{}</ErrorResponse>",
        namespace(service),
        xml.finish()
    )
}

fn json_error(service: Service, error: &Error<'_>) -> String {
    let body = match service {
        Service::Lambda => json!({"Type": "User", "Message": error.message}),
        Service::Organizations => {
            let mut body = json!({"__type": error.code, "Message": error.message});
            if let Some(reason) = error.name.and_then(refusals::reason) {
                body["Reason"] = json!(reason);
            }
            body
        }
        _ => json!({"__type": error.code, "message": error.message}),
    };
    body.to_string()
}

/// Encodes an error of S3. Source: S3 API reference, REST error responses.
fn s3_error(error: &Error<'_>, request_id: &str) -> Response<Bytes> {
    let (headers, elements): (Vec<_>, Vec<_>) = error
        .details
        .iter()
        .partition(|(name, _)| name.starts_with("x-amz-"));
    let mut xml = Xml::new();
    xml.element("Error", |xml| {
        xml.text("Code", error.code).text("Message", error.message);
        for (name, value) in elements {
            xml.text(name, value);
        }
        xml.text("RequestId", request_id);
        xml.text("HostId", host_id(request_id));
    });
    let text = DECLARATION.to_owned() + &xml.finish();
    let mut response = respond_as_s3(error.status, Bytes::from(text), request_id);
    put(&mut response, "content-type", "application/xml");
    for (name, value) in headers {
        put(&mut response, name, value);
    }
    response
}

fn respond_as_s3(status: u16, body: Bytes, request_id: &str) -> Response<Bytes> {
    let mut response = respond(status, "", String::new(), request_id);
    *response.body_mut() = body;
    for name in ["content-type", "x-amzn-requestid"] {
        response.headers_mut().remove(name);
    }
    put(&mut response, "x-amz-id-2", &host_id(request_id));
    response
}

fn host_id(request_id: &str) -> String {
    crate::aws::uuid_of(&format!("host {request_id}"))
}

fn respond(status: u16, content_type: &str, body: String, request_id: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    put(&mut response, "content-type", content_type);
    put(&mut response, "x-amzn-requestid", request_id);
    put(&mut response, "x-amz-request-id", request_id);
    response
}

fn put(response: &mut Response<Bytes>, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response
            .headers_mut()
            .insert(HeaderName::from_static(name), value);
    }
}
