"""IAM: roles, service-linked roles and simulated policies; and an account's settings of EC2."""

import datetime

from clients import refused
from names import CONSUMER, COPY_ROLE, HOME, SOURCE_KEY


def test_a_role_is_read_by_its_name(sandbox):
    role = sandbox.consumer.iam.get_role(RoleName="AmiCopyRole")["Role"]
    assert (role["Arn"], role["Path"], role["RoleName"]) == (COPY_ROLE, "/", "AmiCopyRole")
    assert role["AssumeRolePolicyDocument"]["Statement"] and isinstance(
        role["CreateDate"], datetime.datetime
    )
    with refused("NoSuchEntity", "Nobody"):
        sandbox.consumer.iam.get_role(RoleName="Nobody")


def test_a_service_linked_role_is_created_once(sandbox):
    make = sandbox.consumer.iam.create_service_linked_role
    suffix = {
        "AWSServiceName": "autoscaling.amazonaws.com",
        "CustomSuffix": "wire",
        "Description": "for tests",
    }
    role = make(**suffix)["Role"]
    name = "AWSServiceRoleForAutoScaling_wire"
    assert (
        role["Arn"]
        == f"arn:aws:iam::{CONSUMER}:role/aws-service-role/autoscaling.amazonaws.com/{name}"
    )
    assert role["Description"] == "for tests"
    with refused("InvalidInput", "has been taken in this account"):
        make(**suffix)
    with refused("InvalidInput", "Custom suffix is not allowed"):
        make(AWSServiceName="batch.amazonaws.com", CustomSuffix="wire")
    shown = sandbox.consumer.cli(HOME, "iam", "get-role", "--role-name", name)
    assert shown["Role"]["Arn"] == role["Arn"]


def test_policies_are_simulated(sandbox):
    answer = sandbox.consumer.iam.simulate_principal_policy(
        PolicySourceArn=COPY_ROLE,
        ActionNames=["ec2:CopySnapshot", "iam:CreateUser"],
        ResourceArns=["*", SOURCE_KEY],
        ContextEntries=[
            {
                "ContextKeyName": "aws:RequestedRegion",
                "ContextKeyValues": [HOME],
                "ContextKeyType": "string",
            }
        ],
    )
    assert answer["IsTruncated"] is False
    results = answer["EvaluationResults"]
    assert [result["EvalActionName"] for result in results] == [
        "ec2:CopySnapshot",
        "iam:CreateUser",
    ]
    assert results[1]["EvalDecision"] == "implicitDeny"
    assert [r["EvalResourceName"] for r in results[0]["ResourceSpecificResults"]] == [
        "*",
        SOURCE_KEY,
    ]
    assert results[0]["OrganizationsDecisionDetail"]["AllowedByOrganizations"] is True


def test_settings_of_ec2_are_read(sandbox):
    ec2 = sandbox.consumer.ec2(HOME)
    allowed = ec2.get_allowed_images_settings()
    assert (allowed["State"], allowed["ImageCriteria"], allowed["ManagedBy"]) == (
        "disabled",
        [],
        "account",
    )
    assert ec2.get_image_block_public_access_state()["ImageBlockPublicAccessState"] == "unblocked"
    assert ec2.get_snapshot_block_public_access_state()["State"] == "unblocked"
