//! The policies that this system needs, as values: the session policy of a run, and the documents
//! that a request needs for its roles and keys.

mod channel;
mod documents;
mod publishing;
mod retention;
mod session;
mod statement;

pub use channel::channel_policy;
pub use documents::{Caller, Document, Purpose, documents, template};
pub use retention::retention_policy;
pub use session::session_policies;
