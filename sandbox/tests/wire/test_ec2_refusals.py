"""The refusals of EC2, as botocore and the AWS CLI read them."""

from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pytest
from botocore.exceptions import WaiterError

from clients import copy, failed, refused, settled, share, snapshot
from names import (
    ARCHIVED,
    AWAY,
    BULK,
    CONSUMER,
    COPY_OPERATIONS,
    DISABLED_KEY,
    FOREIGN_KEY,
    GOLDEN,
    GOLDEN_DATA,
    GOLDEN_ROOT,
    HOME,
    MANAGED,
    MANAGED_IMAGE,
    MISSING_KEY,
    OUTSIDER,
    PLAIN,
    SOURCE_KEY,
    TARGET_KEY,
)


# --- copying --------------------------------------------------------------------------------------


def test_a_snapshot_not_shared_is_invisible_and_its_copy_starts_and_then_fails(sandbox):
    consumer = sandbox.consumer
    with refused("InvalidSnapshot.NotFound", GOLDEN_ROOT):
        consumer.ec2(HOME).describe_snapshots(SnapshotIds=[GOLDEN_ROOT])
    away = consumer.ec2(AWAY)
    by_cli = consumer.cli(
        AWAY,
        "ec2",
        "copy-snapshot",
        "--source-region",
        HOME,
        "--source-snapshot-id",
        GOLDEN_ROOT,
        "--encrypted",
        "--kms-key-id",
        TARGET_KEY,
    )
    for started in (copy(away), by_cli["SnapshotId"]):
        assert failed(away, started) == "Source snapshot is not found"


def test_a_source_key_out_of_reach_lets_the_copy_start_and_then_fail(sandbox):
    share(sandbox.producer, GOLDEN_ROOT)
    away = sandbox.consumer.ec2(AWAY)
    assert failed(away, copy(away)) == "Given key ID is not accessible"


@pytest.mark.parametrize(
    "key", [FOREIGN_KEY, DISABLED_KEY, MISSING_KEY], ids=["foreign", "disabled", "missing"]
)
def test_a_target_key_out_of_reach_lets_the_copy_start_and_then_fail(shared, key):
    away = shared.consumer.ec2(AWAY)
    assert failed(away, copy(away, key=key)) == "Given key ID is not accessible"


def test_botocore_waiter_reports_a_failed_copy(sandbox):
    share(sandbox.producer, GOLDEN_ROOT)
    away = sandbox.consumer.ec2(AWAY)
    snapshot_id = copy(away)
    settled(away, snapshot_id)
    with pytest.raises(WaiterError, match="terminal failure"):
        away.get_waiter("snapshot_completed").wait(SnapshotIds=[snapshot_id])


def test_sharing_removed_while_copying_breaks_the_copy(sandbox):
    share(sandbox.producer, BULK)
    sandbox.producer.kms(HOME).create_grant(
        KeyId=SOURCE_KEY,
        GranteePrincipal=f"arn:aws:iam::{CONSUMER}:root",
        Operations=COPY_OPERATIONS,
    )
    away = sandbox.consumer.ec2(AWAY)
    snapshot_id = copy(away, BULK)
    assert snapshot(away, snapshot_id)["State"] == "pending"
    share(sandbox.producer, BULK, "remove")
    assert BULK in failed(away, snapshot_id)


def test_the_21st_concurrent_copy_is_refused(sandbox):
    away = sandbox.producer.ec2(AWAY)
    wanted = {"SourceRegion": HOME, "SourceSnapshotId": BULK, "Encrypted": True}
    copies = [away.copy_snapshot(**wanted)["SnapshotId"] for _ in range(20)]
    with refused("ResourceLimitExceeded", "limit is 20"):
        away.copy_snapshot(**wanted)
    with refused("ResourceLimitExceeded"):
        sandbox.producer.cli(
            AWAY,
            "ec2",
            "copy-snapshot",
            "--source-region",
            HOME,
            "--source-snapshot-id",
            BULK,
            "--encrypted",
        )
    # The limit applies to the destination Region.
    assert sandbox.producer.ec2("eu-west-1").copy_snapshot(**wanted)["SnapshotId"]
    # A copy goes on without its snapshot, and counts towards the limit.
    away.delete_snapshot(SnapshotId=copies[0])
    with refused("ResourceLimitExceeded"):
        away.copy_snapshot(**wanted)


def test_an_archived_snapshot_cannot_be_copied(sandbox):
    with refused("IncorrectState", ARCHIVED):
        sandbox.producer.ec2(AWAY).copy_snapshot(
            SourceRegion=HOME, SourceSnapshotId=ARCHIVED, Encrypted=True
        )


def test_a_copy_takes_its_requested_duration(sandbox):
    away = sandbox.producer.ec2(AWAY)
    wanted = {"SourceRegion": HOME, "SourceSnapshotId": GOLDEN_ROOT, "Encrypted": True}
    made = away.copy_snapshot(**wanted, CompletionDurationMinutes=15)["SnapshotId"]
    found = settled(away, made)
    assert (found["TransferType"], found["CompletionDurationMinutes"]) == ("time-based", 15)
    assert found["CompletionTime"] >= found["StartTime"]
    for minutes in (14, 16, 2895):
        with refused("InvalidParameterValue", "CompletionDurationMinutes"):
            away.copy_snapshot(**wanted, CompletionDurationMinutes=minutes)


def test_a_copy_with_a_key_needs_encrypted(sandbox):
    with refused("InvalidParameterDependency", "KmsKeyId"):
        sandbox.producer.ec2(AWAY).copy_snapshot(
            SourceRegion=HOME, SourceSnapshotId=PLAIN, KmsKeyId=TARGET_KEY
        )


# --- the presigned URL ----------------------------------------------------------------------------


def presigned(caller, change):
    """Takes the URL that botocore makes, changes it, and sends it as the caller's own."""
    made = {}
    client = caller.ec2(AWAY)

    def keep(params, **_):
        made["url"] = params["body"].get("PresignedUrl")

    # The handler runs after botocore's own, which inserts the URL.
    client.meta.events.register_last("before-call.ec2.CopySnapshot", keep)
    try:
        copy(client, DryRun=True)
    except client.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == "DryRunOperation"
    finally:
        client.meta.events.unregister("before-call.ec2.CopySnapshot", keep)
    scheme, host, path, query, fragment = urlsplit(made["url"])
    pairs = change(dict(parse_qsl(query, keep_blank_values=True)))
    return urlunsplit((scheme, host, path, urlencode(pairs), fragment))


def test_botocore_signs_the_url_for_the_source_region(shared):
    seen = {}
    presigned(shared.consumer, lambda pairs: seen.update(pairs) or pairs)
    assert seen["Action"] == "CopySnapshot"
    assert (seen["SourceRegion"], seen["DestinationRegion"]) == (HOME, AWAY)
    assert f"/{HOME}/ec2/aws4_request" in seen["X-Amz-Credential"]


def test_an_unchanged_presigned_url_is_accepted(shared):
    away = shared.consumer.ec2(AWAY)
    url = presigned(shared.consumer, lambda pairs: pairs)
    assert (
        settled(away, copy(away, PresignedUrl=url, DestinationRegion=AWAY))["State"] == "completed"
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda pairs: pairs | {"X-Amz-Signature": "0" * 64},
        lambda pairs: pairs | {"SourceSnapshotId": GOLDEN_DATA},
        lambda pairs: pairs | {"KmsKeyId": FOREIGN_KEY},
        lambda pairs: pairs | {"X-Amz-Date": "20200101T000000Z"},
        lambda pairs: pairs | {"X-Amz-Credential": pairs["X-Amz-Credential"].replace(HOME, AWAY)},
        lambda pairs: {name: value for name, value in pairs.items() if name != "X-Amz-Signature"},
    ],
    ids=["signature", "another snapshot", "another key", "old date", "wrong Region", "unsigned"],
)
def test_a_bad_presigned_url_lets_the_copy_start_and_then_fail(shared, change):
    away = shared.consumer.ec2(AWAY)
    url = presigned(shared.consumer, change)
    assert "presigned URL" in failed(away, copy(away, PresignedUrl=url, DestinationRegion=AWAY))


def test_a_presigned_url_of_another_principal_fails_the_copy(shared):
    shared.producer.ec2(HOME).modify_snapshot_attribute(
        SnapshotId=GOLDEN_ROOT,
        Attribute="createVolumePermission",
        OperationType="add",
        UserIds=[OUTSIDER],
    )
    url = presigned(shared.outsider, lambda pairs: pairs)
    away = shared.consumer.ec2(AWAY)
    assert "presigned URL" in failed(away, copy(away, PresignedUrl=url, DestinationRegion=AWAY))


# --- sharing --------------------------------------------------------------------------------------


def test_the_managed_key_cannot_be_shared(sandbox):
    with refused("OperationNotPermitted", "EBS default key cannot be shared"):
        share(sandbox.producer, MANAGED)
    with refused("OperationNotPermitted"):
        sandbox.producer.cli(
            HOME,
            "ec2",
            "modify-snapshot-attribute",
            "--snapshot-id",
            MANAGED,
            "--attribute",
            "createVolumePermission",
            "--operation-type",
            "add",
            "--user-ids",
            CONSUMER,
        )
    with refused("InvalidParameter", "AWS Managed CMK"):
        sandbox.producer.ec2(HOME).modify_image_attribute(
            ImageId=MANAGED_IMAGE, LaunchPermission={"Add": [{"UserId": CONSUMER}]}
        )
    shared = sandbox.producer.ec2(HOME).describe_snapshot_attribute(
        SnapshotId=MANAGED, Attribute="createVolumePermission"
    )
    assert shared["CreateVolumePermissions"] == []


def test_an_encrypted_snapshot_or_image_cannot_be_public(sandbox):
    at_home = sandbox.producer.ec2(HOME)
    with refused("InvalidParameterValue", "Encrypted"):
        at_home.modify_snapshot_attribute(
            SnapshotId=GOLDEN_ROOT,
            Attribute="createVolumePermission",
            OperationType="add",
            GroupNames=["all"],
        )
    with refused("InvalidParameterValue", "encrypted"):
        at_home.modify_image_attribute(ImageId=GOLDEN, LaunchPermission={"Add": [{"Group": "all"}]})


def test_permissions_are_changed_by_the_owner_500_at_a_time_in_one_direction(sandbox):
    at_home = sandbox.producer.ec2(HOME)
    accounts = [f"{500_000_000_000 + n}" for n in range(501)]
    with refused("InvalidParameterValue", "500"):
        at_home.modify_snapshot_attribute(
            SnapshotId=GOLDEN_ROOT,
            Attribute="createVolumePermission",
            OperationType="add",
            UserIds=accounts,
        )
    with refused("InvalidParameterCombination"):
        at_home.modify_snapshot_attribute(
            SnapshotId=GOLDEN_ROOT,
            CreateVolumePermission={
                "Add": [{"UserId": CONSUMER}],
                "Remove": [{"UserId": OUTSIDER}],
            },
        )
    with refused("InvalidUserID.Malformed", "1234"):
        at_home.modify_snapshot_attribute(
            SnapshotId=GOLDEN_ROOT,
            Attribute="createVolumePermission",
            OperationType="add",
            UserIds=["1234"],
        )
    share(sandbox.producer, GOLDEN_ROOT)
    with refused("AuthFailure", GOLDEN_ROOT):
        share(sandbox.consumer, GOLDEN_ROOT)
    with refused("AuthFailure", GOLDEN_ROOT):
        sandbox.consumer.ec2(HOME).describe_snapshot_attribute(
            SnapshotId=GOLDEN_ROOT, Attribute="createVolumePermission"
        )
