//! amiferry carries KMS-encrypted AMIs from one AWS account into many. Each target ends with its
//! own AMI under its own key, and nothing of the source stays shared.
//!
//! The modules, in the order of dependence. Each names only itself and modules listed above it; a
//! test checks this.
//!
//! - [`ids`], [`digest`], [`service_linked_role`], [`name`]: texts that are checked once, when they
//!   enter
//! - [`kms`]: the ARNs of keys, and the actions of EC2 and of service-linked roles on them
//! - [`denial`], [`error`]: refusals of AWS, and how a call can fail
//! - [`request`]: the validated request
//! - [`allowed`]: the principals that the settings allow
//! - [`event`]: the events that arrive
//! - [`setup`]: the function's settings
//! - [`source`]: the image to copy, as facts
//! - [`copies`]: copies of snapshots, and which of equal ones counts
//! - [`ledger`]: which run holds the source open: a pure record, and the rules of opening and
//!   closing
//! - [`cause`]: why a target failed
//! - [`state`]: what a run remembers between two calls
//! - [`command`]: commands and their outcomes
//! - [`publish`]: the decisions of publishing an image
//! - [`channel`]: the decisions about parameters that move in all targets together
//! - [`enroll`]: the decisions about targets without an image of a channel
//! - [`retention`]: the decisions about old copies
//! - [`remedy`]: what a person changes, where
//! - [`tags`], [`losses`]: the tags of a copy, and what else of the source it lacks
//! - [`plan`]: from request and facts to the first state
//! - [`step`]: the decisions, pure
//! - [`preflight`]: the findings about a run before it begins
//! - [`policy`], [`key_policy`]: the policies that the roles and keys need, as values; the policies
//!   of source keys, as texts to edit
//! - [`aws`]: performs commands with the real SDK clients
//! - [`engine`]: the only loop: decide, perform, record
//! - [`reply`]: the replies
//! - [`handler`]: one invocation, from payload to answer

#![warn(missing_docs)]

pub mod allowed;
pub mod aws;
pub mod cause;
pub mod channel;
pub mod command;
pub mod copies;
pub mod denial;
pub mod digest;
pub mod engine;
pub mod enroll;
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
pub mod publish;
pub mod remedy;
pub mod reply;
pub mod request;
pub mod retention;
pub mod service_linked_role;
pub mod setup;
pub mod source;
pub mod state;
pub mod step;
pub mod tags;

#[cfg(test)]
#[path = "."]
mod tests {
    use std::path::Path;

    /// The same file checks the sandbox, so both crates follow one rule.
    #[path = "../sandbox/tests/it/module_map.rs"]
    mod module_map;

    #[test]
    fn a_module_names_only_modules_listed_above_it() {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let faults = module_map::faults(&src, &src.join("lib.rs"));
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
}
