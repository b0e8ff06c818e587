//! Waiting for AWS: ever longer pauses, and an end.

use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A wait that has begun.
#[derive(Debug)]
pub struct Waiting {
    began: Instant,
    most: Duration,
    pause: Duration,
}

impl Waiting {
    /// Begins to wait for no longer than this.
    pub fn at_most(most: Duration) -> Self {
        Self {
            began: Instant::now(),
            most,
            pause: FIRST_PAUSE,
        }
    }

    /// Waits for a while. Returns false at once if the time is up.
    pub async fn goes_on(&mut self) -> bool {
        if self.began.elapsed() >= self.most {
            return false;
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        true
    }

    /// Returns the time since the beginning, in words.
    pub fn so_far(&self) -> String {
        let seconds = self.began.elapsed().as_secs();
        if seconds == 0 {
            "less than a second".to_owned()
        } else {
            format!("{seconds} s")
        }
    }
}
