//! An AWS that says no, as strict as the real one: EC2 images, snapshots and their launch, KMS,
//! STS, Organizations, S3's buckets and objects, a little of IAM, Lambda's Invoke, Step Functions'
//! executions, Parameter Store and the outputs of CloudFormation's stacks.
//!
//! The sandbox speaks the real wire protocols to unmodified clients, in process and over HTTP on
//! 127.0.0.1. Time passes without background tasks. A ledger keeps every call, and tests can break
//! any of them. The sandbox refuses everything that it does not model.
//!
//! The modules, in the order of their dependence. Each names only modules above it, which a test
//! checks:
//!
//! - [`refusals`]: every refusal of AWS, with its source
//! - `wire`: requests and answers as bytes, and Signature Version 4
//! - `members`: members of a JSON request, which the services read alike
//! - `clock`: the time of a sandbox
//! - `ledger`: calls, faults, and the other things that tests ask after
//! - `model`: images, snapshots, volumes, grants, instances, and the places that name an image
//! - [`iam`]: policies, and how they are evaluated
//! - [`world`]: the world that a sandbox starts from, as declared
//! - `rules`: the rules that hold for declared resources and for resources that a call creates
//! - `aws`: the live world
//! - `identity`: the caller of an operation, and what its own policies allow
//! - `kms`, `ec2`, `sts`, `organizations`, `roles`, `s3`, `lambda`, `states`, `cloudformation`: the
//!   services, which decide what a call does (`roles` is IAM, `states` Step Functions)
//! - `ssm`: Parameter Store, which looks at images as EC2 does
//! - `autoscaling`: Auto Scaling, which launches instances as EC2 does
//! - `runtime`: a live world with its clock, ledger and faults
//! - `inspect`: the sandbox's own paths, `/_sandbox/…`
//! - `door`: the way of a call: recognised, admitted, performed, answered
//! - `connector`, `server`: the two ways in, in process and over HTTP
//! - `sandbox`: the handle that tests and programs hold

#![warn(missing_docs)]

mod autoscaling;
mod aws;
mod clock;
mod cloudformation;
mod connector;
mod door;
mod ec2;
pub mod iam;
mod identity;
mod inspect;
mod kms;
mod lambda;
mod ledger;
mod members;
mod model;
mod organizations;
pub mod refusals;
mod roles;
mod rules;
mod runtime;
mod s3;
mod sandbox;
mod server;
mod ssm;
mod states;
mod sts;
mod wire;
pub mod world;

pub use aws::{Aws, SessionCredentials};
pub use ledger::{Answer, AnswerRefusal, Call, Fault, LambdaInvocation};
pub use model::{
    BlockDeviceMapping, Ebs, Ec2Settings, FastRestore, Grant, Image, Instance, LaunchPermission,
    LaunchTemplateMapping, LaunchTemplateVersion, LaunchTemplateVersions, ParameterVersion,
    Snapshot, Volume,
};
pub use sandbox::Sandbox;
pub use server::Server;
pub use world::{
    AccessKey, Account, Bucket, FULL_AWS_ACCESS, Facts, Key, LaunchTemplate, Limits, Organization,
    OrganizationalUnit, Parameter, Role, Stack, User, World, WorldError,
};
