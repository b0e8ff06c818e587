//! The plan of a run, in words.

use std::fmt;

use crate::ids::ZoneId;
use crate::ledger::readable;
use crate::request::{Deprecate, KeyAccess, Protection, Publish};
use crate::service_linked_role::ServiceLinkedRole;
use crate::state::{Order, RunRef, Share, Stage, State, TargetPhase};

/// The plan that a dry run shows.
#[derive(Debug)]
pub struct Plan<'a>(pub &'a State);

impl fmt::Display for Plan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let State {
            source,
            order,
            targets,
            ..
        } = self.0;
        if let Some(share) = &order.share {
            return write_share(f, self.0, share);
        }
        writeln!(
            f,
            "Copy {} ({}) from {} {}",
            source.image_id,
            counted(source.snapshots.len(), "snapshot"),
            source.account_id,
            source.region
        )?;
        for target in targets {
            let (account, region, key) = (&target.account_id, &target.region, &target.kms_key_id);
            writeln!(
                f,
                "  to {account} {region} as {} under {key}",
                target.role_name
            )?;
        }
        let run = self.0.run_ref();
        write_stages(f, run)?;
        if targets.iter().all(|target| run.is_own(target)) {
            write!(f, "Nothing is shared: the account copies what is its own")?;
            return write_rest(f, order);
        }
        let keys = run.all_opened_keys().len();
        let opened = match order.key_access {
            KeyAccess::Grant => {
                format!("and {} for each account in need", counted(keys, "grant"))
            }
            KeyAccess::Policy => format!(
                "for each account in need, which the policies of {} name",
                counted(keys, "key")
            ),
            KeyAccess::None => "for each account in need".to_owned(),
        };
        let after = if order.revoke_after_copy {
            "revoked afterwards"
        } else {
            "left in place"
        };
        let image = if order.copies_image {
            "the image, "
        } else {
            ""
        };
        write!(
            f,
            "Meanwhile shared: {image}{} {opened}; {after}",
            counted(source.snapshots.len(), "snapshot")
        )?;
        write_rest(f, order)
    }
}

/// Writes which copies are made in the source account first.
fn write_stages(f: &mut fmt::Formatter<'_>, run: RunRef<'_>) -> fmt::Result {
    let source = run.source;
    for Stage { region, key } in run.stages() {
        let what = if *region == source.region {
            format!("the snapshots under {}", source.managed_keys.join(" and "))
        } else {
            format!("all snapshots, once for the targets in {region}")
        };
        writeln!(
            f,
            "First copied in {} under {key}, until the end: {what}",
            source.account_id
        )?;
    }
    Ok(())
}

/// Writes what becomes of an image once it is copied.
fn write_rest(f: &mut fmt::Formatter<'_>, order: &Order) -> fmt::Result {
    write_roles(f, order)?;
    match &order.publish {
        Some(publish) => write_publishing(f, publish),
        None => Ok(()),
    }
}

/// Writes the parts of a publication in their order.
fn write_publishing(f: &mut fmt::Formatter<'_>, publish: &Publish) -> fmt::Result {
    write!(f, "\nThen in each target")?;
    if let Some(test) = &publish.launch_test {
        let kind = test.instance_type.as_ref();
        let kind = kind.map(|kind| format!(" ({kind})")).unwrap_or_default();
        let by = if test.auto_scaling {
            " by an Auto Scaling group"
        } else {
            ""
        };
        write!(f, "\n  a launch test{kind}{by}")?;
    }
    match publish.deprecate {
        Some(Deprecate::At(at)) => write!(f, "\n  deprecated at {}", readable(at))?,
        Some(Deprecate::AfterDays(days)) => {
            write!(f, "\n  deprecated after {}", counted(days as usize, "day"))?;
        }
        None => {}
    }
    match publish.protection {
        Some(Protection::Plain) => write!(f, "\n  protected from deregistration")?,
        Some(Protection::WithCooldown) => {
            write!(f, "\n  protected from deregistration, with a cooldown")?;
        }
        None => {}
    }
    if !publish.fast_snapshot_restore.is_empty() {
        let zones: Vec<&str> = publish
            .fast_snapshot_restore
            .iter()
            .map(ZoneId::as_str)
            .collect();
        write!(f, "\n  fast snapshot restore in {}", zones.join(", "))?;
    }
    if let Some(permissions) = &publish.launch_permissions {
        let accounts = permissions.account_ids.iter().map(ToString::to_string);
        let arns = permissions.arns.iter().map(ToString::to_string);
        let all: Vec<String> = accounts.chain(arns).collect();
        write!(
            f,
            "\n  may launch from it, until taken back: {}",
            all.join(", ")
        )?;
    }
    if let Some(template) = &publish.launch_template {
        let default = if publish.set_default_version {
            ", as its default"
        } else {
            ""
        };
        write!(
            f,
            "\n  a new version of launch template {template}{default}"
        )?;
    }
    if let Some(parameter) = &publish.parameter {
        write!(f, "\n  parameter {} set to it", parameter.as_str())?;
    }
    Ok(())
}

/// Returns a number of things in words: `1 grant`, `2 grants`.
fn counted(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

fn write_roles(f: &mut fmt::Formatter<'_>, order: &Order) -> fmt::Result {
    let roles: Vec<String> = order
        .service_linked_roles
        .iter()
        .map(ServiceLinkedRole::role_name)
        .collect();
    if roles.is_empty() {
        return Ok(());
    }
    let if_missing = if order.create_service_linked_roles {
        ", made where they do not exist"
    } else {
        ""
    };
    write!(f, "\nTo launch by it: {}{if_missing}", roles.join(", "))
}

fn write_share(f: &mut fmt::Formatter<'_>, state: &State, share: &Share) -> fmt::Result {
    let State {
        source,
        order,
        targets,
        ..
    } = state;
    write!(
        f,
        "Share {} of {} {}",
        source.image_id, source.account_id, source.region
    )?;
    for (word, phase) in [
        ("with", TargetPhase::Ready),
        ("no longer with", TargetPhase::Removed),
    ] {
        for target in targets.iter().filter(|t| t.phase == phase) {
            write!(f, "\n  {word} {}", target.account_id)?;
        }
    }
    for arn in &share.audience {
        write!(f, "\n  with {arn}")?;
    }
    for arn in &share.gone {
        write!(f, "\n  no longer with {arn}")?;
    }
    if share.only {
        write!(f, "\n  and with nobody else it was shared with before")?;
    }
    write_roles(f, order)
}
