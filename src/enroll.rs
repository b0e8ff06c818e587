//! The decisions about targets that have no image of a channel yet, such as those of an account
//! that joined an organization. Pure: AWS's answers come in as facts.

use std::collections::BTreeMap;

use crate::channel::{ChannelFacts, verified};
use crate::ids::ImageId;

/// The content of a channel in one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// Nothing: there is no such parameter.
    Nothing,
    /// An available copy of this source image that amiferry made.
    Copy {
        /// The copy.
        image: ImageId,
        /// The source image.
        source: String,
    },
    /// Something else; the text says what.
    Other(String),
    /// Unknown: the channel could not be read; the text says why.
    Unread(String),
}

/// Returns what a channel holds, by the history of its parameter (`to`).
pub fn held(facts: &ChannelFacts, name: &str) -> Held {
    let Some(last) = facts.to.last() else {
        return Held::Nothing;
    };
    match verified(facts, &last.value) {
        Ok((image, source)) => Held::Copy { image, source },
        Err(why) => Held::Other(format!("{name} holds {}, {why}", last.value)),
    }
}

/// Returns the source image that a channel has in most targets. Tags in one account can say
/// anything, so no single target decides.
pub fn current<'a>(all: impl Iterator<Item = &'a Held>) -> Result<ImageId, String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for held in all {
        if let Held::Copy { source, .. } = held {
            *counts.entry(source).or_default() += 1;
        }
    }
    let most = counts.values().copied().max().unwrap_or_default();
    let mut named = counts.iter().filter(|(_, count)| **count == most);
    match (named.next(), named.next()) {
        (Some((source, _)), None) => ImageId::parse(source).map_err(|e| e.to_string()),
        (Some((one, _)), Some((other, _))) => Err(format!(
            "as many targets hold copies of {one} as of {other}; distribute one of them to all"
        )),
        (None, _) => {
            Err("no target holds a copy yet; distribute an image to one of them first".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(source: &str) -> Held {
        Held::Copy {
            image: ImageId::parse("ami-0a1b2c3d4e5f60718").unwrap(),
            source: source.to_owned(),
        }
    }

    #[test]
    fn the_image_of_most_targets_is_the_current_one() {
        let (old, new) = ("ami-00000000000000001", "ami-00000000000000002");
        let of = |all: &[Held]| current(all.iter()).map(|image| image.to_string());
        let some = [copy(new), copy(old), copy(new), Held::Nothing];
        assert_eq!(of(&some).as_deref(), Ok(new));
        // One target cannot name an image that no other has.
        let forged = [copy(new), copy(new), copy("ami-0000000000000000f")];
        assert_eq!(of(&forged).as_deref(), Ok(new));
        let split = of(&[copy(new), copy(old)]).unwrap_err();
        assert!(split.contains(old) && split.contains(new), "{split}");
        let unread = Held::Unread("denied".to_owned());
        let none = of(&[Held::Nothing, unread]).unwrap_err();
        assert!(none.contains("no target holds a copy"), "{none}");
        let no_image = of(&[copy("golden")]).unwrap_err();
        assert!(no_image.contains("ami-"), "{no_image}");
    }
}
