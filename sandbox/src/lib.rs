//! An AWS that says no: EC2 images, snapshots and their launch, KMS, STS, Organizations, S3's
//! objects, a little of IAM, Lambda's Invoke and Step Functions' executions, as strict as the real ones.
//!
//! It speaks the real wire protocols to unmodified clients, in process and over HTTP on 127.0.0.1, models time
//! without background tasks, keeps a ledger of every call and lets tests break any of them. What it does not model
//! it refuses loudly; it never pretends.
//!
//! In data-flow order: [`world`] describes, `aws` lives, `server` and `connector` receive, `wire` decodes, `door`
//! admits, `ec2`, `kms`, `sts`, `organizations`, `roles` (IAM), `s3` and `lambda` decide with `iam`,
//! and [`refusals`] holds every no, with its source.

mod aws;
mod clock;
mod connector;
mod door;
mod ec2;
pub mod iam;
mod identity;
mod inspect;
mod kms;
mod lambda;
mod ledger;
mod model;
mod organizations;
pub mod refusals;
mod roles;
mod s3;
mod sandbox;
mod server;
mod states;
mod sts;
mod wire;
pub mod world;

pub use aws::{Aws, SessionCredentials};
pub use ledger::{Answer, AnswerRefusal, Call, Fault, LambdaInvocation};
pub use model::{
    BlockDeviceMapping, Ebs, Ec2Settings, Grant, Image, Instance, LaunchPermission, Snapshot,
};
pub use sandbox::Sandbox;
pub use server::Server;
pub use world::{
    AccessKey, Account, Bucket, FULL_AWS_ACCESS, Key, Limits, Organization, OrganizationalUnit,
    Role, User, World, WorldError,
};
