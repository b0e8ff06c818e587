//! The lines of a terminal.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::Value;

use super::{has_ended, percent, place};
use crate::print::text;

/// Lines that stay free, for the prompt and a note.
const FREE: usize = 3;
/// Lines of a window of unknown height.
const LINES: usize = 24;
/// The time and the percentage that must be seen of a copy, or its estimate would be a guess.
const SEEN_ENOUGH: (Duration, u64) = (Duration::from_secs(20), 5);

/// The lines of the targets, or one for all where there is no room.
#[derive(Debug)]
pub struct Terminal {
    all: MultiProgress,
    bars: Vec<Bar>,
    lines: usize,
}

/// A line of the terminal.
#[derive(Debug)]
struct Bar {
    line: ProgressBar,
    /// When the line first had a position above 0, and that position.
    begun: Option<(Instant, u64)>,
}

impl Bar {
    fn new(line: ProgressBar) -> Self {
        Self { line, begun: None }
    }

    /// Shows a position, and the estimate of the time that is left.
    fn show(&mut self, template: &str, position: u64) {
        let now = Instant::now();
        if position > 0 {
            self.begun.get_or_insert((now, position));
        }
        let (since, from) = self.begun.unwrap_or((now, position));
        let left = left(now - since, position.saturating_sub(from), 100 - position);
        self.line
            .set_style(style(&template.replace("{left}", &left)));
        self.line.set_position(position);
        self.line.tick();
    }
}

/// Returns the rate, and the time that is left if the rest goes on as fast as what was seen.
fn left(time: Duration, seen: u64, rest: u64) -> String {
    if time < SEEN_ENOUGH.0 || seen < SEEN_ENOUGH.1 {
        return String::new();
    }
    let seconds = time.as_secs();
    let rate = match seen * 60 / seconds {
        0 => format!("{} %/h", seen * 3600 / seconds),
        percent => format!("{percent} %/min"),
    };
    match seconds * rest / seen {
        left @ ..60 => format!(" {rate}, {left} s left"),
        left @ 60..36_000 => format!(" {rate}, {} min left", left.div_ceil(60)),
        left => format!(" {rate}, {} h left", left.div_ceil(3600)),
    }
}

impl Terminal {
    /// Shows lines on standard error.
    pub fn on_stderr() -> Self {
        let size = terminal_size::terminal_size_of(std::io::stderr());
        let lines = size.map_or(LINES, |(_, height)| usize::from(height.0));
        Self::new(MultiProgress::new(), lines)
    }

    fn new(all: MultiProgress, lines: usize) -> Self {
        Self {
            all,
            bars: Vec::new(),
            lines,
        }
    }

    /// Shows the targets as they are now.
    pub fn see(&mut self, targets: &[Value]) {
        let folded = targets.len() + FREE > self.lines;
        let count = if folded { 1 } else { targets.len() };
        if self.bars.len() != count {
            self.clear();
            // Until its target is shown a line is empty.
            let empty = || ProgressBar::new(100).with_style(style(""));
            let new = || Bar::new(self.all.add(empty()));
            self.bars = (0..count).map(|_| new()).collect();
        }
        if folded {
            show_all(&mut self.bars[0], targets);
            return;
        }
        let names: Vec<String> = targets.iter().map(name).collect();
        let widest = names.iter().map(String::len).max().unwrap_or_default();
        for ((bar, target), name) in self.bars.iter_mut().zip(targets).zip(names) {
            show_one(bar, target, &format!("{name:widest$}"));
        }
    }

    /// Prints a note above the lines.
    pub fn note(&self, text: &str) {
        // Nobody can be told that standard error is closed.
        let _ = self.all.println(text);
    }

    /// Takes the lines away.
    pub fn clear(&self) {
        let _ = self.all.clear();
    }
}

fn name(target: &Value) -> String {
    let (account, region) = place(target);
    format!("{account} {region}")
}

fn show_one(bar: &mut Bar, target: &Value, name: &str) {
    let status = text(target, "Status");
    bar.line.set_prefix(name.to_owned());
    let (template, message) = if has_ended(target) {
        let ended = format!("{status} {}", text(target, "ImageId"));
        ("{prefix}  {wide_msg}", ended.trim_end().to_owned())
    } else if status == "Copying" {
        ("{prefix}  {msg} {pos:>3}% {bar:14}{left}", status)
    } else {
        ("{prefix}  {msg}", status)
    };
    bar.line.set_message(message);
    bar.show(template, percent(target));
}

/// Shows all targets on one line: how many are in which phase.
fn show_all(bar: &mut Bar, targets: &[Value]) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for target in targets {
        *counts.entry(text(target, "Status")).or_default() += 1;
    }
    let counts: Vec<String> = counts
        .iter()
        .map(|(status, n)| format!("{n} {status}"))
        .collect();
    let count = u64::try_from(targets.len()).unwrap_or(u64::MAX).max(1);
    bar.line.set_prefix(format!("{} targets", targets.len()));
    bar.line.set_message(counts.join(", "));
    let position = targets.iter().map(percent).sum::<u64>() / count;
    bar.show("{prefix}  {pos:>3}% {bar:16}{left}  {wide_msg}", position);
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use indicatif::{InMemoryTerm, ProgressDrawTarget};
    use serde_json::json;

    use super::*;

    /// Returns the screen of a window of 80 columns.
    fn screen(lines: u16, seen: &[Vec<Value>]) -> String {
        let window = InMemoryTerm::new(lines, 80);
        let target = ProgressDrawTarget::term_like(Box::new(window.clone()));
        let mut terminal =
            Terminal::new(MultiProgress::with_draw_target(target), usize::from(lines));
        for targets in seen {
            terminal.see(targets);
        }
        window.contents()
    }

    fn at(account: usize, status: &str, progress: u8) -> Value {
        json!({"AccountId": format!("{account:012}"), "Region": "ap-southeast-2",
            "Status": status, "Progress": progress})
    }

    fn ended(account: usize) -> Value {
        json!({"AccountId": format!("{account:012}"), "Region": "us-west-2",
            "Status": "Succeeded", "ImageId": "ami-0a1b2c3d4e5f60718"})
    }

    #[test]
    fn each_target_has_a_line_of_at_most_eighty_columns() {
        let first = vec![at(1, "Looking", 0), at(2, "Looking", 0)];
        let then = vec![at(1, "Copying", 50), ended(2)];
        insta::assert_snapshot!(screen(24, &[first, then]), @r"
        000000000001 ap-southeast-2  Copying  50% =======>
        000000000002 us-west-2       Succeeded ami-0a1b2c3d4e5f60718
        ");
    }

    #[test]
    fn the_rate_and_the_time_left_follow_from_enough_progress_and_fits_beside_the_bar() {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        assert_eq!(left(minutes(10), 4, 90), "");
        assert_eq!(left(Duration::from_secs(19), 50, 50), "");
        assert_eq!(left(minutes(1), 60, 40), " 60 %/min, 40 s left");
        assert_eq!(left(minutes(10), 25, 75), " 2 %/min, 30 min left");
        assert_eq!(left(minutes(600), 10, 90), " 1 %/h, 90 h left");
        assert_eq!(left(minutes(1), 100, 0), " 100 %/min, 0 s left");
        // Name, phase, percentage and bar have 57 of 80 columns.
        assert!(left(minutes(66), 10, 90).len() <= 23);
        assert!(left(minutes(1), 99, 1).len() <= 23);
    }

    #[test]
    fn targets_that_do_not_fit_the_window_are_folded_into_a_line() {
        let mut targets: Vec<Value> = (0..20).map(|n| at(n, "Copying", 50)).collect();
        targets.extend((20..25).map(ended));
        insta::assert_snapshot!(
            screen(24, &[targets]),
            @"25 targets   60% =========>        20 Copying, 5 Succeeded"
        );
    }
}
