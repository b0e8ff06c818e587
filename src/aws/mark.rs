//! Marks: what runs leave on the source while they have it open, so that whoever has no state, and any other run, can tell whose
//! permission is whose. They are lists kept in tags: a value holds 256 characters, so a long one goes on in tags with a
//! number behind the name.
//!
//! | tag | on | lists |
//! |---|---|---|
//! | `amiferry:sharing:<run>` | snapshots, while a run copies | since when, which execution, `released=account` whom it let in and needs no more, `account` who was permitted before any run |
//! | `amiferry:sharing:<run>:+<digest>` | the same | `+account` whom the run needs let in: a tag of its own, named by what it lists, because two processes of a run may write at the same moment |
//! | `amiferry:sharing:<run>:<another>+<digest>` | the same, when another run ends that leaves accounts to this one, which needs all (`+*`) | `left=account` |
//! | `amiferry:sharing:<run>:<another>` | the same, when another run gives again what somebody took away | `-account` who is no longer among those before |
//! | `amiferry:shared:<run>`, `amiferry:shared:<run>:<digest>` | image and snapshots, while a share lasts | whom it let in |
//! | `amiferry:shared:<run>:ending` | the same, when a share ends with those whom others need | since when, `ends=account` |
//!
//! An account is closed by the last run that needs it: a run that ends leaves those that another mark needs, and says first
//! that it needs nobody itself, so that of two runs ending together at least one sees the other gone.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::Tag;

use crate::command::{shared_tag, sharing_tag, tag};
use crate::digest::digest;

/// Characters of a tag value.
const LONGEST: usize = 256;
/// Accounts needed that are listed one by one; more are `+*`.
const MOST_NEEDED: usize = 60;
/// Twelve digits and a comma each.
const ACCOUNTS_IN_A_TAG: usize = 19;
/// Accounts permitted before that are listed: a resource has fifty tags in all.
pub const MOST_BEFORE: usize = 20 * ACCOUNTS_IN_A_TAG;

/// Whom a run needs let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Needs {
    These(BTreeSet<String>),
    /// Too many to list.
    All,
}

/// What the mark of a copying run says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyMark {
    /// Unix seconds: when it was opened, or, once it needs nobody, when it said so. 0 if it does not say.
    pub since: i64,
    /// The execution that works on it, if any.
    pub execution: Option<String>,
    pub needs: Needs,
    /// Once it needs nobody: whom it had let in. Another run needs some of them, and may be ending too; this one looks again, and shuts
    /// out whom nobody needs then. Whoever comes meanwhile must not take them for permitted before any run.
    pub released: Needs,
    /// Let in by runs that have ended, which left them to this one.
    pub left: BTreeSet<String>,
    /// Permitted before any run.
    pub before: BTreeSet<String>,
}

/// All marks on one resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    pub copies: BTreeMap<String, CopyMark>,
    pub shares: BTreeMap<String, BTreeSet<String>>,
    /// Of those whom a share let in: whom it is shutting out, and has left to others for the moment.
    pub ending: BTreeMap<String, BTreeSet<String>>,
}

impl Needs {
    pub fn of(accounts: BTreeSet<String>) -> Self {
        if accounts.len() > MOST_NEEDED {
            Self::All
        } else {
            Self::These(accounts)
        }
    }

    pub fn has(&self, account: &str) -> bool {
        match self {
            Self::All => true,
            Self::These(accounts) => accounts.contains(account),
        }
    }

    pub fn none() -> Self {
        Self::These(BTreeSet::new())
    }

    pub fn is_none(&self) -> bool {
        *self == Self::none()
    }

    fn words(&self, before: &str) -> Vec<String> {
        match self {
            Self::All => vec![format!("{before}*")],
            Self::These(accounts) => accounts.iter().map(|a| format!("{before}{a}")).collect(),
        }
    }

    /// Both together.
    #[must_use]
    pub fn and(&self, more: &Self) -> Self {
        match (self, more) {
            (Self::These(one), Self::These(other)) => Self::of(one | other),
            _ => Self::All,
        }
    }
}

impl CopyMark {
    /// Those whom it names as let in by it, or left to it.
    pub fn listed(&self) -> BTreeSet<&str> {
        let mut listed: BTreeSet<&str> = self.left.iter().map(String::as_str).collect();
        for needs in [&self.needs, &self.released] {
            if let Needs::These(accounts) = needs {
                listed.extend(accounts.iter().map(String::as_str));
            }
        }
        listed
    }

    /// Whether this one may be permitted because of the run, and of nobody before it.
    fn let_in(&self, account: &str) -> bool {
        let by_it = self.needs.has(account) || self.released.has(account);
        (by_it || self.left.contains(account)) && !self.before.contains(account)
    }

    /// The mark as tags.
    pub fn write(&self, run: &str) -> Vec<Tag> {
        let name = sharing_tag(run);
        let mut words = vec![format!("since={}", self.since)];
        words.extend(self.execution.iter().map(|name| format!("by={name}")));
        words.extend(self.released.words("released="));
        words.extend(self.left.iter().map(|who| format!("left={who}")));
        words.extend(self.before.iter().cloned());
        let mut tags = write(&name, words.iter().map(String::as_str));
        if !self.needs.is_none() {
            let needs = self.needs.words("+");
            let named = digest(needs.iter().map(String::as_str));
            let name = format!("{name}:+{}", &named[..8]);
            tags.extend(write(&name, needs.iter().map(String::as_str)));
        }
        tags
    }

    fn of(words: &BTreeSet<String>) -> Self {
        let mut mark = Self {
            since: 0,
            execution: None,
            needs: Needs::none(),
            released: Needs::none(),
            left: BTreeSet::new(),
            before: BTreeSet::new(),
        };
        let (mut needed, mut released) = (BTreeSet::new(), BTreeSet::new());
        let void = words.iter().filter_map(|word| word.strip_prefix('-'));
        let void: BTreeSet<&str> = void.collect();
        for word in words.iter().filter(|word| !word.starts_with('-')) {
            match (word.split_once('='), word.strip_prefix('+')) {
                (Some(("since", since)), _) => mark.since = since.parse().unwrap_or_default(),
                (Some(("by", name)), _) => mark.execution = Some(name.to_owned()),
                (Some(("released", "*")), _) => mark.released = Needs::All,
                (Some(("released", account)), _) => drop(released.insert(account.to_owned())),
                (Some(("left", account)), _) => drop(mark.left.insert(account.to_owned())),
                (Some(_), _) => {}
                (None, Some("*")) => mark.needs = Needs::All,
                (None, Some(account)) => drop(needed.insert(account.to_owned())),
                (None, None) => drop(mark.before.insert(word.clone())),
            }
        }
        mark.before.retain(|who| !void.contains(who.as_str()));
        // Releasing is one write: what listed those needed may be there for a while yet.
        if mark.released == Needs::All {
            mark.needs = Needs::none();
        } else {
            if mark.needs != Needs::All {
                mark.needs = Needs::These(&needed - &released);
            }
            mark.released = Needs::These(released);
        }
        mark
    }
}

/// What run `by` adds to the mark of another: these were permitted before it no more. A tag of its own, so that it does not bring
/// back a mark that goes at this moment: by itself it means nothing.
pub fn void(run: &str, by: &str, accounts: &BTreeSet<String>) -> Vec<Tag> {
    let words: Vec<String> = accounts.iter().map(|who| format!("-{who}")).collect();
    write(
        &format!("{}:{by}", sharing_tag(run)),
        words.iter().map(String::as_str),
    )
}

/// What run `by` adds to the mark of another, which needs too many to list them: these it leaves to it. A tag of its own, as above,
/// named by what it lists too: it may leave others to it later.
fn leave(run: &str, by: &str, accounts: &BTreeSet<String>) -> Vec<Tag> {
    let words: Vec<String> = accounts.iter().map(|who| format!("left={who}")).collect();
    let named = digest(words.iter().map(String::as_str));
    write(
        &format!("{}:{by}+{}", sharing_tag(run), &named[..8]),
        words.iter().map(String::as_str),
    )
}

/// What run `by` added to marks that are gone by now.
pub fn void_of_nothing<'a>(by: &str, tags: &'a BTreeMap<String, String>) -> Vec<&'a String> {
    let of_nothing = |key: &&String| {
        let named = key.strip_prefix(tag::SHARING).unwrap_or_default();
        let mut parts = named.split(':');
        let (run, who) = (parts.next().unwrap_or_default(), parts.next());
        who.and_then(|who| who.split('+').next()) == Some(by)
            && !tags.contains_key(&sharing_tag(run))
    };
    tags.keys().filter(of_nothing).collect()
}

/// What is left of marks that are gone: a process of the run, or another run, wrote beside one that was being taken off, and died.
pub fn strays(tags: &BTreeMap<String, String>) -> Vec<&String> {
    let stray = |key: &&String| {
        let named = key.strip_prefix(tag::SHARING).unwrap_or_default();
        let beside = named.split_once(':');
        beside.is_some_and(|(run, _)| !tags.contains_key(&sharing_tag(run)))
    };
    tags.keys().filter(stray).collect()
}

impl Marks {
    pub fn read(tags: &BTreeMap<String, String>) -> Self {
        let names = |prefix: &str| -> Vec<String> {
            let names = tags.keys().filter_map(|key| key.strip_prefix(prefix));
            names.map(str::to_owned).collect()
        };
        let of_copies = names(tag::SHARING);
        let copies = of_copies.into_iter().filter(|run| !run.contains(':'));
        let copies = copies.filter_map(|run| {
            let words = read(&sharing_tag(&run), tags)?;
            Some((run, CopyMark::of(&words)))
        });
        let shares = names(tag::SHARED).into_iter().filter_map(|name| {
            let run = name.split(':').next().unwrap_or_default().to_owned();
            let let_in = let_in(&run, tags)?;
            Some((run, let_in))
        });
        let shares: BTreeMap<String, BTreeSet<String>> = shares.collect();
        let ending = shares.keys().map(|run| (run.clone(), ending(run, tags).1));
        Self {
            copies: copies.collect(),
            ending: ending.collect(),
            shares,
        }
    }

    /// Of those permitted now, the ones who are there for no reason but another run.
    pub fn let_in_by_others(&self, run: &str, permitted: &BTreeSet<String>) -> BTreeSet<String> {
        let others = || self.copies.iter().filter(|(other, _)| *other != run);
        let by_runs = |who: &&String| {
            others().any(|(_, mark)| mark.let_in(who)) || self.shared_by_others(run, who)
        };
        permitted.iter().filter(by_runs).cloned().collect()
    }

    /// Whether another lasting share let this one in.
    pub fn shared_by_others(&self, run: &str, who: &str) -> bool {
        let mut shares = self.shares.iter().filter(|(other, _)| *other != run);
        shares.any(|(_, let_in)| let_in.contains(who))
    }

    /// Whether another run has let this one in, and may shut it out before it ends.
    pub fn released_by_others(&self, run: &str, who: &str) -> bool {
        let mut copies = self.copies.iter().filter(|(other, _)| *other != run);
        let mut shares = self.ending.iter().filter(|(other, _)| *other != run);
        copies.any(|(_, mark)| mark.released.has(who)) || shares.any(|(_, them)| them.contains(who))
    }

    /// What is to be written beside the marks of runs that need all there are: of these accounts, which run `by` leaves to others, they know
    /// nothing, and would not shut them out.
    pub fn to_hand_over(&self, by: &str, accounts: &[String]) -> Vec<Tag> {
        let others = self.copies.iter().filter(|(other, _)| *other != by);
        let of_all = others.filter(|(_, mark)| mark.needs == Needs::All);
        let unlisted = of_all.map(|(other, mark)| {
            let unlisted = accounts.iter().filter(|who| !mark.left.contains(*who));
            (other, unlisted.cloned().collect::<BTreeSet<_>>())
        });
        let unlisted = unlisted.filter(|(_, accounts)| !accounts.is_empty());
        unlisted
            .flat_map(|(other, accounts)| leave(other, by, &accounts))
            .collect()
    }

    /// Whether another run needs this one let in.
    pub fn needed_by_others(&self, run: &str, who: &str) -> bool {
        let mut copies = self.copies.iter().filter(|(other, _)| *other != run);
        let mut shares = self.shares.iter().filter(|(other, _)| *other != run);
        let ends = |other: &String| {
            self.ending
                .get(other)
                .is_some_and(|them| them.contains(who))
        };
        copies.any(|(_, mark)| mark.needs.has(who))
            || shares.any(|(other, let_in)| let_in.contains(who) && !ends(other))
    }
}

/// A list as tags; `none` if it is empty.
pub fn write<'a>(name: &str, listed: impl IntoIterator<Item = &'a str>) -> Vec<Tag> {
    let mut values: Vec<String> = Vec::new();
    for item in listed {
        match values.last_mut() {
            Some(value) if value.len() + 1 + item.len() <= LONGEST => {
                value.push(',');
                value.push_str(item);
            }
            _ => values.push(item.to_owned()),
        }
    }
    if values.is_empty() {
        values.push("none".to_owned());
    }
    let tags = values.into_iter().enumerate().map(|(n, value)| {
        let key = match n {
            0 => name.to_owned(),
            n => format!("{name}:{n}"),
        };
        Tag::builder().key(key).value(value).build()
    });
    tags.collect()
}

/// What a mark lists; `None` if there is no mark.
pub fn read(name: &str, tags: &BTreeMap<String, String>) -> Option<BTreeSet<String>> {
    tags.get(name)?;
    Some(listed(tags, &keys(name, tags)))
}

/// Whom a lasting share let in; `None` if it has no mark.
///
/// Direct calls for one image are one share, and may add to it at the same moment; a list that each of them read and wrote anew would
/// lose what another wrote in between. So what is added is a tag of its own, named by what it lists: no tag is ever written with
/// anything else in it, and none goes before all that it lists is in another, or is to go.
pub fn let_in(run: &str, tags: &BTreeMap<String, String>) -> Option<BTreeSet<String>> {
    let keys = keys(&shared_tag(run), tags);
    let mut listed = (!keys.is_empty()).then(|| listed(tags, &keys))?;
    listed.retain(|who| !who.contains('='));
    Some(listed)
}

/// Whom a share is shutting out that others need, and since when (Unix seconds). Two shares that end together must not leave them to each
/// other: each says so first, keeps them on its list, and looks again when the other must have seen it.
pub fn ending(run: &str, tags: &BTreeMap<String, String>) -> (i64, BTreeSet<String>) {
    let words = listed(tags, &keys(&ending_tag(run), tags));
    let since = words.iter().filter_map(|w| w.strip_prefix("since="));
    let since = since.filter_map(|since| since.parse().ok()).max();
    let accounts = words.iter().filter_map(|w| w.strip_prefix("ends="));
    (
        since.unwrap_or_default(),
        accounts.map(str::to_owned).collect(),
    )
}

pub fn write_ending(run: &str, since: i64, accounts: &BTreeSet<String>) -> Vec<Tag> {
    let mut words = vec![format!("since={since}")];
    words.extend(accounts.iter().map(|who| format!("ends={who}")));
    write(&ending_tag(run), words.iter().map(String::as_str))
}

fn ending_tag(run: &str) -> String {
    format!("{}:ending", shared_tag(run))
}

/// Whom these tags list.
pub fn listed(tags: &BTreeMap<String, String>, keys: &[&String]) -> BTreeSet<String> {
    let values = keys.iter().filter_map(|key| tags.get(*key));
    let items = values.flat_map(|value| value.split(','));
    let items = items.filter(|item| *item != "none");
    items.map(str::to_owned).collect()
}

/// The tags that a list of so many accounts needs.
pub fn fewest_tags(accounts: usize) -> usize {
    accounts.div_ceil(ACCOUNTS_IN_A_TAG)
}

/// A tag for these, beside what the mark lists already.
pub fn also_let_in(run: &str, these: &BTreeSet<String>) -> Vec<Tag> {
    let name = digest(these.iter().map(String::as_str));
    let these = these.iter().map(String::as_str);
    write(&format!("{}:{}", shared_tag(run), &name[..8]), these)
}

/// The tags that a mark consists of.
pub fn keys<'a>(name: &str, tags: &'a BTreeMap<String, String>) -> Vec<&'a String> {
    let more = format!("{name}:");
    tags.keys()
        .filter(|key| *key == name || key.starts_with(&more))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(accounts: &[&str]) -> BTreeSet<String> {
        accounts.iter().map(|a| (*a).to_owned()).collect()
    }

    fn mark(needs: &[&str], before: &[&str]) -> CopyMark {
        CopyMark {
            since: 1_800_000_000,
            execution: Some("amiferry-x".to_owned()),
            needs: Needs::of(set(needs)),
            released: Needs::none(),
            left: BTreeSet::new(),
            before: set(before),
        }
    }

    fn marks(of: &[(&str, CopyMark)]) -> Marks {
        let tags: Vec<Tag> = of.iter().flat_map(|(run, mark)| mark.write(run)).collect();
        Marks::read(&super::super::tags::to_map(&tags))
    }

    #[test]
    fn a_mark_says_what_it_was_told_however_long() {
        for count in [0, 1, 17, 18, 19, 20, 60, 61, 200] {
            let accounts: Vec<String> = (0..count)
                .map(|n| format!("{:012}", 200_000_000_000_u64 + n))
                .collect();
            let accounts: Vec<&str> = accounts.iter().map(String::as_str).collect();
            let told = mark(&accounts, &accounts);
            let tags = told.write("abc");
            assert!(tags.iter().all(|t| t.value().unwrap().len() <= 256));
            let read = Marks::read(&super::super::tags::to_map(&tags));
            assert_eq!(read.copies, BTreeMap::from([("abc".to_owned(), told)]));
        }
    }

    /// Each had read no mark yet. Neither takes from the other whom it needs.
    #[test]
    fn two_processes_of_a_run_may_write_at_the_same_moment() {
        let mut tags = mark(&["111", "222"], &["333"]).write("a");
        tags.extend(mark(&["222"], &["333"]).write("a"));
        let both = Marks::read(&super::super::tags::to_map(&tags));
        assert_eq!(both.copies["a"], mark(&["111", "222"], &["333"]));
    }

    #[test]
    fn what_another_run_gives_again_was_not_before() {
        let mut tags = mark(&["111"], &["111", "222"]).write("a");
        tags.extend(void("a", "b", &set(&["111"])));
        let tags = super::super::tags::to_map(&tags);
        assert_eq!(Marks::read(&tags).copies["a"], mark(&["111"], &["222"]));
        assert!(void_of_nothing("b", &tags).is_empty());
        let alone = super::super::tags::to_map(&void("a", "b", &set(&["111"])));
        assert_eq!(Marks::read(&alone), Marks::default());
        assert_eq!(void_of_nothing("b", &alone), ["amiferry:sharing:a:b"]);
        assert_eq!(strays(&alone), ["amiferry:sharing:a:b"]);
        assert!(strays(&tags).is_empty());
        assert!(void_of_nothing("a", &alone).is_empty());
    }

    #[test]
    fn who_is_there_because_of_another_run_was_not_there_before() {
        let marks = marks(&[("a", mark(&["111", "222"], &["222"]))]);
        let permitted = set(&["111", "222", "333"]);
        assert_eq!(marks.let_in_by_others("b", &permitted), set(&["111"]));
        assert_eq!(marks.let_in_by_others("a", &permitted), set(&[]));
    }

    /// Cut between the two calls: the list of those needed is still there.
    #[test]
    fn whom_a_run_releases_it_needs_no_more() {
        let many: Vec<String> = (0..61).map(|n| format!("{n:012}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for accounts in [&many[..2], &many[..60], &many[..]] {
            let mut tags = mark(accounts, &["333"]).write("a");
            let mut ended = mark(&[], &["333"]);
            ended.released = Needs::of(set(accounts));
            tags.extend(ended.write("a"));
            let read = Marks::read(&super::super::tags::to_map(&tags));
            assert_eq!(read.copies["a"], ended);
        }
    }

    #[test]
    fn who_is_released_was_not_there_before_either() {
        let mut ending = mark(&[], &["222"]);
        ending.released = Needs::of(set(&["111", "222"]));
        let marks = marks(&[("a", ending)]);
        assert_eq!(
            marks.let_in_by_others("b", &set(&["111", "222", "333"])),
            set(&["111"])
        );
        assert!(!marks.needed_by_others("b", "111"));
    }

    #[test]
    fn an_account_is_needed_until_the_last_run_says_otherwise() {
        let both = marks(&[("a", mark(&["111"], &[])), ("b", mark(&["111"], &[]))]);
        assert!(both.needed_by_others("a", "111") && !both.needed_by_others("a", "222"));
        let one_ends = marks(&[("a", mark(&["111"], &[])), ("b", mark(&[], &[]))]);
        assert!(!one_ends.needed_by_others("a", "111") && one_ends.needed_by_others("b", "111"));
        let tags = BTreeMap::from([("amiferry:shared:s".to_owned(), "111".to_owned())]);
        assert!(Marks::read(&tags).needed_by_others("a", "111"));
    }

    /// What is left to a run today is there tomorrow, when more is left to it.
    #[test]
    fn what_is_left_to_a_run_at_two_times_is_left_to_it() {
        let mut all = mark(&[], &[]);
        all.needs = Needs::All;
        let mut tags = super::super::tags::to_map(&all.write("b"));
        for who in ["1", "2"] {
            let new = Marks::read(&tags).to_hand_over("a", &[who.to_owned()]);
            tags.extend(super::super::tags::to_map(&new));
        }
        let marks = Marks::read(&tags);
        assert_eq!(marks.copies["b"].left, set(&["1", "2"]));
        assert!(marks.to_hand_over("a", &["1".to_owned()]).is_empty());
    }
}
