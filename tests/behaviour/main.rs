//! What the function does, against the sandbox: the real handler with the real SDK clients, in process, on a paused clock.

mod accounts;
mod bad_input;
mod chaos;
mod custom_resource;
mod distribute;
mod documents;
mod events;
mod faults;
mod hands;
mod hostile;
mod key_policy;
mod launch_grants;
mod machine;
mod model;
mod organization;
mod pairs;
mod preflight;
mod process;
mod resume;
mod share;
mod sources;
mod staging;
mod support;
mod sweep;
mod tables;
mod twice;
