//! The live check: proves on AWS the facts that no emulator can prove, with two accounts.
//!
//! The check makes an encrypted image of 1 GiB, a role and keys, all with the check's name and tag,
//! tries each fact on them, and removes them, whatever happened.
//!
//! - [`party`]: an account and the clients of its credentials
//! - [`patience`]: waiting for AWS
//! - [`scene`]: what the check makes
//! - [`copies`]: the attempts to copy
//! - [`fact`]: the facts, and what was seen of each
//! - [`facts`]: the experiments
//! - [`cleaning`]: removes what the check made
//! - [`report`]: the table, and the file for an issue

pub mod cleaning;
mod copies;
pub mod fact;
pub mod facts;
pub mod party;
pub mod patience;
pub mod report;
pub mod scene;
