//! Every refusal of the sandbox: AWS's code, HTTP status and wording, and their source.
//!
//! Operations refuse only with these. `{}` in a message is filled in. Sources: *model* is the
//! service model's documentation, *EC2 errors* the table of error codes in the EC2 developer guide.
//! Others are the guides of that name or a public report of a live answer. *unproved* marks a code
//! or wording that is ours, where AWS documents only that the call fails.

mod autoscaling;
mod cloudformation;
mod door;
mod ec2;
mod iam;
mod images;
mod instances;
mod kms;
mod launch_templates;
mod organizations;
mod s3;
mod ssm;
mod states;
mod sts;
mod volumes;

use std::fmt;

pub(crate) use autoscaling::*;
pub(crate) use cloudformation::*;
pub(crate) use door::*;
pub(crate) use ec2::*;
pub(crate) use iam::*;
pub(crate) use images::*;
pub(crate) use instances::*;
pub(crate) use kms::*;
pub(crate) use launch_templates::*;
pub(crate) use organizations::*;
pub(crate) use s3::*;
pub(crate) use ssm::*;
pub(crate) use states::*;
pub(crate) use sts::*;
pub(crate) use volumes::*;

/// A refusal, with its source.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The sandbox's own name of the refusal, sent as the header `x-sandbox-refusal`.
    pub name: &'static str,
    /// The HTTP status; 200 for a copy or a launch that is accepted and fails later.
    pub status: u16,
    /// AWS's error code; `error` for a copy that ends in this state, the state reason's code for an
    /// instance.
    pub code: &'static str,
    /// AWS's message; `{}` is filled in.
    pub message: &'static str,
    /// The source that documents the refusal.
    pub source: &'static str,
}

/// A refusal about to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub refusal: &'static Refusal,
    pub message: String,
    /// Further elements of S3's error document, and headers by their `x-amz-…` names.
    pub details: Vec<(&'static str, String)>,
}

impl Refused {
    pub(crate) fn detail(mut self, name: &'static str, value: &str) -> Self {
        self.details.push((name, value.to_owned()));
        self
    }
}

impl Refusal {
    pub(crate) fn with(&'static self, values: &[&str]) -> Refused {
        let mut parts = self.message.split("{}");
        let mut message = parts.next().unwrap_or_default().to_owned();
        for (i, part) in parts.enumerate() {
            message.push_str(values.get(i).copied().unwrap_or_default());
            message.push_str(part);
        }
        Refused {
            refusal: self,
            message,
            details: Vec::new(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}: {} [{}]",
            self.status, self.code, self.message, self.source
        )
    }
}

/// Returns all refusals, in the order of the files.
pub fn all() -> Vec<&'static Refusal> {
    let tables = [
        autoscaling::TABLE,
        cloudformation::TABLE,
        door::TABLE,
        ec2::TABLE,
        iam::TABLE,
        images::TABLE,
        instances::TABLE,
        kms::TABLE,
        launch_templates::TABLE,
        organizations::TABLE,
        s3::TABLE,
        ssm::TABLE,
        states::TABLE,
        sts::TABLE,
        volumes::TABLE,
    ];
    tables.concat()
}

/// `NAME = status, code, message, source;`
macro_rules! table {
    ($($name:ident = $status:literal, $code:literal, $message:literal, $source:literal;)*) => {
        $(
            pub(crate) static $name: crate::refusals::Refusal = crate::refusals::Refusal {
                name: stringify!($name),
                status: $status,
                code: $code,
                message: $message,
                source: $source,
            };
        )*
        pub(super) static TABLE: &[&crate::refusals::Refusal] = &[$(&$name),*];
    };
}
use table;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_refusal_is_complete_and_has_a_unique_name() {
        let mut names = BTreeSet::new();
        for refusal in all() {
            assert!(
                names.insert(refusal.name),
                "the name {} is not unique",
                refusal.name
            );
            assert!(!refusal.source.is_empty() && !refusal.code.is_empty());
            assert!(
                matches!(refusal.status, 200 | 301 | 400..=599),
                "{}",
                refusal.name
            );
        }
    }

    #[test]
    fn values_fill_a_message_in_order() {
        let refused = INVALID_PARAMETER_VALUE.with(&["x", "Y"]);
        assert_eq!(refused.message, "Value (x) for parameter Y is invalid.");
    }
}
