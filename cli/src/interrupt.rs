//! Ctrl-C: the first lets the step under way end, the second ends the program at once.

use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

use crate::failure::INTERRUPTED;

/// Seconds that a step has after the first Ctrl-C.
const GRACE: Duration = Duration::from_secs(10);
/// How often the clocks are compared.
const TICK: Duration = Duration::from_secs(1);
/// The two clocks differ by so much after the machine slept.
const SLEPT: Duration = Duration::from_secs(30);

/// Knows whether somebody pressed Ctrl-C.
#[derive(Debug, Clone)]
pub struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Takes over Ctrl-C from here on.
    pub fn listen() -> Self {
        let (pressed, seen) = watch::channel(false);
        tokio::spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                if pressed.send_replace(true) {
                    std::process::exit(i32::from(INTERRUPTED));
                }
            }
        });
        Self(seen)
    }

    /// Waits for Ctrl-C.
    pub async fn pressed(&mut self) {
        if self.0.wait_for(|pressed| *pressed).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits for Ctrl-C, and for the time that the step under way has afterwards. `tell` is called
    /// in between.
    pub async fn out_of_patience(&mut self, tell: impl FnOnce()) {
        self.pressed().await;
        tell();
        tokio::time::sleep(GRACE).await;
    }
}

/// Waits until the machine has slept. A call that slept must not go on: the ledger counts on no
/// process that lives longer than fifteen minutes.
pub async fn slept() {
    let (wall, steady) = (SystemTime::now(), Instant::now());
    loop {
        tokio::time::sleep(TICK).await;
        let wall = wall.elapsed().unwrap_or_default();
        if wall.saturating_sub(steady.elapsed()) > SLEPT {
            return;
        }
    }
}
