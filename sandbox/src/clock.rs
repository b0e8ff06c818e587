//! The sandbox's clock: the wall clock at creation, continued by tokio's. Pausing tokio's clock
//! pauses AWS.

use std::time::{Duration, SystemTime};

use aws_smithy_async::time::TimeSource;
use tokio::time::Instant;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    began: SystemTime,
    anchor: Instant,
}

impl Clock {
    /// Starts at a whole second, so that a paused world runs the same way every time.
    pub(crate) fn start() -> Self {
        let wall = SystemTime::now();
        let seconds = wall
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |d| d.as_secs());
        Self {
            began: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
            anchor: Instant::now(),
        }
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.began + self.anchor.elapsed()
    }
}

impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        Clock::now(self)
    }
}
