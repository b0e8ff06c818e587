"""Describe calls: attributes, filters, tags, pages."""

import datetime

import pytest

from clients import refused
from names import (
    ARCHIVED,
    AWAY,
    BULK,
    CONSUMER,
    GOLDEN,
    GOLDEN_DATA,
    GOLDEN_ROOT,
    HOME,
    MANAGED,
    PLAIN,
    PRODUCER,
    SOURCE_KEY,
)


@pytest.fixture
def at_home(sandbox):
    return sandbox.producer.ec2(HOME)


def test_an_image_shows_every_attribute(at_home):
    [image] = at_home.describe_images(ImageIds=[GOLDEN])["Images"]
    assert image.pop("CreationDate").endswith("Z")
    image.pop("PlatformDetails"), image.pop("UsageOperation")
    assert sorted(image.pop("Tags"), key=lambda tag: tag["Key"]) == [
        {"Key": "Name", "Value": "golden"},
        {"Key": "team:owner", "Value": "a&b <c>"},
    ]
    assert image == {
        "Architecture": "x86_64",
        "BlockDeviceMappings": [
            {
                "DeviceName": "/dev/xvda",
                "Ebs": {
                    "SnapshotId": GOLDEN_ROOT,
                    "VolumeSize": 8,
                    "VolumeType": "gp3",
                    "Iops": 4000,
                    "Throughput": 250,
                    "DeleteOnTermination": True,
                    "Encrypted": True,
                },
            },
            {
                "DeviceName": "/dev/sdf",
                "Ebs": {
                    "SnapshotId": GOLDEN_DATA,
                    "VolumeSize": 20,
                    "VolumeType": "io2",
                    "Iops": 1000,
                    "DeleteOnTermination": False,
                    "Encrypted": True,
                },
            },
            {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"},
        ],
        "BootMode": "uefi",
        "DeregistrationProtection": "disabled",
        "Description": 'Golden image <1> & "more"',
        "EnaSupport": True,
        "Hypervisor": "xen",
        "ImageId": GOLDEN,
        "ImageLocation": f"{PRODUCER}/golden",
        "ImageType": "machine",
        "ImdsSupport": "v2.0",
        "Name": "golden",
        "OwnerId": PRODUCER,
        "Public": False,
        "RootDeviceName": "/dev/xvda",
        "RootDeviceType": "ebs",
        "SriovNetSupport": "simple",
        "State": "available",
        "TpmSupport": "v2.0",
        "VirtualizationType": "hvm",
    }


def test_a_snapshot_shows_every_attribute(at_home):
    [found] = at_home.describe_snapshots(SnapshotIds=[GOLDEN_DATA])["Snapshots"]
    assert isinstance(found.pop("StartTime"), datetime.datetime)
    assert found.pop("VolumeId").startswith("vol-")
    found.pop("CompletionTime", None), found.pop("FullSnapshotSizeInBytes", None)
    assert found == {
        "Description": 'data of golden, <&> "ünïcode"',
        "Encrypted": True,
        "KmsKeyId": SOURCE_KEY,
        "OwnerId": PRODUCER,
        "Progress": "100%",
        "SnapshotId": GOLDEN_DATA,
        "State": "completed",
        "StorageTier": "standard",
        "VolumeSize": 20,
    }


@pytest.mark.parametrize(
    ("attribute", "member", "expected"),
    [
        ("description", "Description", {"Value": 'Golden image <1> & "more"'}),
        ("bootMode", "BootMode", {"Value": "uefi"}),
        ("tpmSupport", "TpmSupport", {"Value": "v2.0"}),
        ("imdsSupport", "ImdsSupport", {"Value": "v2.0"}),
        ("uefiData", "UefiData", {"Value": "QU1aTlVFRkkAAAAA"}),
        ("sriovNetSupport", "SriovNetSupport", {"Value": "simple"}),
        ("launchPermission", "LaunchPermissions", []),
        ("productCodes", "ProductCodes", []),
    ],
)
def test_an_image_attribute_is_described(at_home, attribute, member, expected):
    answer = at_home.describe_image_attribute(ImageId=GOLDEN, Attribute=attribute)
    answer.pop("ResponseMetadata")
    assert answer == {"ImageId": GOLDEN, member: expected}


def test_a_launch_permission_is_added_and_removed(sandbox, at_home):
    organization = "arn:aws:organizations::999999999999:organization/o-wiretests0"
    at_home.modify_image_attribute(
        ImageId=GOLDEN,
        Attribute="launchPermission",
        OperationType="add",
        UserIds=[CONSUMER],
        OrganizationArns=[organization],
    )
    permissions = at_home.describe_image_attribute(ImageId=GOLDEN, Attribute="launchPermission")[
        "LaunchPermissions"
    ]
    assert {"UserId": CONSUMER} in permissions and {"OrganizationArn": organization} in permissions
    described = sandbox.consumer.ec2(HOME).describe_images(ExecutableUsers=["self"])["Images"]
    assert [image["ImageId"] for image in described] == [GOLDEN]
    at_home.modify_image_attribute(
        ImageId=GOLDEN,
        LaunchPermission={"Remove": [{"UserId": CONSUMER}, {"OrganizationArn": organization}]},
    )
    answer = at_home.describe_image_attribute(ImageId=GOLDEN, Attribute="launchPermission")
    assert answer["LaunchPermissions"] == []
    at_home.modify_image_attribute(ImageId=GOLDEN, Description={"Value": "renewed"})
    assert at_home.describe_images(ImageIds=[GOLDEN])["Images"][0]["Description"] == "renewed"


def test_tags_are_overwritten_and_limited(at_home):
    at_home.create_tags(
        Resources=[GOLDEN, GOLDEN_ROOT],
        Tags=[{"Key": "Name", "Value": "new"}, {"Key": "empty", "Value": ""}],
    )
    for kind, describe, ids in (
        ("Images", at_home.describe_images, {"ImageIds": [GOLDEN]}),
        ("Snapshots", at_home.describe_snapshots, {"SnapshotIds": [GOLDEN_ROOT]}),
    ):
        tags = {tag["Key"]: tag["Value"] for tag in describe(**ids)[kind][0]["Tags"]}
        assert tags.items() >= {"Name": "new", "empty": ""}.items()
    with refused("InvalidParameterValue", "aws:"):
        at_home.create_tags(Resources=[GOLDEN], Tags=[{"Key": "aws:mine", "Value": "x"}])
    with refused("TagLimitExceeded"):
        at_home.create_tags(
            Resources=[PLAIN], Tags=[{"Key": f"k{n}", "Value": ""} for n in range(51)]
        )


def test_tags_are_removed(at_home):
    at_home.delete_tags(
        Resources=[GOLDEN], Tags=[{"Key": "Name", "Value": "another"}, {"Key": "team:owner"}]
    )
    [image] = at_home.describe_images(ImageIds=[GOLDEN])["Images"]
    assert image["Tags"] == [{"Key": "Name", "Value": "golden"}], (
        "a value that differs keeps its tag"
    )
    at_home.delete_tags(Resources=[GOLDEN])
    assert "Tags" not in at_home.describe_images(ImageIds=[GOLDEN])["Images"][0]


def test_filters_select_images_and_snapshots(at_home, sandbox):
    def images(*filters, **more):
        wanted = [{"Name": name, "Values": values} for name, values in filters]
        return [
            image["Name"] for image in at_home.describe_images(Filters=wanted, **more)["Images"]
        ]

    assert images(("name", ["gold*"])) == ["golden"]
    assert images(("name", ["gold*", "under-*"])) == sorted(images(Owners=["self"]))
    assert images(("tag:Name", ["golden"]), ("state", ["available"])) == ["golden"]
    assert images(("tag-key", ["team:owner"])) == ["golden"]
    assert images(("block-device-mapping.snapshot-id", [GOLDEN_DATA])) == ["golden"]
    assert images(("name", ["golden"]), ("architecture", ["arm64"])) == []
    assert images(("is-public", ["true"])) == []
    snapshots = at_home.describe_snapshots(
        OwnerIds=["self"],
        Filters=[
            {"Name": "encrypted", "Values": ["false"]},
            {"Name": "status", "Values": ["completed"]},
        ],
    )["Snapshots"]
    assert [found["SnapshotId"] for found in snapshots] == [PLAIN]
    with refused("InvalidParameterValue", "colour"):
        images(("colour", ["red"]))
    found = sandbox.producer.cli(
        HOME,
        "ec2",
        "describe-images",
        "--filters",
        "Name=tag:Name,Values=golden",
        "--query",
        "Images[].ImageId",
    )
    assert found == [GOLDEN]


def test_describe_calls_return_pages(sandbox, at_home):
    for n in range(12):
        at_home.register_image(
            Name=f"page-{n:02}",
            Architecture="x86_64",
            VirtualizationType="hvm",
            RootDeviceName="/dev/xvda",
            BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": PLAIN}}],
        )
    pages = at_home.get_paginator("describe_images").paginate(
        Owners=["self"],
        Filters=[{"Name": "name", "Values": ["page-*"]}],
        PaginationConfig={"PageSize": 5},
    )
    sizes, names = [], []
    for page in pages:
        sizes.append(len(page["Images"]))
        names += [image["Name"] for image in page["Images"]]
    assert max(sizes) <= 5 and len(sizes) >= 3
    assert sorted(names) == [f"page-{n:02}" for n in range(12)]

    snapshots = at_home.get_paginator("describe_snapshots").paginate(
        OwnerIds=["self"], PaginationConfig={"PageSize": 5}
    )
    found = [entry["SnapshotId"] for page in snapshots for entry in page["Snapshots"]]
    assert sorted(found) == sorted([GOLDEN_ROOT, GOLDEN_DATA, BULK, MANAGED, ARCHIVED, PLAIN])

    # The CLI reads all pages.
    listed = sandbox.producer.cli(
        HOME,
        "ec2",
        "describe-images",
        "--owners",
        "self",
        "--page-size",
        "5",
        "--query",
        "Images[].Name",
    )
    assert len(listed) == 14
    limited = sandbox.producer.cli(
        HOME, "ec2", "describe-images", "--owners", "self", "--max-items", "3"
    )
    assert len(limited["Images"]) == 3 and limited["NextToken"]

    for size in (4, 1001):
        with refused("InvalidParameterValue", "maxResults"):
            at_home.describe_snapshots(OwnerIds=["self"], MaxResults=size)
    with refused("InvalidParameterCombination"):
        at_home.describe_images(ImageIds=[GOLDEN], MaxResults=5)
    with refused("InvalidParameterValue"):
        at_home.describe_images(Owners=["self"], MaxResults=5, NextToken="bogus")


def test_pages_may_be_empty_and_still_go_on(start, tmp_path):
    from conftest import WORLD

    world = tmp_path / "world.toml"
    world.write_text(WORLD.read_text() + "\n[limits]\nempty_pages = true\n")
    at_home = start(world).producer.ec2(HOME)
    paginator = at_home.get_paginator("describe_snapshots")
    pages = list(paginator.paginate(OwnerIds=["self"], PaginationConfig={"PageSize": 5}))
    assert pages[0]["Snapshots"] == [] and pages[0]["NextToken"]
    assert sum(len(page["Snapshots"]) for page in pages) == 6


def test_the_default_key_of_a_region_is_described(sandbox, at_home):
    assert at_home.get_ebs_default_kms_key_id()["KmsKeyId"] == "alias/aws/ebs"
    answer = sandbox.producer.cli(AWAY, "ec2", "get-ebs-default-kms-key-id")
    assert answer["KmsKeyId"] == "alias/aws/ebs"


def test_regions_are_described(sandbox, at_home):
    regions = at_home.describe_regions()["Regions"]
    assert {HOME, AWAY} <= {region["RegionName"] for region in regions}
    for region in regions:
        assert region["Endpoint"] == f"ec2.{region['RegionName']}.amazonaws.com"
        assert region["OptInStatus"] in ("opt-in-not-required", "opted-in")
    [away] = sandbox.producer.cli(HOME, "ec2", "describe-regions", "--region-names", AWAY)[
        "Regions"
    ]
    assert away["RegionName"] == AWAY


def test_an_image_is_disabled_deprecated_and_protected(sandbox):
    at_home = sandbox.producer.ec2(HOME)

    def seen(**more):
        return at_home.describe_images(ImageIds=[GOLDEN], **more)["Images"]

    assert at_home.disable_image(ImageId=GOLDEN)["Return"]
    assert seen() == [] and seen(IncludeDisabled=True)[0]["State"] == "disabled"
    with refused("InvalidSnapshot.InUse", GOLDEN_DATA, GOLDEN):
        at_home.delete_snapshot(SnapshotId=GOLDEN_DATA)
    assert at_home.enable_image(ImageId=GOLDEN)["Return"]
    assert at_home.enable_image_deprecation(ImageId=GOLDEN, DeprecateAt="2099-01-31T12:00:29Z")[
        "Return"
    ]
    assert seen()[0]["DeprecationTime"] == "2099-01-31T12:00:00.000Z"
    protected = sandbox.producer.cli(
        HOME, "ec2", "enable-image-deregistration-protection", "--image-id", GOLDEN
    )
    assert (
        protected["Return"] == "enabled-without-cooldown" == seen()[0]["DeregistrationProtection"]
    )
    with refused("OperationNotPermitted", GOLDEN):
        at_home.deregister_image(ImageId=GOLDEN)
    at_home.disable_image_deregistration_protection(ImageId=GOLDEN)
    at_home.deregister_image(ImageId=GOLDEN)
    at_home.delete_snapshot(SnapshotId=GOLDEN_ROOT)
