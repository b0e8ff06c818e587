//! The decisions about parameters that move in all targets together. Pure: AWS's answers come in as
//! facts.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::ImageId;
use crate::publish::{AMI_TYPE, ParameterVersion};
use crate::request::Move;

/// The facts about one target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChannelFacts {
    /// The versions of the parameter with the value of a promotion, the oldest first.
    pub from: Vec<ParameterVersion>,
    /// The versions of the parameter that moves, the oldest first.
    pub to: Vec<ParameterVersion>,
    /// The images that these versions name, as far as they are there.
    pub images: BTreeMap<String, SeenImage>,
}

/// An image that a parameter names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenImage {
    /// The state.
    pub state: String,
    /// The source image, if amiferry made the image from one of the function's account.
    pub source: Option<String>,
}

/// The decision about one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decided {
    /// The parameter holds the wanted image, a copy of this source image.
    There {
        /// The image.
        image: ImageId,
        /// The source image; `None` where a rollback need not know it.
        source: Option<String>,
    },
    /// The parameter must be written.
    Write {
        /// The new image.
        image: ImageId,
        /// The source image of that image.
        source: String,
        /// The value before; `None` if there is no such parameter.
        former: Option<String>,
        /// Whether the parameter has the data type of AMIs.
        typed: bool,
    },
    /// The parameter cannot move; the text says why.
    Not(String),
}

/// Decides about one target. `name` is the parameter that the value comes from.
pub fn decide(wanted: &Move, facts: &ChannelFacts, name: &str) -> Decided {
    match wanted {
        Move::Promote { .. } => promote(facts, name),
        Move::Rollback { off, .. } => roll_back(facts, off, name),
    }
}

fn promote(facts: &ChannelFacts, name: &str) -> Decided {
    let Some(last) = facts.from.last() else {
        return Decided::Not(format!("{name} does not exist"));
    };
    match verified(facts, &last.value) {
        Ok((image, source)) => moving(facts, image, source),
        Err(why) => Decided::Not(format!("{name} holds {}, {why}", last.value)),
    }
}

fn roll_back(facts: &ChannelFacts, off: &ImageId, name: &str) -> Decided {
    let Some(last) = facts.to.last() else {
        return Decided::Not(format!("{name} does not exist"));
    };
    let is_off = |value: &str| {
        let seen = facts.images.get(value);
        seen.and_then(|image| image.source.as_deref()) == Some(off.as_str())
    };
    if !is_off(&last.value) {
        return match ImageId::parse(&last.value) {
            Ok(image) => Decided::There {
                image,
                source: None,
            },
            Err(_) => Decided::Not(format!("{name} holds {}, which is no AMI", last.value)),
        };
    }
    let mut earlier = facts.to.iter().rev();
    let Some(former) = earlier.find(|version| !is_off(&version.value)) else {
        return Decided::Not(format!("{name} has held nothing but copies of {off}"));
    };
    match verified(facts, &former.value) {
        Ok((image, source)) => moving(facts, image, source),
        Err(why) => Decided::Not(format!("{name} held {} before, {why}", former.value)),
    }
}

fn moving(facts: &ChannelFacts, image: ImageId, source: String) -> Decided {
    match facts.to.last() {
        Some(there) if there.value == image.as_str() => Decided::There {
            image,
            source: Some(source),
        },
        there => Decided::Write {
            image,
            source,
            former: there.map(|version| version.value.clone()),
            typed: there.is_none_or(|version| version.data_type == AMI_TYPE),
        },
    }
}

/// Returns an image that amiferry verified and made available, with its source image.
pub fn verified(facts: &ChannelFacts, value: &str) -> Result<(ImageId, String), String> {
    let image = ImageId::parse(value).map_err(|_| "which is no AMI".to_owned())?;
    let seen = facts.images.get(value);
    let seen = seen.ok_or_else(|| "which is not there any more".to_owned())?;
    if seen.state != "available" {
        return Err(format!("which is {}", seen.state));
    }
    match &seen.source {
        Some(source) => Ok((image, source.clone())),
        None => Err("which amiferry did not copy from an image of this account".to_owned()),
    }
}

/// Returns why the targets cannot move together; `None` if they can.
pub fn apart<'a>(all: impl Iterator<Item = &'a Decided>) -> Option<String> {
    let sources: BTreeSet<&str> = all
        .filter_map(|decided| match decided {
            Decided::Write { source, .. } => Some(source.as_str()),
            Decided::There { source, .. } => source.as_deref(),
            Decided::Not(_) => None,
        })
        .collect();
    let named: Vec<&str> = sources.iter().copied().collect();
    (named.len() > 1).then(|| {
        format!(
            "the targets would hold copies of different source images ({}); distribute one of them \
             to all first",
            named.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::ParameterName;

    fn id(n: u8) -> String {
        format!("ami-{n:017x}")
    }

    fn versions(images: &[u8]) -> Vec<ParameterVersion> {
        let numbered = (1..).zip(images);
        let version = |(number, n): (i64, &u8)| ParameterVersion {
            number,
            value: id(*n),
            data_type: AMI_TYPE.to_owned(),
        };
        numbered.map(version).collect()
    }

    /// Returns facts in which image n is a copy of the source image that is n + 100.
    fn facts(from: &[u8], to: &[u8]) -> ChannelFacts {
        let seen = |n: &u8| {
            let image = SeenImage {
                state: "available".to_owned(),
                source: Some(id(n + 100)),
            };
            (id(*n), image)
        };
        ChannelFacts {
            from: versions(from),
            to: versions(to),
            images: from.iter().chain(to).map(seen).collect(),
        }
    }

    fn promotion() -> Move {
        Move::Promote {
            from: ParameterName::parse("/golden/dev").unwrap(),
            to: ParameterName::parse("/golden/prod").unwrap(),
        }
    }

    fn rollback(off: u8) -> Move {
        Move::Rollback {
            parameter: ParameterName::parse("/golden/prod").unwrap(),
            off: ImageId::parse(&id(off)).unwrap(),
        }
    }

    fn writes(decided: &Decided) -> Option<(String, Option<String>)> {
        match decided {
            Decided::Write { image, former, .. } => Some((image.to_string(), former.clone())),
            _ => None,
        }
    }

    #[test]
    fn a_promotion_takes_the_value_of_the_other_parameter_once() {
        let decided = decide(&promotion(), &facts(&[1, 2], &[1]), "/golden/dev");
        assert_eq!(writes(&decided), Some((id(2), Some(id(1)))));
        let decided = decide(&promotion(), &facts(&[2], &[]), "/golden/dev");
        assert_eq!(writes(&decided), Some((id(2), None)));
        let decided = decide(&promotion(), &facts(&[2], &[1, 2]), "/golden/dev");
        assert!(matches!(decided, Decided::There { .. }), "{decided:?}");
    }

    #[test]
    fn only_an_available_copy_of_ours_is_promoted() {
        let refused = |facts: &ChannelFacts, words: &str| {
            let Decided::Not(why) = decide(&promotion(), facts, "/golden/dev") else {
                panic!("{words}");
            };
            assert!(why.contains(words), "{why}");
        };
        refused(&facts(&[], &[1]), "/golden/dev does not exist");
        let mut gone = facts(&[2], &[1]);
        gone.images.remove(&id(2));
        refused(&gone, "which is not there any more");
        let mut disabled = facts(&[2], &[1]);
        disabled.images.get_mut(&id(2)).unwrap().state = "disabled".to_owned();
        refused(&disabled, "which is disabled");
        let mut foreign = facts(&[2], &[1]);
        foreign.images.get_mut(&id(2)).unwrap().source = None;
        refused(&foreign, "did not copy");
    }

    #[test]
    fn a_rollback_leaves_one_source_image_and_can_be_repeated() {
        let decided = decide(&rollback(102), &facts(&[], &[1, 2]), "/golden/prod");
        assert_eq!(writes(&decided), Some((id(1), Some(id(2)))));
        // After it, the parameter holds another image.
        let decided = decide(&rollback(102), &facts(&[], &[1, 2, 1]), "/golden/prod");
        assert!(matches!(decided, Decided::There { .. }), "{decided:?}");
        let decided = decide(&rollback(102), &facts(&[], &[2]), "/golden/prod");
        assert!(matches!(decided, Decided::Not(_)), "{decided:?}");
    }

    #[test]
    fn targets_with_copies_of_different_source_images_do_not_move_together() {
        let one = decide(&promotion(), &facts(&[2], &[1]), "/golden/dev");
        let same = decide(&promotion(), &facts(&[2], &[2]), "/golden/dev");
        let other = decide(&promotion(), &facts(&[3], &[1]), "/golden/dev");
        assert_eq!(apart([&one, &same].into_iter()), None);
        let why = apart([&one, &other].into_iter()).unwrap();
        assert!(why.contains(&id(102)) && why.contains(&id(103)), "{why}");
    }
}
