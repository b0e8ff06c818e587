//! The versions of a parameter of Parameter Store.

use serde::Serialize;

/// A version of a parameter; read back with [`Sandbox::parameter`](crate::Sandbox::parameter).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ParameterVersion {
    /// The number, from 1.
    pub version: u64,
    /// The value.
    pub value: String,
    /// The data type: `text` or `aws:ec2:image`.
    pub data_type: String,
}
