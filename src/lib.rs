//! amiferry carries KMS-encrypted AMIs from one AWS account into many: each target ends with its
//! own AMI under its own key, and nothing of the source stays shared.
//!
//! The map of the house, in the order in which data flows. Each module depends only on those above
//! it:
//!
//! - [`ids`], [`digest`], [`service_linked_role`], [`name`], [`kms`]: words checked once, at the
//!   door
//! - [`denial`], [`error`]: what AWS refused, and how a call can fail
//! - [`request`]: the validated wish
//! - [`allowed`]: who may be given anything
//! - [`event`]: what arrives
//! - [`setup`]: the function's settings
//! - [`source`]: the image to copy, as facts
//! - [`copies`]: copies of snapshots, and which of equal ones counts
//! - [`ledger`]: which run holds the source open: a pure record, and the rules of opening and
//!   closing
//! - [`cause`]: why a target failed
//! - [`state`]: what a run remembers between two calls
//! - [`command`]: what can be done, and what came of it
//! - [`remedy`]: what a person changes, where
//! - [`tags`], [`losses`]: the tags of a copy, and what else of the source it will lack
//! - [`plan`]: from wish and facts to the first state
//! - [`step`]: the decisions, pure
//! - [`preflight`]: what would stand in the way
//! - [`policy`], [`key_policy`]: the policies this system needs, as values; and those of source
//!   keys, as texts to edit
//! - [`aws`]: performs commands with the real SDK clients
//! - [`engine`]: the only loop: decide, perform, record
//! - [`reply`]: what leaves
//! - [`handler`]: one invocation, from payload to answer

pub mod allowed;
pub mod aws;
pub mod cause;
pub mod command;
pub mod copies;
pub mod denial;
pub mod digest;
pub mod engine;
pub mod error;
pub mod event;
pub mod handler;
pub mod ids;
pub mod key_policy;
pub mod kms;
pub mod ledger;
pub mod losses;
pub mod name;
pub mod plan;
pub mod policy;
pub mod preflight;
pub mod remedy;
pub mod reply;
pub mod request;
pub mod service_linked_role;
pub mod setup;
pub mod source;
pub mod state;
pub mod step;
pub mod tags;
