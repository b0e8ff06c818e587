//! `Publish`: the wishes for each target's image once it is verified.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::fields::Fields;
use super::keys::{LAUNCH_PERMISSION_KEYS, LAUNCH_TEST_KEYS, PUBLISH_KEYS};
use crate::error::Error;
use crate::ids::{
    AccountId, AudienceArn, ImageId, InstanceProfileName, InstanceType, LaunchTemplateId,
    LaunchTemplateName, Region, SubnetId, ZoneId,
};

/// Systems Manager's limits for the names of parameters, and ours for a template of one.
const LONGEST_NAME: usize = 250;
const MOST_LEVELS: usize = 15;
const PLACEHOLDERS: [&str; 5] = ["name", "image", "account", "region", "source_account"];
/// EC2's limit for `DeprecateAt`, in days.
const MOST_DAYS: u32 = 3650;
/// The number of accounts, organizations and units that may launch from each copy.
const MOST_PERMISSIONS: usize = 50;
/// The number of zones of one request: EC2 restores in at most ten at once.
const MOST_ZONES: usize = 50;

/// The wishes for a verified image; each is optional.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct Publish {
    /// The SSM parameter that holds the ID of the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<ParameterName>,
    /// The launch template that gets a version with the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch_template: Option<LaunchTemplate>,
    /// Whether that version becomes the default.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub set_default_version: bool,
    /// When the image is deprecated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deprecate: Option<Deprecate>,
    /// Whether the image is protected from deregistration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protection: Option<Protection>,
    /// The principals that may launch from the image beside its account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch_permissions: Option<LaunchPermissions>,
    /// The zones in which the snapshots are restored fast.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fast_snapshot_restore: Vec<ZoneId>,
    /// The instance that is launched before anything is published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch_test: Option<LaunchTest>,
}

/// A launch template, as the request names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LaunchTemplate {
    /// By its ID.
    Id(LaunchTemplateId),
    /// By its name.
    Name(LaunchTemplateName),
}

impl fmt::Display for LaunchTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// When an image is deprecated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deprecate {
    /// At this time (Unix seconds).
    At(i64),
    /// So many days after the image was made.
    AfterDays(u32),
}

impl Deprecate {
    /// Returns the time of an image that was made at `created` (both Unix seconds). EC2 keeps whole
    /// minutes.
    pub fn at(self, created: i64) -> i64 {
        let at = match self {
            Self::At(at) => at,
            Self::AfterDays(days) => created.saturating_add(i64::from(days) * 86_400),
        };
        at.saturating_add(30) / 60 * 60
    }
}

/// The protection of an image from deregistration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protection {
    /// The protection ends when it is disabled.
    Plain,
    /// The protection ends 24 hours after it is disabled.
    WithCooldown,
}

/// The principals that may launch from a copy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct LaunchPermissions {
    /// Accounts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub account_ids: Vec<AccountId>,
    /// Organizations and their units.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub arns: Vec<AudienceArn>,
}

/// The instance of a launch test.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct LaunchTest {
    /// The instance type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<InstanceType>,
    /// The subnet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_id: Option<SubnetId>,
    /// The instance profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_profile_name: Option<InstanceProfileName>,
    /// Whether an Auto Scaling group launches the instance, by its service-linked role.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub auto_scaling: bool,
}

/// The name of an SSM parameter, with placeholders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ParameterName(String);

impl ParameterName {
    /// Checks placeholders, characters and levels. The error names the fault.
    ///
    /// Source: Systems Manager API reference, PutParameter, Name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut plain = text.to_owned();
        for placeholder in PLACEHOLDERS {
            plain = plain.replace(&format!("{{{placeholder}}}"), "x");
        }
        if plain.contains(['{', '}']) {
            return Err(format!(
                "has a placeholder it cannot fill; accepted are {{{}}}",
                PLACEHOLDERS.join("} {")
            ));
        }
        if let Some(wrong) = plain.chars().find(|c| !is_plain(*c)) {
            return Err(format!(
                "has the character {wrong:?}; names of parameters are made of A-Za-z0-9_.-/"
            ));
        }
        let levels = plain.split('/').filter(|level| !level.is_empty()).count();
        let first = plain.trim_start_matches('/').to_ascii_lowercase();
        if levels == 0 || plain.contains("//") || plain.ends_with('/') {
            return Err("must be the name of a parameter, such as /golden/{name}".to_owned());
        }
        if plain.contains('/') && !plain.starts_with('/') {
            return Err("has levels, so it must begin with /".to_owned());
        }
        if levels > MOST_LEVELS || text.len() > LONGEST_NAME {
            return Err(format!(
                "must have at most {MOST_LEVELS} levels and {LONGEST_NAME} characters"
            ));
        }
        if first.starts_with("aws") || first.starts_with("ssm") {
            return Err("begins with aws or ssm, which Systems Manager reserves".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the template with everything filled in that all targets have in common. Characters
    /// that no name of a parameter may have become hyphens. Fails as [`ParameterName::parse`] does.
    pub fn settled(
        &self,
        source_name: &str,
        image: &ImageId,
        source: &AccountId,
    ) -> Result<Self, String> {
        let plain = |c: char| if is_plain(c) && c != '/' { c } else { '-' };
        let name: String = source_name.chars().map(plain).collect();
        let text = self.0.replace("{name}", &name);
        let text = text.replace("{image}", image.as_str());
        Self::parse(&text.replace("{source_account}", source.as_str()))
    }

    /// Returns the name in one target.
    pub fn fill(&self, account: &AccountId, region: &Region) -> String {
        let text = self.0.replace("{account}", account.as_str());
        text.replace("{region}", region.as_str())
    }

    /// Returns the template as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_.-/".contains(c)
}

impl TryFrom<String> for ParameterName {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<ParameterName> for String {
    fn from(name: ParameterName) -> String {
        name.0
    }
}

/// Reads the wishes; `None` if the request has none.
pub(super) fn read(fields: &mut Fields) -> Result<Option<Publish>, Error> {
    let Some(mut wish) = fields.object("Publish", &PUBLISH_KEYS)? else {
        return Ok(None);
    };
    let launch_template = launch_template(&mut wish)?;
    let set_default_version = wish.flag("SetDefaultVersion")?.unwrap_or(false);
    if set_default_version && launch_template.is_none() {
        return Err(Error::invalid(
            wish.key("SetDefaultVersion"),
            "goes with LaunchTemplateId or LaunchTemplateName",
        ));
    }
    let publish = Publish {
        parameter: wish.checked(&["Parameter"], ParameterName::parse)?,
        launch_template,
        set_default_version,
        deprecate: deprecate(&mut wish)?,
        protection: protection(&mut wish)?,
        launch_permissions: launch_permissions(&mut wish)?,
        fast_snapshot_restore: zones(&mut wish)?,
        launch_test: launch_test(&mut wish)?,
    };
    wish.finish()?;
    if publish == Publish::default() {
        return Err(Error::invalid(
            "Publish",
            "is empty; give at least one of its keys or leave it out",
        ));
    }
    Ok(Some(publish))
}

fn launch_template(wish: &mut Fields) -> Result<Option<LaunchTemplate>, Error> {
    let id = wish.checked(&["LaunchTemplateId"], LaunchTemplateId::parse)?;
    let name = wish.checked(&["LaunchTemplateName"], LaunchTemplateName::parse)?;
    match (id, name) {
        (Some(_), Some(_)) => Err(Error::invalid(
            wish.key("LaunchTemplateName"),
            "names the launch template a second time beside LaunchTemplateId; give one of the two",
        )),
        (Some(id), None) => Ok(Some(LaunchTemplate::Id(id))),
        (None, name) => Ok(name.map(LaunchTemplate::Name)),
    }
}

fn deprecate(wish: &mut Fields) -> Result<Option<Deprecate>, Error> {
    let at = wish.checked(&["DeprecateAt"], parse_time)?;
    let days = wish.checked(&["DeprecateAfterDays"], parse_days)?;
    match (at, days) {
        (Some(_), Some(_)) => Err(Error::invalid(
            wish.key("DeprecateAfterDays"),
            "stands beside DeprecateAt; give one of the two",
        )),
        (Some(at), None) => Ok(Some(Deprecate::At(at))),
        (None, days) => Ok(days.map(Deprecate::AfterDays)),
    }
}

fn parse_time(text: &str) -> Result<i64, &'static str> {
    let form = aws_smithy_types::date_time::Format::DateTimeWithOffset;
    let time = aws_smithy_types::DateTime::from_str(text, form);
    let seconds = time.map_or(-1, |time| time.secs());
    if (0..=i64::from(u32::MAX)).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("must be a time as in RFC 3339, such as 2027-01-31T00:00:00Z")
    }
}

fn parse_days(text: &str) -> Result<u32, &'static str> {
    let days = text.strip_suffix(".0").unwrap_or(text).parse().ok();
    days.filter(|days| (1..=MOST_DAYS).contains(days))
        .ok_or("must be a number of days from 1 to 3650")
}

fn protection(wish: &mut Fields) -> Result<Option<Protection>, Error> {
    let name = "DeregistrationProtection";
    match wish.text(&[name])?.as_deref() {
        None => Ok(None),
        Some(word) if word.eq_ignore_ascii_case("false") => Ok(None),
        Some(word) if word.eq_ignore_ascii_case("true") => Ok(Some(Protection::Plain)),
        Some("WithCooldown") => Ok(Some(Protection::WithCooldown)),
        Some(_) => Err(Error::invalid(
            wish.key(name),
            "must be true, false or WithCooldown",
        )),
    }
}

fn launch_permissions(wish: &mut Fields) -> Result<Option<LaunchPermissions>, Error> {
    let Some(mut fields) = wish.object("LaunchPermissions", &LAUNCH_PERMISSION_KEYS)? else {
        return Ok(None);
    };
    let accounts = each(&mut fields, "AccountIds", AccountId::parse)?;
    let mut arns = each(&mut fields, "OrganizationArns", AudienceArn::parse)?;
    arns.extend(each(
        &mut fields,
        "OrganizationalUnitArns",
        AudienceArn::parse,
    )?);
    fields.finish()?;
    if accounts.is_empty() && arns.is_empty() {
        let problem = "is empty; name accounts, organizations or units that may launch";
        return Err(Error::invalid(wish.key("LaunchPermissions"), problem));
    }
    if accounts.len() + arns.len() > MOST_PERMISSIONS {
        let problem = format!(
            "has {} entries; at most {MOST_PERMISSIONS} are accepted",
            accounts.len() + arns.len()
        );
        return Err(Error::invalid(wish.key("LaunchPermissions"), problem));
    }
    Ok(Some(LaunchPermissions {
        account_ids: accounts,
        arns,
    }))
}

fn zones(wish: &mut Fields) -> Result<Vec<ZoneId>, Error> {
    let zones = each(wish, "FastSnapshotRestore", ZoneId::parse)?;
    if zones.len() > MOST_ZONES {
        let problem = format!(
            "has {} items; at most {MOST_ZONES} are accepted",
            zones.len()
        );
        return Err(Error::invalid(wish.key("FastSnapshotRestore"), problem));
    }
    Ok(zones)
}

fn launch_test(wish: &mut Fields) -> Result<Option<LaunchTest>, Error> {
    let Some(mut fields) = wish.object("LaunchTest", &LAUNCH_TEST_KEYS)? else {
        return Ok(None);
    };
    let test = LaunchTest {
        instance_type: fields.checked(&["InstanceType"], InstanceType::parse)?,
        subnet_id: fields.checked(&["SubnetId"], SubnetId::parse)?,
        instance_profile_name: fields
            .checked(&["InstanceProfileName"], InstanceProfileName::parse)?,
        auto_scaling: fields.flag("AutoScaling")?.unwrap_or(false),
    };
    fields.finish()?;
    Ok(Some(test))
}

fn each<T: PartialEq, E: fmt::Display>(
    fields: &mut Fields,
    name: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Vec<T>, Error> {
    let mut parsed = Vec::new();
    for (i, text) in fields.list(name)?.unwrap_or_default().iter().enumerate() {
        let key = || fields.key(&format!("{name}[{i}]"));
        let item = parse(text).map_err(|e| Error::invalid(key(), e.to_string()))?;
        if parsed.contains(&item) {
            return Err(Error::invalid(key(), format!("names {text} a second time")));
        }
        parsed.push(item);
    }
    Ok(parsed)
}
