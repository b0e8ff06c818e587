"""The refusals of EC2, as botocore and the AWS CLI read them."""

from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pytest
from botocore.exceptions import WaiterError

from clients import poll, refused, settled, snapshot
from names import (
    ARCHIVED, AWAY, BULK, CONSUMER, COPY_OPERATIONS, COPY_ROLE, DISABLED_KEY, FOREIGN_KEY, GOLDEN, GOLDEN_DATA,
    GOLDEN_ROOT, HOME, MANAGED, MANAGED_IMAGE, MISSING_KEY, OUTSIDER, PLAIN, PRODUCER, SOURCE_KEY, TARGET_KEY,
)


@pytest.fixture
def shared(sandbox):
    """Returns the sandbox after the producer shared golden's root and its key with the consumer."""
    share(sandbox.producer, GOLDEN_ROOT)
    sandbox.producer.kms(HOME).create_grant(
        KeyId=SOURCE_KEY, GranteePrincipal=f"arn:aws:iam::{CONSUMER}:root", Operations=COPY_OPERATIONS
    )
    return sandbox


def share(producer, snapshot_id, operation="add"):
    producer.ec2(HOME).modify_snapshot_attribute(
        SnapshotId=snapshot_id, Attribute="createVolumePermission", OperationType=operation, UserIds=[CONSUMER]
    )


def copy(ec2, source=GOLDEN_ROOT, key=TARGET_KEY, **more):
    answer = ec2.copy_snapshot(SourceRegion=HOME, SourceSnapshotId=source, Encrypted=True, KmsKeyId=key, **more)
    return answer["SnapshotId"]


def failed(ec2, snapshot_id):
    """Returns the message of a copy that was accepted and ended in `error`."""
    found = settled(ec2, snapshot_id)
    assert found["State"] == "error"
    return found["StateMessage"]


# --- copying --------------------------------------------------------------------------------------


def test_a_snapshot_not_shared_is_invisible_and_its_copy_starts_and_then_fails(sandbox):
    consumer = sandbox.consumer
    with refused("InvalidSnapshot.NotFound", GOLDEN_ROOT):
        consumer.ec2(HOME).describe_snapshots(SnapshotIds=[GOLDEN_ROOT])
    away = consumer.ec2(AWAY)
    by_cli = consumer.cli(
        AWAY, "ec2", "copy-snapshot", "--source-region", HOME, "--source-snapshot-id", GOLDEN_ROOT,
        "--encrypted", "--kms-key-id", TARGET_KEY,
    )
    for started in (copy(away), by_cli["SnapshotId"]):
        assert failed(away, started) == "Source snapshot is not found"


def test_a_source_key_out_of_reach_lets_the_copy_start_and_then_fail(sandbox):
    share(sandbox.producer, GOLDEN_ROOT)
    away = sandbox.consumer.ec2(AWAY)
    assert failed(away, copy(away)) == "Given key ID is not accessible"


@pytest.mark.parametrize("key", [FOREIGN_KEY, DISABLED_KEY, MISSING_KEY], ids=["foreign", "disabled", "missing"])
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
        KeyId=SOURCE_KEY, GranteePrincipal=f"arn:aws:iam::{CONSUMER}:root", Operations=COPY_OPERATIONS
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
            AWAY, "ec2", "copy-snapshot", "--source-region", HOME, "--source-snapshot-id", BULK, "--encrypted"
        )
    # The limit applies to the destination Region.
    assert sandbox.producer.ec2("eu-west-1").copy_snapshot(**wanted)["SnapshotId"]
    # A copy goes on without its snapshot, and counts towards the limit.
    away.delete_snapshot(SnapshotId=copies[0])
    with refused("ResourceLimitExceeded"):
        away.copy_snapshot(**wanted)


def test_an_archived_snapshot_cannot_be_copied(sandbox):
    with refused("IncorrectState", ARCHIVED):
        sandbox.producer.ec2(AWAY).copy_snapshot(SourceRegion=HOME, SourceSnapshotId=ARCHIVED, Encrypted=True)


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
        sandbox.producer.ec2(AWAY).copy_snapshot(SourceRegion=HOME, SourceSnapshotId=PLAIN, KmsKeyId=TARGET_KEY)


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
    assert settled(away, copy(away, PresignedUrl=url, DestinationRegion=AWAY))["State"] == "completed"


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
        SnapshotId=GOLDEN_ROOT, Attribute="createVolumePermission", OperationType="add", UserIds=[OUTSIDER]
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
            HOME, "ec2", "modify-snapshot-attribute", "--snapshot-id", MANAGED,
            "--attribute", "createVolumePermission", "--operation-type", "add", "--user-ids", CONSUMER,
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
            SnapshotId=GOLDEN_ROOT, Attribute="createVolumePermission", OperationType="add", GroupNames=["all"]
        )
    with refused("InvalidParameterValue", "encrypted"):
        at_home.modify_image_attribute(ImageId=GOLDEN, LaunchPermission={"Add": [{"Group": "all"}]})


def test_permissions_are_changed_by_the_owner_500_at_a_time_in_one_direction(sandbox):
    at_home = sandbox.producer.ec2(HOME)
    accounts = [f"{500_000_000_000 + n}" for n in range(501)]
    with refused("InvalidParameterValue", "500"):
        at_home.modify_snapshot_attribute(
            SnapshotId=GOLDEN_ROOT, Attribute="createVolumePermission", OperationType="add", UserIds=accounts
        )
    with refused("InvalidParameterCombination"):
        at_home.modify_snapshot_attribute(
            SnapshotId=GOLDEN_ROOT,
            CreateVolumePermission={"Add": [{"UserId": CONSUMER}], "Remove": [{"UserId": OUTSIDER}]},
        )
    with refused("InvalidUserID.Malformed", "1234"):
        at_home.modify_snapshot_attribute(
            SnapshotId=GOLDEN_ROOT, Attribute="createVolumePermission", OperationType="add", UserIds=["1234"]
        )
    share(sandbox.producer, GOLDEN_ROOT)
    with refused("AuthFailure", GOLDEN_ROOT):
        share(sandbox.consumer, GOLDEN_ROOT)
    with refused("AuthFailure", GOLDEN_ROOT):
        sandbox.consumer.ec2(HOME).describe_snapshot_attribute(
            SnapshotId=GOLDEN_ROOT, Attribute="createVolumePermission"
        )


# --- images ---------------------------------------------------------------------------------------


def plain_image(ec2, name, **ebs):
    mapping = {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": PLAIN} | ebs}
    return ec2.register_image(
        Name=name, Architecture="x86_64", VirtualizationType="hvm", RootDeviceName="/dev/xvda",
        BlockDeviceMappings=[mapping],
    )["ImageId"]


def test_an_image_name_is_unique_per_account_and_region(sandbox):
    at_home = sandbox.producer.ec2(HOME)
    first = plain_image(at_home, "plain")
    with refused("InvalidAMIName.Duplicate", "plain", first):
        plain_image(at_home, "plain")
    with refused("InvalidAMIName.Duplicate"):
        sandbox.producer.cli(
            HOME, "ec2", "register-image", "--name", "golden", "--architecture", "x86_64",
            "--virtualization-type", "hvm", "--root-device-name", "/dev/xvda",
            "--block-device-mappings", f"DeviceName=/dev/xvda,Ebs={{SnapshotId={PLAIN}}}",
        )
    for name in ("a" * 129, "quo\"te", "under:colon"):
        with refused("InvalidAMIName.Malformed"):
            plain_image(at_home, name)


def test_a_mapping_with_a_snapshot_refuses_encryption_parameters(sandbox):
    at_home = sandbox.producer.ec2(HOME)
    for encrypted in (True, False):
        with refused("InvalidParameter", "encrypted flag"):
            plain_image(at_home, "flagged", Encrypted=encrypted)
    with refused("InvalidParameter", "encrypted flag"):
        sandbox.producer.cli(
            HOME, "ec2", "register-image", "--name", "flagged", "--root-device-name", "/dev/xvda",
            "--block-device-mappings", f"DeviceName=/dev/xvda,Ebs={{SnapshotId={PLAIN},Encrypted=true}}",
        )
    with refused("InvalidParameter", "KmsKeyId"):
        plain_image(at_home, "keyed", KmsKeyId=SOURCE_KEY)


def test_an_inconsistent_mapping_is_refused(sandbox):
    at_home = sandbox.producer.ec2(HOME)
    with refused("InvalidSnapshot.NotFound"):
        plain_image(at_home, "ghost", SnapshotId="snap-00000000000000000")
    with refused("InvalidSnapshotID.Malformed"):
        plain_image(at_home, "odd", SnapshotId="snapshot-1")
    share(sandbox.producer, BULK)
    away = sandbox.producer.ec2(AWAY)
    pending = away.copy_snapshot(SourceRegion=HOME, SourceSnapshotId=BULK, Encrypted=True)["SnapshotId"]
    with refused("IncorrectState", pending):
        plain_image(away, "early", SnapshotId=pending)
    with refused("InvalidParameterCombination"):
        plain_image(at_home, "fast", VolumeType="gp2", Throughput=250)


def test_the_image_of_another_account_is_out_of_reach(sandbox):
    at_home = sandbox.consumer.ec2(HOME)
    with refused("InvalidAMIID.NotFound", GOLDEN):
        at_home.describe_images(ImageIds=[GOLDEN])
    with refused("InvalidAMIID.NotFound", GOLDEN):
        sandbox.consumer.cli(HOME, "ec2", "describe-images", "--image-ids", GOLDEN)
    sandbox.producer.ec2(HOME).modify_image_attribute(
        ImageId=GOLDEN, LaunchPermission={"Add": [{"UserId": CONSUMER}]}
    )
    assert at_home.describe_images(ImageIds=[GOLDEN])["Images"][0]["OwnerId"] == PRODUCER
    with refused("AuthFailure", GOLDEN):
        at_home.deregister_image(ImageId=GOLDEN)
    with refused("AuthFailure", GOLDEN):
        at_home.describe_image_attribute(ImageId=GOLDEN, Attribute="launchPermission")


def test_a_snapshot_in_use_cannot_be_deleted(sandbox):
    at_home = sandbox.producer.ec2(HOME)
    with refused("InvalidSnapshot.InUse", GOLDEN_ROOT, GOLDEN):
        at_home.delete_snapshot(SnapshotId=GOLDEN_ROOT)
    first, second = plain_image(at_home, "first"), plain_image(at_home, "second")
    [kept] = at_home.deregister_image(ImageId=first, DeleteAssociatedSnapshots=True)["DeleteSnapshotResults"]
    assert (kept["SnapshotId"], kept["ReturnCode"]) == (PLAIN, "skipped")
    [gone] = at_home.deregister_image(ImageId=second, DeleteAssociatedSnapshots=True)["DeleteSnapshotResults"]
    assert (gone["SnapshotId"], gone["ReturnCode"]) == (PLAIN, "success")
    with refused("InvalidAMIID.Unavailable"):
        at_home.deregister_image(ImageId=second)


# --- permissions, dry runs, the unmodelled --------------------------------------------------------


def test_a_dry_run_checks_permission_and_changes_nothing(shared):
    consumer, producer = shared.consumer.ec2(AWAY), shared.producer.ec2(HOME)
    calls = [
        lambda: copy(consumer, DryRun=True),
        lambda: producer.describe_images(ImageIds=[GOLDEN], DryRun=True),
        lambda: producer.describe_snapshots(SnapshotIds=[GOLDEN_ROOT], DryRun=True),
        lambda: producer.describe_image_attribute(ImageId=GOLDEN, Attribute="bootMode", DryRun=True),
        lambda: producer.describe_snapshot_attribute(
            SnapshotId=GOLDEN_ROOT, Attribute="createVolumePermission", DryRun=True
        ),
        lambda: producer.modify_snapshot_attribute(
            SnapshotId=GOLDEN_ROOT, CreateVolumePermission={"Add": [{"UserId": OUTSIDER}]}, DryRun=True
        ),
        lambda: producer.modify_image_attribute(
            ImageId=GOLDEN, LaunchPermission={"Add": [{"UserId": OUTSIDER}]}, DryRun=True
        ),
        lambda: producer.copy_image(SourceRegion=HOME, SourceImageId=GOLDEN, Name="dry", DryRun=True),
        lambda: producer.register_image(
            Name="dry", RootDeviceName="/dev/xvda", Architecture="x86_64", VirtualizationType="hvm",
            BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": PLAIN}}], DryRun=True,
        ),
        lambda: producer.create_tags(Resources=[GOLDEN], Tags=[{"Key": "a", "Value": "b"}], DryRun=True),
        lambda: producer.deregister_image(ImageId=GOLDEN, DryRun=True),
        lambda: producer.delete_snapshot(SnapshotId=PLAIN, DryRun=True),
        lambda: producer.describe_regions(DryRun=True),
        lambda: shared.consumer.cli(
            AWAY, "ec2", "copy-snapshot", "--source-region", HOME, "--source-snapshot-id", GOLDEN_ROOT,
            "--encrypted", "--kms-key-id", TARGET_KEY, "--dry-run",
        ),
    ]
    before = producer.describe_images(Owners=["self"])["Images"]
    for call in calls:
        with refused("DryRunOperation", "would have succeeded"):
            call()
    assert producer.describe_images(Owners=["self"])["Images"] == before
    assert consumer.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []
    shared_with = producer.describe_snapshot_attribute(SnapshotId=GOLDEN_ROOT, Attribute="createVolumePermission")
    assert shared_with["CreateVolumePermissions"] == [{"UserId": CONSUMER}]
    assert snapshot(producer, PLAIN)["State"] == "completed"


def test_an_action_beyond_the_identity_policy_is_refused(sandbox):
    reader = sandbox.reader.ec2(AWAY)
    assert reader.describe_images(Owners=["self"])["Images"] == []
    for dry_run in (True, False):
        with refused("UnauthorizedOperation", "ec2:CopySnapshot", "user/reader"):
            reader.copy_snapshot(SourceRegion=HOME, SourceSnapshotId=GOLDEN_ROOT, Encrypted=True, DryRun=dry_run)
    with refused("UnauthorizedOperation"):
        sandbox.reader.cli(AWAY, "ec2", "deregister-image", "--image-id", GOLDEN)


def test_a_session_policy_narrows_the_role(sandbox):
    only_read = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ec2:Describe*","Resource":"*"}}'
    role = sandbox.producer.assume(COPY_ROLE, ExternalId="wire", Policy=only_read)
    role.ec2(AWAY).describe_images(Owners=["self"])
    with refused("UnauthorizedOperation", "ec2:DeleteSnapshot"):
        role.ec2(AWAY).delete_snapshot(SnapshotId="snap-00000000000000000")


def test_a_call_that_is_not_modelled_is_refused(sandbox):
    with refused("NotImplemented", "DescribeVolumes"):
        sandbox.producer.ec2(HOME).describe_volumes()
    with refused("NotImplemented"):
        sandbox.producer.kms(HOME).list_keys()
    with refused("NotImplemented"):
        sandbox.producer.sts.get_session_token()


def test_a_copy_is_found_by_its_tag(shared):
    away = shared.consumer.ec2(AWAY)
    tags = [{"Key": "amiferry:key", "Value": "digest"}]
    made = copy(away, TagSpecifications=[{"ResourceType": "snapshot", "Tags": tags}])
    found = away.describe_snapshots(
        OwnerIds=["self"], Filters=[{"Name": "tag:amiferry:key", "Values": ["digest"]}]
    )["Snapshots"]
    assert [entry["SnapshotId"] for entry in found] == [made]
    states = [look["State"] for look in poll(lambda: snapshot(away, made), lambda s: s["State"] == "completed")]
    assert set(states) <= {"pending", "completed"}
