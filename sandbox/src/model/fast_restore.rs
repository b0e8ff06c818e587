//! Fast snapshot restores.

use serde::Serialize;

/// The fast restore of a snapshot in an Availability Zone; read back with
/// [`Sandbox::fast_restores`](crate::Sandbox::fast_restores).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FastRestore {
    /// The ID of the snapshot.
    pub snapshot_id: String,
    /// The Availability Zone.
    pub availability_zone: String,
    /// The state: `enabling`, `optimizing`, `enabled`, `disabling` or `disabled`.
    pub state: String,
}
