//! The function's log, kept to be looked through.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Metadata, Subscriber};

/// More bytes than any case writes.
const MOST: usize = 16 * 1024 * 1024;

#[derive(Debug, Clone, Default)]
pub struct Log {
    lines: Arc<Mutex<String>>,
    everything: bool,
}

impl Log {
    /// Makes a log of all levels.
    pub fn of_everything() -> Self {
        Self {
            everything: true,
            ..Self::default()
        }
    }

    /// Keeps what this thread logs until the guard is dropped.
    pub fn listen(&self) -> DefaultGuard {
        tracing::subscriber::set_default(self.clone())
    }

    pub fn text(&self) -> String {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Subscriber for Log {
    /// Keeps all lines at the usual level, and this crate's at the lowest too.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let ours = metadata.target().starts_with("amiferry");
        self.everything || *metadata.level() <= if ours { Level::DEBUG } else { Level::INFO }
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        attributes.record(&mut Line(self));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut Line(self));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Line(self));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line<'a>(&'a Log);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = self.0.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if text.len() < MOST {
            let _ = writeln!(text, "{}={value:?}", field.name());
        }
    }
}
