//! KMS.
pub(crate) mod by_ec2;
use crate::{aws::Aws, door::Admitted, refusals::{self, Refused}};
pub(crate) fn perform(_aws: &mut Aws, _c: &Admitted, op: &str, _q: &serde_json::Value) -> Result<serde_json::Value, Refused> { Err(refusals::NOT_IMPLEMENTED.with(&[op])) }
