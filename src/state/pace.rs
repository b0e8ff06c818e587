//! The pace of the commands about one target, or about the source.

use serde::{Deserialize, Serialize};

use super::is_default;

/// When the next command is due, and how many of the last ones failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct Pace {
    /// When the next command is due (Unix seconds).
    #[serde(skip_serializing_if = "is_default")]
    pub due: i64,
    /// The number of consecutive failed commands that may succeed later.
    #[serde(skip_serializing_if = "is_default")]
    pub tries: u32,
}

impl Pace {
    /// Counts a failed command, and plans the next one, ever later.
    pub fn failed(&mut self, now: i64) {
        self.tries += 1;
        self.due = now + backoff(self.tries);
    }
}

/// Returns the seconds to wait after the `tries`-th consecutive failure.
pub fn backoff(tries: u32) -> i64 {
    1_i64.checked_shl(tries.min(6)).unwrap_or(64).min(60)
}
