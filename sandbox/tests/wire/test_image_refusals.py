"""The refusals of EC2 about images, as botocore and the AWS CLI read them."""

from clients import refused, share
from names import (
    AWAY,
    BULK,
    CONSUMER,
    GOLDEN,
    GOLDEN_ROOT,
    HOME,
    PLAIN,
    PRODUCER,
    SOURCE_KEY,
)


def plain_image(ec2, name, **ebs):
    mapping = {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": PLAIN} | ebs}
    return ec2.register_image(
        Name=name,
        Architecture="x86_64",
        VirtualizationType="hvm",
        RootDeviceName="/dev/xvda",
        BlockDeviceMappings=[mapping],
    )["ImageId"]


def test_an_image_name_is_unique_per_account_and_region(sandbox):
    at_home = sandbox.producer.ec2(HOME)
    first = plain_image(at_home, "plain")
    with refused("InvalidAMIName.Duplicate", "plain", first):
        plain_image(at_home, "plain")
    with refused("InvalidAMIName.Duplicate"):
        sandbox.producer.cli(
            HOME,
            "ec2",
            "register-image",
            "--name",
            "golden",
            "--architecture",
            "x86_64",
            "--virtualization-type",
            "hvm",
            "--root-device-name",
            "/dev/xvda",
            "--block-device-mappings",
            f"DeviceName=/dev/xvda,Ebs={{SnapshotId={PLAIN}}}",
        )
    for name in ("a" * 129, 'quo"te', "under:colon"):
        with refused("InvalidAMIName.Malformed"):
            plain_image(at_home, name)


def test_a_mapping_with_a_snapshot_refuses_encryption_parameters(sandbox):
    at_home = sandbox.producer.ec2(HOME)
    for encrypted in (True, False):
        with refused("InvalidParameter", "encrypted flag"):
            plain_image(at_home, "flagged", Encrypted=encrypted)
    with refused("InvalidParameter", "encrypted flag"):
        sandbox.producer.cli(
            HOME,
            "ec2",
            "register-image",
            "--name",
            "flagged",
            "--root-device-name",
            "/dev/xvda",
            "--block-device-mappings",
            f"DeviceName=/dev/xvda,Ebs={{SnapshotId={PLAIN},Encrypted=true}}",
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
    pending = away.copy_snapshot(SourceRegion=HOME, SourceSnapshotId=BULK, Encrypted=True)[
        "SnapshotId"
    ]
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
    [kept] = at_home.deregister_image(ImageId=first, DeleteAssociatedSnapshots=True)[
        "DeleteSnapshotResults"
    ]
    assert (kept["SnapshotId"], kept["ReturnCode"]) == (PLAIN, "skipped")
    [gone] = at_home.deregister_image(ImageId=second, DeleteAssociatedSnapshots=True)[
        "DeleteSnapshotResults"
    ]
    assert (gone["SnapshotId"], gone["ReturnCode"]) == (PLAIN, "success")
    with refused("InvalidAMIID.Unavailable"):
        at_home.deregister_image(ImageId=second)
