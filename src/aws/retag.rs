//! Changing the tags of existing copies to those that an update of a custom resource asks for.

use std::collections::BTreeMap;

use aws_sdk_ec2::Client;

use super::check::used_in_order;
use super::visit::Visit;
use super::{Aws, Place, copies, image, refusal, tags};
use crate::command::Retagged;
use crate::error::{Refusal, RefusalKind};
use crate::ids::{ImageId, SnapshotId};
use crate::source::Source;
use crate::state::{Retag, RunRef};
use crate::tags::{Changes, changes};

/// Resources by the changes that they need, and whether they show these already. The resources of
/// one request mostly need the same changes.
type Grouped = BTreeMap<(Changes, bool), Vec<String>>;

/// A resource whose tags an update may change.
struct Standing<'a> {
    id: &'a str,
    /// When it was made (Unix seconds).
    created: i64,
    /// The tags of its source.
    from: &'a BTreeMap<String, String>,
    shown: BTreeMap<String, String>,
}

impl Aws {
    /// Changes the tags of a target's image and its snapshots, where they stood before this run.
    pub(super) async fn retag(
        &self,
        visit: &Visit<'_>,
        source: &Source,
        retag: &Retag,
        id: &ImageId,
    ) -> Result<Retagged, Refusal> {
        let Some(there) = image::own_image(&visit.ec2, &visit.at, id).await? else {
            return Ok(Retagged::NotYet(format!("{id} is not visible")));
        };
        let Some(used) = used_in_order(source, &image::facts(&there)) else {
            return Ok(Retagged::NotYet(format!("{id} shows no snapshots")));
        };
        let mut standing = vec![Standing {
            id: id.as_str(),
            created: image::created(&there),
            from: &source.image.tags,
            shown: tags::to_map(there.tags()),
        }];
        standing.extend(snapshots(visit, source, &used).await?);
        for ((changes, shown), ids) in grouped(visit.run, retag, standing) {
            match change(&visit.ec2, &visit.at, changes, ids).await {
                // The lists may be a minute old, so the calls are made. But a role that may not
                // make them has changed nothing meanwhile: the rollback of an update that failed
                // by it must succeed.
                Err(refusal) if shown && refusal.kind() == RefusalKind::Denied => {}
                other => other?,
            }
        }
        Ok(Retagged::Done)
    }
}

/// Reads the snapshots that an image stands on, with those of the source that they are copies of.
async fn snapshots<'a>(
    visit: &Visit<'_>,
    source: &'a Source,
    used: &'a [SnapshotId],
) -> Result<Vec<Standing<'a>>, Refusal> {
    let listed = copies::of_ids(&visit.ec2, &visit.at, used).await?;
    let each = used.iter().zip(&source.snapshots).map(|(id, from)| {
        let mut listed = listed.iter();
        let there = listed.find(|there| there.snapshot_id() == Some(id.as_str()));
        let started = there.and_then(|there| there.start_time());
        Standing {
            id: id.as_str(),
            created: started.map_or(0, aws_smithy_types::DateTime::secs),
            from: &from.tags,
            shown: there.map_or_else(BTreeMap::new, |there| tags::to_map(there.tags())),
        }
    });
    Ok(each.collect())
}

/// Sorts resources by the changes that they need. A resource that this run made has its tags
/// already.
fn grouped(run: RunRef<'_>, retag: &Retag, standing: Vec<Standing<'_>>) -> Grouped {
    let mut grouped = Grouped::new();
    for one in standing.into_iter().filter(|s| s.created <= run.started) {
        let changes = changes(run, retag, one.from, &one.shown);
        if changes != Changes::default() {
            let shown = changes.are_shown_by(&one.shown);
            let ids = grouped.entry((changes, shown)).or_default();
            ids.push(one.id.to_owned());
        }
    }
    grouped
}

/// Deletes before it sets: a resource may have no room for more.
async fn change(
    ec2: &Client,
    at: &Place,
    changes: Changes,
    ids: Vec<String>,
) -> Result<(), Refusal> {
    let what = ids.join(", ");
    if !changes.deleted.is_empty() {
        let asked = ec2.delete_tags().set_resources(Some(ids.clone()));
        let answer = asked
            .set_tags(Some(tags::list(changes.deleted)))
            .send()
            .await;
        answer.map_err(|e| refusal("DeleteTags", at, &what, &e))?;
    }
    if !changes.set.is_empty() {
        let asked = ec2.create_tags().set_resources(Some(ids));
        let answer = asked.set_tags(Some(tags::list(changes.set))).send().await;
        answer.map_err(|e| refusal("CreateTags", at, &what, &e))?;
    }
    Ok(())
}
