"""A distribution by hand: copies an encrypted image into another account and Region."""

import json

from clients import poll, refused, settled, snapshot
from names import (
    AWAY,
    CONSUMER,
    COPY_OPERATIONS,
    COPY_ROLE,
    GOLDEN,
    GOLDEN_DATA,
    GOLDEN_ROOT,
    HOME,
    SOURCE_KEY,
    TARGET_KEY,
)

SESSION_POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": [
                    "ec2:CopySnapshot",
                    "ec2:RegisterImage",
                    "ec2:CreateTags",
                    "ec2:Describe*",
                    "ec2:DeregisterImage",
                    "ec2:DeleteSnapshot",
                ],
                "Resource": "*",
            },
            {"Effect": "Allow", "Action": "kms:*", "Resource": [SOURCE_KEY, TARGET_KEY]},
        ],
    }
)

COPY_TAGS = [{"Key": "amiferry:source", "Value": "golden <&>"}]


def test_boto3_copies_an_image_into_another_account_and_region(sandbox):
    producer = sandbox.producer
    at_home, source_keys = producer.ec2(HOME), producer.kms(HOME)

    [image] = at_home.describe_images(ImageIds=[GOLDEN])["Images"]
    sources = {
        m["DeviceName"]: m["Ebs"]["SnapshotId"] for m in image["BlockDeviceMappings"] if "Ebs" in m
    }
    assert sources == {"/dev/xvda": GOLDEN_ROOT, "/dev/sdf": GOLDEN_DATA}

    # Share, and let the role use the key.
    for snapshot_id in sources.values():
        at_home.modify_snapshot_attribute(
            SnapshotId=snapshot_id,
            Attribute="createVolumePermission",
            OperationType="add",
            UserIds=[CONSUMER],
        )
        shared = at_home.describe_snapshot_attribute(
            SnapshotId=snapshot_id, Attribute="createVolumePermission"
        )
        assert shared["CreateVolumePermissions"] == [{"UserId": CONSUMER}]
        assert shared["SnapshotId"] == snapshot_id
    grant = source_keys.create_grant(
        KeyId=SOURCE_KEY, GranteePrincipal=COPY_ROLE, Operations=COPY_OPERATIONS, Name="wire-copy"
    )
    assert grant["GrantId"] and grant["GrantToken"]
    [listed] = source_keys.list_grants(KeyId=SOURCE_KEY)["Grants"]
    assert (listed["GrantId"], listed["Name"]) == (grant["GrantId"], "wire-copy")
    assert listed["GranteePrincipal"] == COPY_ROLE
    assert set(listed["Operations"]) == set(COPY_OPERATIONS)

    # Become the consumer's role, and copy.
    role = producer.assume(COPY_ROLE, ExternalId="wire", Policy=SESSION_POLICY)
    identity = role.sts.get_caller_identity()
    assert identity["Account"] == CONSUMER
    assert identity["Arn"] == f"arn:aws:sts::{CONSUMER}:assumed-role/AmiCopyRole/wire"
    away = role.ec2(AWAY)
    copies = {}
    for device, source in sources.items():
        answer = away.copy_snapshot(
            SourceRegion=HOME,
            SourceSnapshotId=source,
            Encrypted=True,
            KmsKeyId=TARGET_KEY,
            Description=f"copy of {source}",
            TagSpecifications=[{"ResourceType": "snapshot", "Tags": COPY_TAGS}],
        )
        assert answer["Tags"] == COPY_TAGS
        copies[device] = answer["SnapshotId"]

    for device, copy in copies.items():
        looks = poll(lambda: snapshot(away, copy), lambda found: found["State"] != "pending")
        progress = [
            int(look["Progress"].removesuffix("%")) for look in looks if look.get("Progress")
        ]
        assert progress == sorted(progress) and progress[-1] == 100
        found = looks[-1]
        assert (found["State"], found["OwnerId"], found["Encrypted"]) == (
            "completed",
            CONSUMER,
            True,
        )
        assert (found["KmsKeyId"], found["Tags"]) == (TARGET_KEY, COPY_TAGS)
        assert found["Description"] == f"copy of {sources[device]}"
    away.get_waiter("snapshot_completed").wait(SnapshotIds=list(copies.values()))

    # Register the copies as an image like the source.
    mappings = []
    for mapping in image["BlockDeviceMappings"]:
        kept = {"DeviceName": mapping["DeviceName"]}
        if "Ebs" in mapping:
            wanted = ("DeleteOnTermination", "VolumeType", "VolumeSize", "Iops", "Throughput")
            kept["Ebs"] = {name: mapping["Ebs"][name] for name in wanted if name in mapping["Ebs"]}
            kept["Ebs"]["SnapshotId"] = copies[mapping["DeviceName"]]
        else:
            kept["VirtualName"] = mapping["VirtualName"]
        mappings.append(kept)
    uefi = at_home.describe_image_attribute(ImageId=GOLDEN, Attribute="uefiData")["UefiData"][
        "Value"
    ]
    registered = away.register_image(
        Name="golden-copy",
        Description=image["Description"],
        Architecture=image["Architecture"],
        VirtualizationType=image["VirtualizationType"],
        RootDeviceName=image["RootDeviceName"],
        EnaSupport=image["EnaSupport"],
        SriovNetSupport=image["SriovNetSupport"],
        BootMode=image["BootMode"],
        TpmSupport=image["TpmSupport"],
        ImdsSupport=image["ImdsSupport"],
        UefiData=uefi,
        BlockDeviceMappings=mappings,
        TagSpecifications=[{"ResourceType": "image", "Tags": image["Tags"]}],
    )["ImageId"]
    away.get_waiter("image_available").wait(ImageIds=[registered], WaiterConfig={"Delay": 1})

    [result] = away.describe_images(ImageIds=[registered])["Images"]
    carried = (
        "Description",
        "Architecture",
        "VirtualizationType",
        "RootDeviceName",
        "RootDeviceType",
        "EnaSupport",
        "SriovNetSupport",
        "BootMode",
        "TpmSupport",
        "ImdsSupport",
        "PlatformDetails",
        "UsageOperation",
        "Tags",
        "ImageType",
        "Hypervisor",
        "Public",
        "State",
    )
    assert {name: result[name] for name in carried} == {name: image[name] for name in carried}
    assert (result["OwnerId"], result["Name"]) == (CONSUMER, "golden-copy")
    assert result["ImageLocation"] == f"{CONSUMER}/golden-copy"
    for before, after in zip(
        image["BlockDeviceMappings"], result["BlockDeviceMappings"], strict=True
    ):
        expected = json.loads(json.dumps(before))
        if "Ebs" in expected:
            expected["Ebs"]["SnapshotId"] = copies[before["DeviceName"]]
        assert after == expected
    assert (
        away.describe_image_attribute(ImageId=registered, Attribute="uefiData")["UefiData"]["Value"]
        == uefi
    )

    # Close the source: the copy does not need the openings.
    for snapshot_id in sources.values():
        at_home.modify_snapshot_attribute(
            SnapshotId=snapshot_id, CreateVolumePermission={"Remove": [{"UserId": CONSUMER}]}
        )
        shared = at_home.describe_snapshot_attribute(
            SnapshotId=snapshot_id, Attribute="createVolumePermission"
        )
        assert shared["CreateVolumePermissions"] == []
    source_keys.revoke_grant(KeyId=SOURCE_KEY, GrantId=grant["GrantId"])
    assert source_keys.list_grants(KeyId=SOURCE_KEY)["Grants"] == []
    [kept] = away.describe_images(Owners=["self"])["Images"]
    assert kept["State"] == "available"

    # Clean up as the consumer.
    gone = away.deregister_image(ImageId=registered, DeleteAssociatedSnapshots=True)
    assert gone["Return"] is True
    results = {entry["SnapshotId"]: entry["ReturnCode"] for entry in gone["DeleteSnapshotResults"]}
    assert results == dict.fromkeys(copies.values(), "success")
    with refused("InvalidAMIID.NotFound"):
        away.describe_images(ImageIds=[registered])
    assert away.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []


def test_the_aws_cli_copies_an_image_into_another_account_and_region(sandbox):
    producer = sandbox.producer
    [image] = producer.cli(HOME, "ec2", "describe-images", "--image-ids", GOLDEN)["Images"]
    root, data, _ = image["BlockDeviceMappings"]
    sources = [root["Ebs"]["SnapshotId"], data["Ebs"]["SnapshotId"]]

    for source in sources:
        producer.cli(
            HOME,
            "ec2",
            "modify-snapshot-attribute",
            "--snapshot-id",
            source,
            "--attribute",
            "createVolumePermission",
            "--operation-type",
            "add",
            "--user-ids",
            CONSUMER,
        )
    grant = producer.cli(
        HOME,
        "kms",
        "create-grant",
        "--key-id",
        SOURCE_KEY,
        "--grantee-principal",
        COPY_ROLE,
        "--operations",
        *COPY_OPERATIONS,
        "--name",
        "wire-copy",
    )
    credentials = producer.cli(
        HOME,
        "sts",
        "assume-role",
        "--role-arn",
        COPY_ROLE,
        "--role-session-name",
        "cli",
        "--external-id",
        "wire",
        "--policy",
        SESSION_POLICY,
    )["Credentials"]
    role = producer.with_credentials(credentials)
    assert role.cli(AWAY, "sts", "get-caller-identity")["Arn"].endswith(
        ":assumed-role/AmiCopyRole/cli"
    )

    copies = [
        role.cli(
            AWAY,
            "ec2",
            "copy-snapshot",
            "--source-region",
            HOME,
            "--source-snapshot-id",
            source,
            "--encrypted",
            "--kms-key-id",
            TARGET_KEY,
            "--tag-specifications",
            "ResourceType=snapshot,Tags=[{Key=from,Value=cli}]",
        )["SnapshotId"]
        for source in sources
    ]
    for copy in copies:
        settled(role.ec2(AWAY), copy)
    role.cli(AWAY, "ec2", "wait", "snapshot-completed", "--snapshot-ids", *copies)

    root_ebs = (
        f"SnapshotId={copies[0]},VolumeType=gp3,VolumeSize=8,Iops=4000,"
        "Throughput=250,DeleteOnTermination=true"
    )
    registered = role.cli(
        AWAY,
        "ec2",
        "register-image",
        "--name",
        "golden-by-cli",
        "--architecture",
        "x86_64",
        "--virtualization-type",
        "hvm",
        "--root-device-name",
        "/dev/xvda",
        "--ena-support",
        "--sriov-net-support",
        "simple",
        "--boot-mode",
        "uefi",
        "--tpm-support",
        "v2.0",
        "--imds-support",
        "v2.0",
        "--block-device-mappings",
        f"DeviceName=/dev/xvda,Ebs={{{root_ebs}}}",
        f"DeviceName=/dev/sdf,Ebs={{SnapshotId={copies[1]},VolumeType=io2,Iops=1000,"
        "DeleteOnTermination=false}",
        "DeviceName=/dev/sdb,VirtualName=ephemeral0",
    )["ImageId"]
    role.cli(AWAY, "ec2", "wait", "image-available", "--image-ids", registered)
    role.cli(
        AWAY,
        "ec2",
        "create-tags",
        "--resources",
        registered,
        *copies,
        "--tags",
        "Key=stage,Value=final",
    )

    [result] = role.cli(AWAY, "ec2", "describe-images", "--owners", "self")["Images"]
    assert (result["ImageId"], result["OwnerId"]) == (registered, CONSUMER)
    assert result["Tags"] == [{"Key": "stage", "Value": "final"}]
    assert result["BlockDeviceMappings"][0]["Ebs"] == root["Ebs"] | {"SnapshotId": copies[0]}
    assert result["BlockDeviceMappings"][1]["Ebs"] == data["Ebs"] | {"SnapshotId": copies[1]}
    assert result["PlatformDetails"] == image["PlatformDetails"]

    for source in sources:
        producer.cli(
            HOME,
            "ec2",
            "modify-snapshot-attribute",
            "--snapshot-id",
            source,
            "--attribute",
            "createVolumePermission",
            "--operation-type",
            "remove",
            "--user-ids",
            CONSUMER,
        )
    producer.cli(
        HOME, "kms", "revoke-grant", "--key-id", SOURCE_KEY, "--grant-id", grant["GrantId"]
    )
    assert producer.cli(HOME, "kms", "list-grants", "--key-id", SOURCE_KEY)["Grants"] == []
    with refused("InvalidSnapshot.NotFound"):
        role.cli(HOME, "ec2", "describe-snapshots", "--snapshot-ids", GOLDEN_ROOT)

    gone = role.cli(
        AWAY, "ec2", "deregister-image", "--image-id", registered, "--delete-associated-snapshots"
    )
    assert {entry["SnapshotId"] for entry in gone["DeleteSnapshotResults"]} == set(copies)
    assert role.cli(AWAY, "ec2", "describe-snapshots", "--owner-ids", "self")["Snapshots"] == []


def test_copy_image_carries_the_whole_image_between_regions(sandbox):
    """CopyImage inside one account takes no presigned URL; its token makes it repeatable."""
    away = sandbox.producer.ec2(AWAY)
    wanted = {
        "SourceRegion": HOME,
        "SourceImageId": GOLDEN,
        "Name": "golden-away",
        "ClientToken": "wire-1",
    }
    image_id = away.copy_image(**wanted, Encrypted=True)["ImageId"]
    assert away.copy_image(**wanted, Encrypted=True)["ImageId"] == image_id
    [copied] = poll(
        lambda: away.describe_images(ImageIds=[image_id])["Images"],
        lambda found: found[0]["State"] != "pending",
    )[-1]
    assert (copied["State"], copied["BootMode"], copied["TpmSupport"]) == (
        "available",
        "uefi",
        "v2.0",
    )
    assert (copied["SourceImageId"], copied["SourceImageRegion"]) == (GOLDEN, HOME)
    with refused("IdempotentParameterMismatch"):
        away.copy_image(**wanted | {"Name": "another"}, Encrypted=True)
