//! DescribeAvailabilityZones: all zones of the Region, which are always available.
//!
//! Source: model.

use super::Ask;
use super::permit::{self, Facts};
use crate::aws::Aws;
use crate::refusals::Refused;
use crate::rules::zones;
use crate::wire::xml::Xml;

pub(super) fn describe(aws: &Aws, ask: Ask<'_>) -> Result<String, Refused> {
    permit::action(aws, ask, "*", &Facts::default())?;
    ask.dry_run()?;
    let mut xml = Xml::new();
    let all = zones::all(ask.region());
    xml.list("availabilityZoneInfo", all, |xml, (name, id)| {
        xml.text("optInStatus", "opt-in-not-required")
            .text("regionName", ask.region())
            .text("zoneName", name)
            .text("zoneId", id)
            .text("networkBorderGroup", ask.region())
            .text("zoneType", "availability-zone")
            .text("zoneState", "available");
    });
    Ok(xml.finish())
}
