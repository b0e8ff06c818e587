//! Deprecation and protection of the copies.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

use super::*;

fn time(text: &str) -> i64 {
    let time = DateTime::from_str(text, Format::DateTime);
    time.unwrap_or_else(|e| panic!("{text}: {e}")).secs()
}

fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_deprecated_and_protected_once() {
    let sandbox = Sandbox::new(publishing_world(&[PLACE]));
    let wish = json!({"DeprecateAfterDays": "90", "DeregistrationProtection": "true"});
    let event = publishing(&[PLACE], &wish);
    let reply = to_the_end(&sandbox, &event).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    let image = assert_one_image(&sandbox, PLACE);
    let days = time(image.deprecation_time.as_deref().unwrap()) - seconds(sandbox.now());
    // EC2 rounds to the nearest minute.
    assert!((89 * 86_400..=90 * 86_400 + 30).contains(&days), "{days}");
    let protection = image.deregistration_protection.as_deref();
    assert_eq!(protection, Some("enabled-without-cooldown"));
    sandbox.clear_ledger();
    tokio::time::sleep(Duration::from_hours(24)).await;
    let again = to_the_end(&sandbox, &event).await;
    assert_eq!(again["Status"], "Succeeded", "{again}");
    for operation in [
        "EnableImageDeprecation",
        "EnableImageDeregistrationProtection",
    ] {
        assert_eq!(calls(&sandbox, operation), 0, "{operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_of_deprecation_that_is_past_changes_nothing_and_is_told() {
    let sandbox = Sandbox::new(publishing_world(&[PLACE]));
    let wish = json!({"DeprecateAt": "2020-01-31T00:00:00Z"});
    let reply = to_the_end(&sandbox, &publishing(&[PLACE], &wish)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    let notes = target(&reply, PLACE)["Notes"].to_string();
    assert!(notes.contains("2020-01-31T00:00:00Z is past"), "{notes}");
    assert_eq!(assert_one_image(&sandbox, PLACE).deprecation_time, None);
}

#[tokio::test(start_paused = true)]
async fn a_time_with_an_offset_is_understood() {
    let sandbox = Sandbox::new(publishing_world(&[PLACE]));
    let wish = json!({"DeprecateAt": "2999-12-31T23:30:00+02:00"});
    let refused = call(&sandbox, &publishing(&[PLACE], &wish)).await;
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.contains("Publish.DeprecateAt: must be a time"),
        "{refused}"
    );
    let at = seconds(sandbox.now()) + 40 * 86_400;
    let text = DateTime::from_secs(at / 60 * 60)
        .fmt(Format::DateTime)
        .unwrap();
    let wish = json!({"DeprecateAt": text.replace('Z', "+00:00")});
    let reply = to_the_end(&sandbox, &publishing(&[PLACE], &wish)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    let image = assert_one_image(&sandbox, PLACE);
    assert_eq!(
        time(image.deprecation_time.as_deref().unwrap()),
        at / 60 * 60
    );
}
