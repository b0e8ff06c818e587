//! Executions of state machines.

use std::time::SystemTime;

/// An execution of a state machine.
#[derive(Clone, Debug)]
pub(crate) struct Execution {
    pub machine: String,
    pub name: String,
    pub input: String,
    pub status: String,
    pub started: SystemTime,
    pub ended: Option<SystemTime>,
    /// The output of a succeeded execution.
    pub output: Option<String>,
    /// The error and the cause of a failed one.
    pub failure: Option<(String, String)>,
}

/// Returns `arn:…:execution:machine:name` for `arn:…:stateMachine:machine`.
pub(crate) fn execution_arn(machine: &str, name: &str) -> String {
    format!(
        "{}:{name}",
        machine.replacen(":stateMachine:", ":execution:", 1)
    )
}
