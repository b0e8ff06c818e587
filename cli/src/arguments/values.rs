//! Values of options: numbers, prices and durations.

use std::time::Duration;

/// Reads a number above zero.
pub fn positive(text: &str) -> Result<f64, String> {
    let number = price(text)?;
    if number > 0.0 {
        Ok(number)
    } else {
        Err("must be more than 0".to_owned())
    }
}

/// Reads a price: zero or more.
pub fn price(text: &str) -> Result<f64, String> {
    let number: f64 = text
        .parse()
        .map_err(|_| "a number is expected".to_owned())?;
    let sound = number.is_finite() && number >= 0.0;
    if sound {
        Ok(number)
    } else {
        Err("must be a number from 0 on".to_owned())
    }
}

/// Reads a duration: a number with `s`, `m` or `h`, or of seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number
        .parse()
        .map_err(|_| "a number with s, m or h is expected, such as 90s".to_owned())?;
    let seconds = match unit {
        "" | "s" => Some(number),
        "m" => number.checked_mul(60),
        "h" => number.checked_mul(3600),
        _ => return Err(format!("{unit:?} is no unit: s, m and h are")),
    };
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| "is too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_unit_or_counts_seconds() {
        for (text, seconds) in [("90", 90), ("90s", 90), ("15m", 900), ("2h", 7200)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "m",
            "1d",
            "-1s",
            "99999999999999999999h",
            "9999999999999999999h",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
