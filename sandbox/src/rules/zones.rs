//! Availability Zones: `us-west-2a`, with the ID `usw2-az1`. In the sandbox, letters and numbers go
//! together in every account, and a Region has the zones `a` to `f`.

const LETTERS: &str = "abcdef";

/// Returns the ID of a zone of this Region; nothing if there is no such zone.
pub(crate) fn id_of(region: &str, zone: &str) -> Option<String> {
    let letter = zone.strip_prefix(region)?;
    let place = LETTERS.find(letter).filter(|_| letter.len() == 1)?;
    Some(format!("{}-az{}", short(region), place + 1))
}

/// Returns the zone of this Region that has this ID; nothing if there is no such zone.
pub(crate) fn of_id(region: &str, id: &str) -> Option<String> {
    let mut zones = all(region);
    zones.find_map(|(zone, own)| (own == id).then_some(zone))
}

/// Returns the zones of this Region with their IDs.
pub(crate) fn all(region: &str) -> impl Iterator<Item = (String, String)> {
    let zones = LETTERS
        .chars()
        .map(move |letter| format!("{region}{letter}"));
    zones.filter_map(move |zone| id_of(region, &zone).map(|id| (zone, id)))
}

/// Returns `apse2` for `ap-southeast-2`.
fn short(region: &str) -> String {
    let points = ["north", "south", "east", "west", "central", "gov"];
    let mut short = String::new();
    for (i, part) in region.split('-').enumerate() {
        let mut rest = part;
        while let Some(point) = points
            .iter()
            .find(|point| i > 0 && rest.starts_with(**point))
        {
            short.push_str(&point[..1]);
            rest = &rest[point.len()..];
        }
        short.push_str(rest);
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_has_the_id_of_its_region_and_letter() {
        for (region, zone, id) in [
            ("us-west-2", "us-west-2a", "usw2-az1"),
            ("ap-southeast-2", "ap-southeast-2c", "apse2-az3"),
            ("eu-central-1", "eu-central-1b", "euc1-az2"),
            ("us-gov-east-1", "us-gov-east-1a", "usge1-az1"),
        ] {
            assert_eq!(id_of(region, zone).as_deref(), Some(id));
            assert_eq!(of_id(region, id).as_deref(), Some(zone));
        }
        for other in ["us-west-2", "us-west-2z", "us-west-2ab", "us-east-1a", ""] {
            assert_eq!(id_of("us-west-2", other), None, "{other}");
        }
        assert_eq!(of_id("us-west-2", "use1-az1"), None);
    }
}
