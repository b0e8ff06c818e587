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


# The attributes of an image that its copy has as well.
CARRIED = (
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


def sharing(ec2, snapshot_id):
    shared = ec2.describe_snapshot_attribute(
        SnapshotId=snapshot_id, Attribute="createVolumePermission"
    )
    assert shared["SnapshotId"] == snapshot_id
    return shared["CreateVolumePermissions"]


def uefi_data(ec2, image_id):
    answer = ec2.describe_image_attribute(ImageId=image_id, Attribute="uefiData")
    return answer["UefiData"]["Value"]


def granted(kms):
    """Lets the role use the source's key, and sees the grant listed."""
    grant = kms.create_grant(
        KeyId=SOURCE_KEY, GranteePrincipal=COPY_ROLE, Operations=COPY_OPERATIONS, Name="wire-copy"
    )
    assert grant["GrantId"] and grant["GrantToken"]
    [listed] = kms.list_grants(KeyId=SOURCE_KEY)["Grants"]
    assert (listed["GrantId"], listed["Name"]) == (grant["GrantId"], "wire-copy")
    assert listed["GranteePrincipal"] == COPY_ROLE
    assert set(listed["Operations"]) == set(COPY_OPERATIONS)
    return grant["GrantId"]


def copied(away, source):
    """Starts a copy of a snapshot, and follows its progress to the end."""
    answer = away.copy_snapshot(
        SourceRegion=HOME,
        SourceSnapshotId=source,
        Encrypted=True,
        KmsKeyId=TARGET_KEY,
        Description=f"copy of {source}",
        TagSpecifications=[{"ResourceType": "snapshot", "Tags": COPY_TAGS}],
    )
    assert answer["Tags"] == COPY_TAGS
    copy = answer["SnapshotId"]
    looks = poll(lambda: snapshot(away, copy), lambda found: found["State"] != "pending")
    progress = [int(look["Progress"].removesuffix("%")) for look in looks if look.get("Progress")]
    assert progress == sorted(progress) and progress[-1] == 100
    found = looks[-1]
    state = (found["State"], found["OwnerId"], found["Encrypted"])
    assert state == ("completed", CONSUMER, True)
    assert (found["KmsKeyId"], found["Tags"]) == (TARGET_KEY, COPY_TAGS)
    assert found["Description"] == f"copy of {source}"
    return copy


def mappings_on(image, copies):
    """The block device mappings of an image, on copies of its snapshots."""
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
    return mappings


def registered_like(away, image, copies, uefi):
    same = (
        "Description",
        "Architecture",
        "VirtualizationType",
        "RootDeviceName",
        "EnaSupport",
        "SriovNetSupport",
        "BootMode",
        "TpmSupport",
        "ImdsSupport",
    )
    registered = away.register_image(
        Name="golden-copy",
        **{name: image[name] for name in same},
        UefiData=uefi,
        BlockDeviceMappings=mappings_on(image, copies),
        TagSpecifications=[{"ResourceType": "image", "Tags": image["Tags"]}],
    )["ImageId"]
    away.get_waiter("image_available").wait(ImageIds=[registered], WaiterConfig={"Delay": 1})
    return registered


def assert_like(image, result, copies):
    assert {name: result[name] for name in CARRIED} == {name: image[name] for name in CARRIED}
    assert (result["OwnerId"], result["Name"]) == (CONSUMER, "golden-copy")
    assert result["ImageLocation"] == f"{CONSUMER}/golden-copy"
    expected = json.loads(json.dumps(image["BlockDeviceMappings"]))
    for mapping in expected:
        if "Ebs" in mapping:
            mapping["Ebs"]["SnapshotId"] = copies[mapping["DeviceName"]]
    assert result["BlockDeviceMappings"] == expected


def test_boto3_copies_an_image_into_another_account_and_region(sandbox):
    producer = sandbox.producer
    at_home, source_keys = producer.ec2(HOME), producer.kms(HOME)
    [image] = at_home.describe_images(ImageIds=[GOLDEN])["Images"]
    sources = {
        m["DeviceName"]: m["Ebs"]["SnapshotId"] for m in image["BlockDeviceMappings"] if "Ebs" in m
    }
    assert sources == {"/dev/xvda": GOLDEN_ROOT, "/dev/sdf": GOLDEN_DATA}

    # The producer opens the source, and the consumer's role copies.
    for source in sources.values():
        at_home.modify_snapshot_attribute(
            SnapshotId=source,
            Attribute="createVolumePermission",
            OperationType="add",
            UserIds=[CONSUMER],
        )
        assert sharing(at_home, source) == [{"UserId": CONSUMER}]
    grant = granted(source_keys)
    role = producer.assume(COPY_ROLE, ExternalId="wire", Policy=SESSION_POLICY)
    identity = role.sts.get_caller_identity()
    assert identity["Account"] == CONSUMER
    assert identity["Arn"] == f"arn:aws:sts::{CONSUMER}:assumed-role/AmiCopyRole/wire"
    away = role.ec2(AWAY)
    copies = {device: copied(away, source) for device, source in sources.items()}
    away.get_waiter("snapshot_completed").wait(SnapshotIds=list(copies.values()))

    # The copies become an image like the source.
    uefi = uefi_data(at_home, GOLDEN)
    registered = registered_like(away, image, copies, uefi)
    [result] = away.describe_images(ImageIds=[registered])["Images"]
    assert_like(image, result, copies)
    assert uefi_data(away, registered) == uefi

    # The source is closed: the copy does not need the openings.
    for source in sources.values():
        at_home.modify_snapshot_attribute(
            SnapshotId=source, CreateVolumePermission={"Remove": [{"UserId": CONSUMER}]}
        )
        assert sharing(at_home, source) == []
    source_keys.revoke_grant(KeyId=SOURCE_KEY, GrantId=grant)
    assert source_keys.list_grants(KeyId=SOURCE_KEY)["Grants"] == []
    [kept] = away.describe_images(Owners=["self"])["Images"]
    assert kept["State"] == "available"

    # The consumer cleans up.
    gone = away.deregister_image(ImageId=registered, DeleteAssociatedSnapshots=True)
    assert gone["Return"] is True
    results = {entry["SnapshotId"]: entry["ReturnCode"] for entry in gone["DeleteSnapshotResults"]}
    assert results == dict.fromkeys(copies.values(), "success")
    with refused("InvalidAMIID.NotFound"):
        away.describe_images(ImageIds=[registered])
    assert away.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []


def permit_by_cli(producer, verb, source):
    command = f"ec2 modify-snapshot-attribute --snapshot-id {source} --user-ids {CONSUMER}"
    attribute = f"--attribute createVolumePermission --operation-type {verb}"
    producer.cli(HOME, *f"{command} {attribute}".split())


def role_by_cli(producer):
    command = f"sts assume-role --role-arn {COPY_ROLE} --role-session-name cli --external-id wire"
    answer = producer.cli(HOME, *command.split(), "--policy", SESSION_POLICY)
    role = producer.with_credentials(answer["Credentials"])
    arn = role.cli(AWAY, "sts", "get-caller-identity")["Arn"]
    assert arn.endswith(":assumed-role/AmiCopyRole/cli")
    return role


def copied_by_cli(role, source):
    command = f"ec2 copy-snapshot --source-region {HOME} --source-snapshot-id {source}"
    tags = "--tag-specifications ResourceType=snapshot,Tags=[{Key=from,Value=cli}]"
    encrypted = f"--encrypted --kms-key-id {TARGET_KEY}"
    copy = role.cli(AWAY, *f"{command} {encrypted} {tags}".split())["SnapshotId"]
    settled(role.ec2(AWAY), copy)
    return copy


def registered_by_cli(role, root, data):
    root = (
        f"SnapshotId={root},VolumeType=gp3,VolumeSize=8,Iops=4000,"
        "Throughput=250,DeleteOnTermination=true"
    )
    data = f"SnapshotId={data},VolumeType=io2,Iops=1000,DeleteOnTermination=false"
    command = (
        "ec2 register-image --name golden-by-cli --architecture x86_64 --virtualization-type hvm "
        "--root-device-name /dev/xvda --ena-support --sriov-net-support simple --boot-mode uefi "
        "--tpm-support v2.0 --imds-support v2.0 --block-device-mappings "
        f"DeviceName=/dev/xvda,Ebs={{{root}}} DeviceName=/dev/sdf,Ebs={{{data}}} "
        "DeviceName=/dev/sdb,VirtualName=ephemeral0"
    )
    registered = role.cli(AWAY, *command.split())["ImageId"]
    role.cli(AWAY, "ec2", "wait", "image-available", "--image-ids", registered)
    return registered


def test_the_aws_cli_copies_an_image_into_another_account_and_region(sandbox):
    producer = sandbox.producer
    [image] = producer.cli(HOME, "ec2", "describe-images", "--image-ids", GOLDEN)["Images"]
    root, data, _ = image["BlockDeviceMappings"]
    sources = [root["Ebs"]["SnapshotId"], data["Ebs"]["SnapshotId"]]

    for source in sources:
        permit_by_cli(producer, "add", source)
    command = f"kms create-grant --key-id {SOURCE_KEY} --grantee-principal {COPY_ROLE}"
    operations = ["--operations", *COPY_OPERATIONS]
    grant = producer.cli(HOME, *command.split(), *operations)["GrantId"]
    role = role_by_cli(producer)
    copies = [copied_by_cli(role, source) for source in sources]
    role.cli(AWAY, "ec2", "wait", "snapshot-completed", "--snapshot-ids", *copies)
    registered = registered_by_cli(role, *copies)
    tag = ["--tags", "Key=stage,Value=final"]
    role.cli(AWAY, "ec2", "create-tags", "--resources", registered, *copies, *tag)

    [result] = role.cli(AWAY, "ec2", "describe-images", "--owners", "self")["Images"]
    assert (result["ImageId"], result["OwnerId"]) == (registered, CONSUMER)
    assert result["Tags"] == [{"Key": "stage", "Value": "final"}]
    assert result["BlockDeviceMappings"][0]["Ebs"] == root["Ebs"] | {"SnapshotId": copies[0]}
    assert result["BlockDeviceMappings"][1]["Ebs"] == data["Ebs"] | {"SnapshotId": copies[1]}
    assert result["PlatformDetails"] == image["PlatformDetails"]

    for source in sources:
        permit_by_cli(producer, "remove", source)
    producer.cli(HOME, *f"kms revoke-grant --key-id {SOURCE_KEY} --grant-id {grant}".split())
    assert producer.cli(HOME, "kms", "list-grants", "--key-id", SOURCE_KEY)["Grants"] == []
    with refused("InvalidSnapshot.NotFound"):
        role.cli(HOME, "ec2", "describe-snapshots", "--snapshot-ids", GOLDEN_ROOT)

    command = f"ec2 deregister-image --image-id {registered} --delete-associated-snapshots"
    gone = role.cli(AWAY, *command.split())
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
