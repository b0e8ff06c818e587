"""RunInstances, as far as it shows whether an image launches."""

import json
import urllib.error

import pytest

from clients import poll, refused
from names import (
    CONSUMER,
    GOLDEN,
    HOME,
    MANAGEMENT,
    ORGANIZATION,
    PRODUCER,
    SCALER,
    SOURCE_KEY,
    WORKLOADS,
)

#: The operations that Auto Scaling documents for its role.
OPERATIONS = [
    "Encrypt",
    "Decrypt",
    "ReEncryptFrom",
    "ReEncryptTo",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "DescribeKey",
    "CreateGrant",
]


def run(caller, **more):
    wanted = {"ImageId": GOLDEN, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1} | more
    [instance] = caller.ec2(HOME).run_instances(**wanted)["Instances"]
    return instance


def shown(caller, instance_id):
    [reservation] = caller.ec2(HOME).describe_instances(InstanceIds=[instance_id])["Reservations"]
    [instance] = reservation["Instances"]
    return instance


def started(caller, **more):
    """Returns the instance once it is no longer pending."""
    instance = run(caller, **more)
    assert instance["State"] == {"Code": 0, "Name": "pending"}
    return poll(
        lambda: shown(caller, instance["InstanceId"]),
        lambda found: found["State"]["Name"] != "pending",
    )[-1]


@pytest.fixture
def shared(sandbox):
    """Shares the producer's image and key with the members of an OU."""
    unit = f"arn:aws:organizations::{MANAGEMENT}:ou/{ORGANIZATION}/{WORKLOADS}"
    sandbox.producer.ec2(HOME).modify_image_attribute(
        ImageId=GOLDEN, LaunchPermission={"Add": [{"OrganizationalUnitArn": unit}]}
    )
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": [
            "kms:DescribeKey",
            "kms:CreateGrant",
            "kms:Decrypt",
            "kms:ReEncrypt*",
            "kms:GenerateDataKey*",
        ],
        "Resource": "*",
        "Condition": {"StringEquals": {"aws:PrincipalOrgID": ORGANIZATION}},
    }
    account = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{PRODUCER}:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [account, statement]})
    sandbox.producer.kms(HOME).put_key_policy(KeyId=SOURCE_KEY, PolicyName="default", Policy=policy)


def test_an_own_image_runs_until_it_is_terminated(sandbox):
    instance = started(sandbox.producer)
    assert instance["State"]["Name"] == "running" and "StateReason" not in instance
    assert [mapping["DeviceName"] for mapping in instance["BlockDeviceMappings"]] == [
        "/dev/xvda",
        "/dev/sdf",
    ]
    assert instance["BootMode"] == "uefi" and instance["EnaSupport"]
    ids = [instance["InstanceId"]]
    [ending] = sandbox.producer.ec2(HOME).terminate_instances(InstanceIds=ids)[
        "TerminatingInstances"
    ]
    assert (ending["PreviousState"]["Name"], ending["CurrentState"]["Name"]) == (
        "running",
        "shutting-down",
    )
    ended = poll(
        lambda: shown(sandbox.producer, ids[0]),
        lambda found: found["State"]["Name"] == "terminated",
    )[-1]
    assert ended["StateReason"]["Code"] == "Client.UserInitiatedShutdown"


def test_a_member_launches_an_image_shared_with_its_ou(sandbox, shared):
    assert started(sandbox.consumer)["State"]["Name"] == "running"
    with refused("InvalidAMIID.NotFound", GOLDEN):
        run(sandbox.outsider)


def test_an_instance_without_the_key_terminates(sandbox):
    sandbox.producer.ec2(HOME).modify_image_attribute(
        ImageId=GOLDEN, LaunchPermission={"Add": [{"UserId": CONSUMER}]}
    )
    instance = started(sandbox.consumer)
    assert instance["State"] == {"Code": 48, "Name": "terminated"}
    assert instance["StateReason"] == {
        "Code": "Client.InternalError",
        "Message": "Client.InternalError: Client error on launch",
    }


def test_auto_scaling_needs_its_grant(sandbox, shared):
    scaler = sandbox.as_service(SCALER)
    assert scaler.sts.get_caller_identity()["Account"] == CONSUMER
    assert started(scaler)["State"]["Name"] == "terminated"
    # The account of the Auto Scaling group creates the grant, on the key of the other account.
    sandbox.consumer.kms(HOME).create_grant(
        KeyId=SOURCE_KEY, GranteePrincipal=SCALER, Operations=OPERATIONS
    )
    assert started(scaler)["State"]["Name"] == "running"
    with pytest.raises(urllib.error.HTTPError):
        sandbox.as_service(f"arn:aws:iam::{CONSUMER}:role/AmiCopyRole")


def test_an_invalid_launch_is_refused(sandbox):
    with refused("InvalidParameterValue", "arm64"):
        run(sandbox.producer, InstanceType="t4g.micro")
    with refused("InvalidParameterCombination", "hvm"):
        run(sandbox.producer, InstanceType="m1.small")
    with refused("InvalidSubnetID.NotFound", "default"):
        run(sandbox.producer, SubnetId="default")
    with refused("NotImplemented", "KeyName"):
        run(sandbox.producer, KeyName="key")
    with refused("NotImplemented", "MinCount"):
        run(sandbox.producer, MinCount=2, MaxCount=2)
    with refused("DryRunOperation"):
        run(sandbox.producer, DryRun=True)
    with refused("InvalidInstanceID.NotFound"):
        shown(sandbox.producer, "i-0123456789abcdef0")
    with refused("UnauthorizedOperation", "ec2:RunInstances"):
        run(sandbox.reader)


def test_the_aws_cli_launches_an_image(sandbox):
    answer = sandbox.producer.cli(
        HOME,
        "ec2",
        "run-instances",
        "--image-id",
        GOLDEN,
        "--instance-type",
        "m5.large",
        "--count",
        "1",
    )
    assert answer["Instances"][0]["State"]["Name"] == "pending"
