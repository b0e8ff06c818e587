//! The decisions about old copies. Pure: AWS's answers come in as facts.
//!
//! A copy beyond the rule goes in three steps, each a grace period after the one before: it is
//! deprecated, then disabled, then deregistered with its snapshots. AWS keeps the clock: the time
//! of its deprecation. A copy in use stays as it is, whatever its age.

use crate::ids::{ImageId, SnapshotId};
use crate::request::Retain;

const DAY: i64 = 86_400;

/// A copy, as EC2 shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldCopy {
    /// The ID.
    pub id: ImageId,
    /// The name.
    pub name: String,
    /// The time of its creation (Unix seconds).
    pub created: i64,
    /// The state: `available`, `disabled`, ….
    pub state: String,
    /// The time of its deprecation (Unix seconds).
    pub deprecated: Option<i64>,
    /// The snapshots.
    pub snapshots: Vec<SnapshotId>,
    /// The users of the copy, and all that protects it, in words.
    pub held_by: Vec<String>,
}

/// The decision about a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The copy stays as it is; the text says why.
    Keep(String),
    /// The copy is beyond the rule, and its next step comes later.
    Wait {
        /// The next step.
        next: &'static str,
        /// When it is due (Unix seconds).
        due: i64,
    },
    /// Deprecate the copy.
    Deprecate,
    /// Disable the copy.
    Disable,
    /// Deregister the copy, and delete its snapshots.
    Deregister,
}

impl Decision {
    /// Returns the word of replies.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Keep(_) => "Keep",
            Self::Wait { .. } => "Wait",
            Self::Deprecate => "Deprecate",
            Self::Disable => "Disable",
            Self::Deregister => "Deregister",
        }
    }
}

/// Returns why the rule keeps each of the copies of one target; `None` for those beyond it.
pub fn kept_by_rule(rule: &Retain, copies: &[OldCopy], now: i64) -> Vec<Option<String>> {
    let mut order: Vec<usize> = (0..copies.len()).collect();
    // The ID decides between copies of one second, so that every look says the same.
    order.sort_by_key(|&i| std::cmp::Reverse((copies[i].created, copies[i].id.to_string())));
    let mut kept = vec![None; copies.len()];
    for (age, i) in order.into_iter().enumerate() {
        let newest = rule.keep_newest.filter(|newest| age < *newest as usize);
        let limit = |days: &u32| now.saturating_sub(copies[i].created) < i64::from(*days) * DAY;
        kept[i] = match (newest, rule.keep_days.filter(limit)) {
            (Some(newest), _) => Some(format!("one of the newest {newest}")),
            (None, Some(days)) => Some(format!("younger than {days} days")),
            (None, None) => None,
        };
    }
    kept
}

/// Decides about one copy. `kept` says why the rule keeps it.
pub fn decide(rule: &Retain, copy: &OldCopy, kept: Option<String>, now: i64) -> Decision {
    if let Some(why) = kept {
        return Decision::Keep(why);
    }
    if !copy.held_by.is_empty() {
        return Decision::Keep(copy.held_by.join("; "));
    }
    if !matches!(copy.state.as_str(), "available" | "disabled") {
        return Decision::Keep(format!("its state is {}", copy.state));
    }
    if rule.grace_days == 0 {
        return Decision::Deregister;
    }
    let grace = i64::from(rule.grace_days) * DAY;
    let Some(deprecated) = copy.deprecated.filter(|at| *at <= now) else {
        return Decision::Deprecate;
    };
    let disabled = copy.state == "disabled";
    let (next, due) = if disabled {
        ("Deregister", deprecated.saturating_add(2 * grace))
    } else {
        ("Disable", deprecated.saturating_add(grace))
    };
    match (now < due, disabled) {
        (true, _) => Decision::Wait { next, due },
        (false, true) => Decision::Deregister,
        (false, false) => Decision::Disable,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ids::Region;

    const NOW: i64 = 1_800_000_000;

    fn rule(more: &serde_json::Value) -> Retain {
        let mut call = json!({"Lineage": "golden-*", "TargetAccountIds": ["222222222222"]});
        for (key, value) in more.as_object().unwrap() {
            call[key] = value.clone();
        }
        Retain::parse(&call, &Region::parse("us-west-2").unwrap()).unwrap()
    }

    fn aged(n: u8, days: i64) -> OldCopy {
        OldCopy {
            id: ImageId::parse(&format!("ami-{n:017x}")).unwrap(),
            name: format!("golden-{n}"),
            created: NOW - days * DAY,
            state: "available".to_owned(),
            deprecated: None,
            snapshots: Vec::new(),
            held_by: Vec::new(),
        }
    }

    fn is_kept(rule: &Retain, copies: &[OldCopy]) -> Vec<bool> {
        let kept = kept_by_rule(rule, copies, NOW);
        kept.iter().map(Option::is_some).collect()
    }

    #[test]
    fn a_copy_is_kept_by_its_place_or_by_its_age() {
        let copies = [aged(1, 90), aged(2, 1), aged(3, 40), aged(4, 5)];
        let newest = rule(&json!({"KeepNewest": 2}));
        assert_eq!(is_kept(&newest, &copies), [false, true, false, true]);
        let days = rule(&json!({"KeepDays": 41}));
        assert_eq!(is_kept(&days, &copies), [false, true, true, true]);
        let either = rule(&json!({"KeepNewest": 1, "KeepDays": 10}));
        assert_eq!(is_kept(&either, &copies), [false, true, false, true]);
    }

    #[test]
    fn a_removal_takes_three_steps_a_grace_period_apart() {
        let rule = rule(&json!({"KeepNewest": 1, "GraceDays": 7}));
        let mut copy = aged(1, 90);
        let decision = |copy: &OldCopy| decide(&rule, copy, None, NOW);
        assert_eq!(decision(&copy), Decision::Deprecate);
        // A deprecation planned for later is brought forward.
        copy.deprecated = Some(NOW + DAY);
        assert_eq!(decision(&copy), Decision::Deprecate);
        copy.deprecated = Some(NOW - 6 * DAY);
        let wait = |next, days| Decision::Wait {
            next,
            due: NOW + days * DAY,
        };
        assert_eq!(decision(&copy), wait("Disable", 1));
        copy.deprecated = Some(NOW - 7 * DAY);
        assert_eq!(decision(&copy), Decision::Disable);
        copy.state = "disabled".to_owned();
        assert_eq!(decision(&copy), wait("Deregister", 7));
        copy.deprecated = Some(NOW - 14 * DAY);
        assert_eq!(decision(&copy), Decision::Deregister);
    }

    #[test]
    fn a_copy_in_use_or_in_an_odd_state_stays() {
        let rule = rule(&json!({"KeepNewest": 1, "GraceDays": 0}));
        let mut copy = aged(1, 90);
        assert_eq!(decide(&rule, &copy, None, NOW), Decision::Deregister);
        copy.held_by = vec!["used by arn:aws:ec2:…:instance/i-1".to_owned()];
        let Decision::Keep(why) = decide(&rule, &copy, None, NOW) else {
            panic!();
        };
        assert!(why.contains("instance/i-1"), "{why}");
        let mut odd = aged(2, 90);
        odd.state = "error".to_owned();
        assert!(matches!(decide(&rule, &odd, None, NOW), Decision::Keep(_)));
    }
}
