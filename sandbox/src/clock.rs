//! The sandbox's clock: the wall clock at creation, carried on by tokio's. Where tokio's clock is paused, so is AWS.

use std::time::{Duration, SystemTime};

use aws_smithy_async::time::TimeSource;
use tokio::time::Instant;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    began: SystemTime,
    anchor: Instant,
}

impl Clock {
    /// Whole milliseconds, as AWS's timestamps have them.
    pub(crate) fn start() -> Self {
        let wall = SystemTime::now();
        let millis = wall
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(0));
        Self {
            began: SystemTime::UNIX_EPOCH + Duration::from_millis(millis),
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
