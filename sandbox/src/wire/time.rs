//! The four ways in which AWS writes a time.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Returns `2026-01-31T12:00:00.000Z`, as EC2 and STS write it.
pub(crate) fn iso(time: SystemTime) -> String {
    Timestamp::try_from(time).map_or_else(
        |_| String::new(),
        |t| t.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
    )
}

/// Returns `2026-01-31T12:00:00Z`, as STS writes expirations.
pub(crate) fn iso_seconds(time: SystemTime) -> String {
    Timestamp::try_from(time).map_or_else(
        |_| String::new(),
        |t| t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    )
}

/// Returns `Sat, 31 Jan 2026 12:00:00 GMT`, as S3's headers carry it.
pub(crate) fn http_date(time: SystemTime) -> String {
    Timestamp::try_from(time).map_or_else(
        |_| String::new(),
        |t| t.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(),
    )
}

/// Returns the seconds since 1970 with milliseconds, as KMS writes them.
pub(crate) fn epoch(time: SystemTime) -> f64 {
    let millis = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |d| d.as_millis());
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds since 1970 fit 53 bits"
    )]
    let seconds = millis as f64 / 1000.0;
    seconds
}

/// Reads `20260131T120000Z`, as signatures carry it.
pub(crate) fn parse_basic(text: &str) -> Option<SystemTime> {
    let civil = DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    let at = civil.to_zoned(TimeZone::UTC).ok()?.timestamp();
    Some(SystemTime::from(at))
}

/// Reads `2026-01-31T12:00:00Z`, with or without a fraction of a second.
pub(crate) fn parse_iso(text: &str) -> Option<SystemTime> {
    let at: Timestamp = text.parse().ok()?;
    text.ends_with('Z').then(|| SystemTime::from(at))
}

/// Returns a duration of AWS's, shortened by the world's speed.
pub(crate) fn scaled(duration: Duration, speed: f64) -> Duration {
    Duration::try_from_secs_f64(duration.as_secs_f64() / speed).unwrap_or(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_each_form_of_aws() {
        let time = parse_basic("20260131T120000Z").expect("a time") + Duration::from_millis(7);
        assert_eq!(iso(time), "2026-01-31T12:00:00.007Z");
        assert_eq!(iso_seconds(time), "2026-01-31T12:00:00Z");
        assert_eq!(http_date(time), "Sat, 31 Jan 2026 12:00:00 GMT");
        assert!((epoch(time) - 1_769_860_800.007).abs() < 0.000_1);
        assert_eq!(parse_basic("yesterday"), None);
        assert_eq!(parse_iso("2026-01-31T12:00:00.007Z"), Some(time));
        assert_eq!(parse_iso("2026-01-31"), None);
    }
}
