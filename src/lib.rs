//! amiferry.
pub use aws_sdk_ec2 as _ec2;
