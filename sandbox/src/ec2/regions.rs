//! DescribeRegions, for the caller's own partition, and GetEbsDefaultKmsKeyId.

use super::Ask;
use super::filters::Filters;
use super::permit::{self, Facts};
use crate::aws::{Aws, Partition, REGIONS, are_neighbours};
use crate::refusals::{self, Refused};
use crate::wire::xml::Xml;

pub(super) fn describe(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let known = |name: &str| matches!(name, "endpoint" | "opt-in-status" | "region-name");
    let filters = Filters::read(ask.query, known)?;
    let wanted = ask.query.list("RegionName");
    for name in &wanted {
        if !are_neighbours(name, ask.region()) {
            return Err(refusals::COPY_UNKNOWN_REGION.with(&[name]));
        }
    }
    permit::action(aws, ask, "*", &Facts::default())?;
    ask.dry_run()?;
    let all = ask.query.flag("AllRegions")?.unwrap_or(false);
    let account = aws.accounts.get(ask.account());
    let here = REGIONS
        .iter()
        .filter(|(name, _)| are_neighbours(name, ask.region()));
    let suffix = Partition::of_region(ask.region()).suffix;
    let regions = here.filter_map(|(name, opt_in)| {
        let disabled = account.is_some_and(|account| account.disabled_regions.contains(*name));
        let status = match (opt_in, disabled) {
            (_, true) => "not-opted-in",
            (true, false) => "opted-in",
            (false, false) => "opt-in-not-required",
        };
        let endpoint = format!("ec2.{name}.{suffix}");
        let shown = (wanted.is_empty() || wanted.iter().any(|w| w == name)) && (all || !disabled);
        let passes = filters.admit(Vec::new, |filter| {
            vec![match filter {
                "endpoint" => endpoint.clone(),
                "opt-in-status" => status.to_owned(),
                _ => (*name).to_owned(),
            }]
        });
        (shown && passes).then_some((*name, endpoint.clone(), status))
    });
    let mut xml = Xml::new();
    xml.list("regionInfo", regions, |xml, (name, endpoint, status)| {
        xml.text("regionName", name)
            .text("regionEndpoint", endpoint)
            .text("optInStatus", status);
    });
    Ok(xml.finish())
}

pub(super) fn ebs_default_key(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    permit::action(aws, ask, "*", &Facts::default())?;
    ask.dry_run()?;
    let account = aws.accounts.get(ask.account());
    let chosen = account.and_then(|account| account.ebs_default_keys.get(ask.region()));
    let mut xml = Xml::new();
    xml.text("kmsKeyId", chosen.map_or("alias/aws/ebs", String::as_str));
    Ok(xml.finish())
}
