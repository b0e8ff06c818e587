//! What the function does, against the sandbox: the real handler with the real SDK clients, in process, on a paused clock.

mod accounts;
mod bad_input;
mod chaos;
mod custom_resource;
mod distribute;
mod events;
mod faults;
mod hostile;
mod launch_grants;
mod machine;
mod organization;
mod pairs;
mod process;
mod resume;
mod share;
mod sources;
mod staging;
mod support;
mod sweep;
mod twice;
