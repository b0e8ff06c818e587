//! Policies made from seeds, and made wrong.

use amiferry::ids::{AccountId, RoleName};
use amiferry::key_policy::{Access, Document, Terms, role_anywhere};

const RUN: &str = "0123456789abcdef";

fn terms(launch: bool) -> Terms {
    Terms {
        partition: "aws",
        owner: AccountId::parse("111111111111").unwrap(),
        launch,
        service_linked_roles: Vec::new(),
    }
}

fn copying(account: &str) -> Access {
    let role = RoleName::parse("AmiCopyRole").unwrap();
    Access {
        accounts: [AccountId::parse(account).unwrap()].into(),
        roles: [role_anywhere("aws", &role)].into(),
        ..Access::default()
    }
}

/// No edit panics or loses a statement of others, and its removal restores the policy to the byte.
#[test]
fn generated_policies_come_out_of_an_edit_to_the_byte() {
    let count = std::env::var("AMIFERRY_FUZZ_COUNT")
        .ok()
        .and_then(|n| n.parse().ok());
    let (mut read, mut refused) = (0, 0);
    for seed in 0..count.unwrap_or(4000_u64) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut text = policy(&mut rng);
        for _ in 0..rng.usize(0..4) {
            garble(&mut rng, &mut text);
        }
        let Ok(before) = Document::read(&text) else {
            refused += 1;
            continue;
        };
        read += 1;
        let access = Access::read(&before.ours(RUN));
        let new = access
            .and(copying("444444444444"))
            .statements(RUN, &terms(rng.bool()));
        let had_ours = !before.ours(RUN).is_empty();
        let with = before.with(RUN, &new);
        let there = Document::read(&with).unwrap_or_else(|e| panic!("seed {seed}: {e}: {with}"));
        assert!(there.has(RUN, &new), "seed {seed}: {with}");
        assert_eq!(there.others(RUN), before.others(RUN), "seed {seed}");
        let out = there.with(RUN, &[]);
        let out_of_before = before.with(RUN, &[]);
        if had_ours {
            let others = Document::read(&out).unwrap().others(RUN).join(",");
            assert_eq!(others, before.others(RUN).join(","), "seed {seed}");
        } else {
            assert_eq!(out, text, "seed {seed}");
            assert_eq!(out_of_before, text, "seed {seed}");
        }
    }
    assert!(
        read > 1000 && refused > 300,
        "{read} read, {refused} refused"
    );
}

fn space(rng: &mut fastrand::Rng) -> &'static str {
    ["", "", "", " ", "\n  ", "\t", "\r\n"][rng.usize(0..7)]
}

fn policy(rng: &mut fastrand::Rng) -> String {
    let mut members = vec![format!(
        "\"Statement\"{}:{}{}",
        space(rng),
        space(rng),
        list(rng)
    )];
    for (name, value) in [
        ("Version", "\"2012-10-17\""),
        ("Id", "\"\\u0041 \\\"{[\""),
        ("Future", "[{}]"),
    ] {
        if rng.bool() {
            let place = rng.usize(0..=members.len());
            members.insert(place, format!("\"{name}\"{}:{value}", space(rng)));
        }
    }
    let comma = format!("{},{}", space(rng), space(rng));
    format!(
        "{}{{{}{}{}}}{}",
        space(rng),
        space(rng),
        members.join(&comma),
        space(rng),
        space(rng)
    )
}

fn list(rng: &mut fastrand::Rng) -> String {
    if rng.u8(0..5) == 0 {
        return statement(rng);
    }
    let count = rng.usize(0..5);
    let statements: Vec<String> = (0..count)
        .map(|_| format!("{}{}{}", space(rng), statement(rng), space(rng)))
        .collect();
    format!("[{}{}]", statements.join(","), space(rng))
}

fn statement(rng: &mut fastrand::Rng) -> String {
    let sids = [
        "a",
        "Allow use of the key",
        "\\ud83d\\ude00",
        "\\ud800",
        "]},{[",
        "Amiferry0123456789abcdefUse",
        "Amiferry0123456789abcdefDescribeMembers",
        "Amiferry0123456789abcdefOther",
        "Amiferryfedcba9876543210Use",
        "\\u0041miferry0123456789abcdefGrant",
    ];
    let principals = [
        "\"*\"",
        "{\"AWS\":[\"arn:aws:iam::222222222222:root\",\"x\"]}",
        "{\"AWS\":\"AROAEXAMPLE\"}",
        "7",
    ];
    format!(
        "{{{}\"Sid\":{}\"{}\",\"Principal\":{}{},\"Condition\":{{}}}}",
        space(rng),
        space(rng),
        sids[rng.usize(0..sids.len())],
        principals[rng.usize(0..principals.len())],
        space(rng)
    )
}

/// Makes one change to the text, which may end up as no JSON at all.
fn garble(rng: &mut fastrand::Rng, text: &mut String) {
    let at = text.floor_char_boundary(rng.usize(0..=text.len()));
    let end = text.ceil_char_boundary((at + rng.usize(0..12)).min(text.len()));
    match rng.u8(0..6) {
        0 => text.truncate(at),
        1 => text.replace_range(at..end, ""),
        2 => {
            let again = text[at..end].to_owned();
            text.insert_str(at, &again);
        }
        3 => text.insert_str(
            at,
            [",", "{", "}", "[", "]", "\"", "\\", "\0", "é", "null"][rng.usize(0..10)],
        ),
        4 => text.insert_str(at, space(rng)),
        _ => {}
    }
}
