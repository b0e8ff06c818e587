//! Fast snapshot restore of the copies.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_snapshots_of_a_copy_are_restored_fast_in_the_zones_of_its_region() {
    let sandbox = Sandbox::new(publishing_world(&TWO));
    let wish = json!({"FastSnapshotRestore": "usw2-az1,usw2-az2,use1-az4"});
    let event = publishing(&TWO, &wish);
    let reply = to_the_end(&sandbox, &event).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    for (place, zones) in [(TWO[0], 2), (TWO[1], 1)] {
        let image = assert_one_image(&sandbox, place);
        let restores = sandbox.fast_restores(place.0, place.1);
        assert_eq!(restores.len(), 2 * zones, "{restores:?}");
        for restore in restores {
            assert!(
                restore.availability_zone.starts_with(place.1),
                "{restore:?}"
            );
            assert!(
                image.snapshot_ids().contains(&restore.snapshot_id),
                "{restore:?}"
            );
        }
    }
    sandbox.clear_ledger();
    to_the_end(&sandbox, &event).await;
    assert_eq!(calls(&sandbox, "EnableFastSnapshotRestores"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_target_without_a_zone_in_its_region_is_told_so() {
    let sandbox = Sandbox::new(publishing_world(&[PLACE]));
    let wish = json!({"FastSnapshotRestore": ["use1-az4"]});
    let reply = to_the_end(&sandbox, &publishing(&[PLACE], &wish)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    let notes = target(&reply, PLACE)["Notes"].to_string();
    assert!(
        notes.contains("no zone of FastSnapshotRestore is in us-west-2"),
        "{notes}"
    );
}
