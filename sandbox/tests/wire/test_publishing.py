"""Parameters, launch templates, status checks and fast restores: the places that name an image."""

import pytest

from clients import poll, refused
from names import FLEET, GOLDEN, GOLDEN_ROOT, HOME, MANAGED_IMAGE, PRODUCER

NAME = "/amis/golden"


@pytest.fixture
def ssm(sandbox):
    return sandbox.producer.client("ssm", HOME)


@pytest.fixture
def ec2(sandbox):
    return sandbox.producer.ec2(HOME)


def history(ssm):
    pages = ssm.get_paginator("get_parameter_history").paginate(
        Name=NAME, PaginationConfig={"PageSize": 1}
    )
    return [(v["Version"], v["Value"]) for page in pages for v in page["Parameters"]]


def test_an_image_id_becomes_a_version_of_a_parameter(ssm):
    put = {"Name": NAME, "Type": "String", "DataType": "aws:ec2:image", "Overwrite": True}
    answer = ssm.put_parameter(Value=GOLDEN, **put)
    assert (answer["Version"], answer["Tier"]) == (1, "Standard")

    def versions():
        try:
            return history(ssm)
        except ssm.exceptions.ParameterNotFound:
            return []

    poll(versions, bool)
    ssm.put_parameter(Value=MANAGED_IMAGE, **put)
    poll(versions, lambda found: found == [(1, GOLDEN), (2, MANAGED_IMAGE)])
    found = ssm.get_parameter(Name=NAME)["Parameter"]
    assert found["Value"] == MANAGED_IMAGE
    assert found["ARN"] == f"arn:aws:ssm:{HOME}:{PRODUCER}:parameter{NAME}"
    with refused("ParameterAlreadyExists"):
        ssm.put_parameter(Value=GOLDEN, **(put | {"Overwrite": False}))
    with refused("ValidationException", "tags and overwrite"):
        ssm.put_parameter(Value=GOLDEN, Tags=[{"Key": "a", "Value": "b"}], **put)
    with refused("ParameterNotFound"):
        ssm.get_parameter(Name="/amis/other")


def test_a_launch_template_gets_a_version_and_a_new_default(ec2):
    made = ec2.create_launch_template_version(
        LaunchTemplateId=FLEET,
        SourceVersion="1",
        VersionDescription="golden",
        LaunchTemplateData={"ImageId": GOLDEN},
    )["LaunchTemplateVersion"]
    assert made["VersionNumber"] == 2
    assert made["LaunchTemplateData"] == {
        "ImageId": GOLDEN,
        "InstanceType": "t3.micro",
        "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"KmsKeyId": "alias/golden"}}],
    }
    changed = ec2.modify_launch_template(LaunchTemplateId=FLEET, DefaultVersion="2")
    assert changed["LaunchTemplate"]["DefaultVersionNumber"] == 2
    pages = ec2.get_paginator("describe_launch_template_versions").paginate(
        LaunchTemplateName="fleet", PaginationConfig={"PageSize": 1}
    )
    versions = [v for page in pages for v in page["LaunchTemplateVersions"]]
    assert [(v["VersionNumber"], v["DefaultVersion"]) for v in versions] == [
        (2, True),
        (1, False),
    ]
    [template] = ec2.describe_launch_templates(LaunchTemplateIds=[FLEET])["LaunchTemplates"]
    assert template["LatestVersionNumber"] == 2
    assert template["Tags"] == [{"Key": "team", "Value": "fleet"}]
    with refused("InvalidLaunchTemplateId.VersionNotFound"):
        ec2.modify_launch_template(LaunchTemplateId=FLEET, DefaultVersion="9")


def test_a_launch_passes_its_status_checks(ec2):
    tags = [{"Key": "run", "Value": "one"}]
    [launched] = ec2.run_instances(
        ImageId=GOLDEN,
        InstanceType="t3.micro",
        MinCount=1,
        MaxCount=1,
        ClientToken="publishing",
        SubnetId="subnet-12345678",
        IamInstanceProfile={"Name": "Distributor"},
        InstanceInitiatedShutdownBehavior="terminate",
        MetadataOptions={"HttpTokens": "required"},
        TagSpecifications=[{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")],
    )["Instances"]
    [reservation] = ec2.describe_instances(
        Filters=[{"Name": "client-token", "Values": ["publishing"]}]
    )["Reservations"]
    assert reservation["Instances"][0]["Tags"] == tags
    ids = [launched["InstanceId"]]

    def status():
        found = ec2.describe_instance_status(InstanceIds=ids)["InstanceStatuses"]
        checks = [(each["InstanceStatus"], each["SystemStatus"]) for each in found]
        return [(own["Status"], system["Status"]) for own, system in checks]

    seen = poll(status, lambda found: found == [("ok", "ok")])
    assert [("initializing", "initializing")] in seen
    ec2.terminate_instances(InstanceIds=ids)


def test_a_snapshot_is_restored_fast(ec2):
    answer = ec2.enable_fast_snapshot_restores(
        SourceSnapshotIds=[GOLDEN_ROOT, "snap-12345678"], AvailabilityZones=[f"{HOME}a"]
    )
    [enabling] = answer["Successful"]
    assert (enabling["State"], enabling["OwnerId"]) == ("enabling", PRODUCER)
    [failed] = answer["Unsuccessful"]
    [error] = failed["FastSnapshotRestoreStateErrors"]
    assert error["Error"]["Code"] == "InvalidSnapshot.NotFound"
    wanted = [{"Name": "snapshot-id", "Values": [GOLDEN_ROOT]}]

    def state():
        found = ec2.describe_fast_snapshot_restores(Filters=wanted)["FastSnapshotRestores"]
        return [each["State"] for each in found]

    seen = poll(state, lambda found: found == ["enabled"])
    assert ["optimizing"] in seen
    ec2.disable_fast_snapshot_restores(
        SourceSnapshotIds=[GOLDEN_ROOT], AvailabilityZoneIds=["use1-az1"]
    )
    assert state() == ["disabling"]
