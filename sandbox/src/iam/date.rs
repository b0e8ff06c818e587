//! Times in condition values: ISO 8601 (`2026-01-31`, `2026-01-31T12:00:00Z`, with fraction or
//! offset) or seconds since 1970.

/// Returns milliseconds since 1970-01-01T00:00:00Z.
pub(super) fn parse(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<i64>() {
        return seconds.checked_mul(1_000);
    }
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut fields = date.split('-');
    let year = digits(fields.next()?, 4)?;
    let month = digits(fields.next()?, 2).filter(|month| (1..=12).contains(month))?;
    let day = digits(fields.next()?, 2).filter(|day| (1..=days_in(year, month)).contains(day))?;
    if fields.next().is_some() {
        return None;
    }
    let midnight = days_since_epoch(year, month, day) * 86_400_000;
    Some(midnight + time.map_or(Some(0), time_of_day)?)
}

fn time_of_day(text: &str) -> Option<i64> {
    let (clock, offset_minutes) = if let Some(clock) = text.strip_suffix('Z') {
        (clock, 0)
    } else {
        let at = text.rfind(['+', '-'])?;
        let (hours, minutes) = text[at + 1..].split_once(':')?;
        let minutes =
            digits(hours, 2).filter(|h| *h < 24)? * 60 + digits(minutes, 2).filter(|m| *m < 60)?;
        (
            &text[..at],
            if text[at..].starts_with('+') {
                minutes
            } else {
                -minutes
            },
        )
    };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut fields = clock.split(':');
    let hours = digits(fields.next()?, 2).filter(|h| *h < 24)?;
    let minutes = digits(fields.next()?, 2).filter(|m| *m < 60)?;
    let seconds = fields
        .next()
        .map_or(Some(0), |s| digits(s, 2).filter(|s| *s < 60))?;
    if fields.next().is_some()
        || fraction.is_empty()
        || !fraction.bytes().all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let millis: i64 = format!("{fraction:0<3}")[..3].parse().ok()?;
    Some(((hours * 60 + minutes - offset_minutes) * 60 + seconds) * 1_000 + millis)
}

fn digits(text: &str, length: usize) -> Option<i64> {
    (text.len() == length && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let before = year - 1;
    let years = before * 365 + before / 4 - before / 100 + before / 400;
    let months: i64 = (1..month).map(|m| days_in(year, m)).sum();
    // 719,162 days lie between 0001-01-01 and 1970-01-01.
    years + months + day - 1 - 719_162
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_date_in_a_form_of_aws_is_read() {
        for (text, expected) in [
            ("1970-01-01", 0),
            ("1970-01-01T00:00:01Z", 1_000),
            ("2000-02-29T12:34:56.789Z", 951_827_696_789),
            ("2026-03-01T00:00:00+01:00", 1_772_319_600_000),
            ("2026-02-28T23:00Z", 1_772_319_600_000),
            ("1772319600", 1_772_319_600_000),
            ("1969-12-31T23:59:59Z", -1_000),
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_date_in_another_form_is_refused() {
        for text in [
            "",
            "today",
            "2026-13-01",
            "2026-02-29",
            "2026-1-1",
            "2026-01-01T",
            "2026-01-01T25:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+99:00",
            "2026-01-01-01",
            "9223372036854775807",
            "2026-01-01T00:00:00é",
            "２026-01-01",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
