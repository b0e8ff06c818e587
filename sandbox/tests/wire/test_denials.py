"""Permissions, dry runs and calls that the sandbox does not model."""

from clients import copy, poll, refused, snapshot
from names import (
    AWAY,
    CONSUMER,
    COPY_ROLE,
    GOLDEN,
    GOLDEN_ROOT,
    HOME,
    OUTSIDER,
    PLAIN,
    TARGET_KEY,
)


def dry_runs(shared):
    consumer, producer = shared.consumer.ec2(AWAY), shared.producer.ec2(HOME)
    return [
        lambda: copy(consumer, DryRun=True),
        lambda: producer.describe_images(ImageIds=[GOLDEN], DryRun=True),
        lambda: producer.describe_snapshots(SnapshotIds=[GOLDEN_ROOT], DryRun=True),
        lambda: producer.describe_image_attribute(
            ImageId=GOLDEN, Attribute="bootMode", DryRun=True
        ),
        lambda: producer.describe_snapshot_attribute(
            SnapshotId=GOLDEN_ROOT, Attribute="createVolumePermission", DryRun=True
        ),
        lambda: producer.modify_snapshot_attribute(
            SnapshotId=GOLDEN_ROOT,
            CreateVolumePermission={"Add": [{"UserId": OUTSIDER}]},
            DryRun=True,
        ),
        lambda: producer.modify_image_attribute(
            ImageId=GOLDEN, LaunchPermission={"Add": [{"UserId": OUTSIDER}]}, DryRun=True
        ),
        lambda: producer.copy_image(
            SourceRegion=HOME, SourceImageId=GOLDEN, Name="dry", DryRun=True
        ),
        lambda: producer.register_image(
            Name="dry",
            RootDeviceName="/dev/xvda",
            Architecture="x86_64",
            VirtualizationType="hvm",
            BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": PLAIN}}],
            DryRun=True,
        ),
        lambda: producer.create_tags(
            Resources=[GOLDEN], Tags=[{"Key": "a", "Value": "b"}], DryRun=True
        ),
        lambda: producer.deregister_image(ImageId=GOLDEN, DryRun=True),
        lambda: producer.delete_snapshot(SnapshotId=PLAIN, DryRun=True),
        lambda: producer.describe_regions(DryRun=True),
        lambda: shared.consumer.cli(
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
            "--dry-run",
        ),
    ]


def test_a_dry_run_checks_permission_and_changes_nothing(shared):
    consumer, producer = shared.consumer.ec2(AWAY), shared.producer.ec2(HOME)
    before = producer.describe_images(Owners=["self"])["Images"]
    for call in dry_runs(shared):
        with refused("DryRunOperation", "would have succeeded"):
            call()
    assert producer.describe_images(Owners=["self"])["Images"] == before
    assert consumer.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []
    shared_with = producer.describe_snapshot_attribute(
        SnapshotId=GOLDEN_ROOT, Attribute="createVolumePermission"
    )
    assert shared_with["CreateVolumePermissions"] == [{"UserId": CONSUMER}]
    assert snapshot(producer, PLAIN)["State"] == "completed"


def test_an_action_beyond_the_identity_policy_is_refused(sandbox):
    reader = sandbox.reader.ec2(AWAY)
    assert reader.describe_images(Owners=["self"])["Images"] == []
    for dry_run in (True, False):
        with refused("UnauthorizedOperation", "ec2:CopySnapshot", "user/reader"):
            reader.copy_snapshot(
                SourceRegion=HOME, SourceSnapshotId=GOLDEN_ROOT, Encrypted=True, DryRun=dry_run
            )
    with refused("UnauthorizedOperation"):
        sandbox.reader.cli(AWAY, "ec2", "deregister-image", "--image-id", GOLDEN)


def test_a_session_policy_narrows_the_role(sandbox):
    statement = '{"Effect":"Allow","Action":"ec2:Describe*","Resource":"*"}'
    only_read = f'{{"Version":"2012-10-17","Statement":{statement}}}'
    role = sandbox.producer.assume(COPY_ROLE, ExternalId="wire", Policy=only_read)
    role.ec2(AWAY).describe_images(Owners=["self"])
    with refused("UnauthorizedOperation", "ec2:DeleteSnapshot"):
        role.ec2(AWAY).delete_snapshot(SnapshotId="snap-00000000000000000")


def test_a_call_that_is_not_modelled_is_refused(sandbox):
    with refused("NotImplemented", "DescribeVpcs"):
        sandbox.producer.ec2(HOME).describe_vpcs()
    with refused("NotImplemented"):
        sandbox.producer.kms(HOME).generate_random(NumberOfBytes=8)
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
    states = [
        look["State"]
        for look in poll(lambda: snapshot(away, made), lambda s: s["State"] == "completed")
    ]
    assert set(states) <= {"pending", "completed"}
