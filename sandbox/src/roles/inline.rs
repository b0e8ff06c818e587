//! PutRolePolicy and DeleteRolePolicy. The inline policies of a declared role are `policy-1` and so
//! on.
//!
//! Source: model. The limit on the length of all inline policies is not modelled.

use super::{Ask, changeable, input, lifecycle};
use crate::aws::Aws;
use crate::iam::Kind;
use crate::refusals::{self, Refused};

pub(super) fn put(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    input::only(ask, &["RoleName", "PolicyName", "PolicyDocument"])?;
    let name = input::required(ask, "PolicyName", 128, input::is_name)?;
    let text = input::required(ask, "PolicyDocument", 131_072, input::anything)?;
    let arn = changeable(aws, ask)?;
    let policy = lifecycle::parse(text, Kind::Identity)?;
    aws.put_role_policy(&arn, name, policy);
    Ok(String::new())
}

pub(super) fn delete(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    input::only(ask, &["RoleName", "PolicyName"])?;
    let name = input::required(ask, "PolicyName", 128, input::is_name)?;
    let arn = changeable(aws, ask)?;
    if aws.delete_role_policy(&arn, name) {
        return Ok(String::new());
    }
    Err(refusals::IAM_NO_SUCH_POLICY.with(&[name]))
}
