//! STS.
use crate::{aws::Aws, door::Admitted, refusals::{self, Refused}, wire::query::Query};
pub(crate) fn perform(_aws: &mut Aws, _c: &Admitted, op: &str, _q: &Query) -> Result<String, Refused> { Err(refusals::NOT_IMPLEMENTED.with(&[op])) }
