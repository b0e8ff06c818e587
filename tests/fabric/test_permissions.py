"""What is documented, what is deployed and what the Rust tests run with are one thing."""

import json
import re

from . import template, world
from .fabric import REQUEST_PARAMETER, STACK


def documented(name):
    """The first JSON block of docs/permissions.md with this name in it; the Rust tests run with the same."""
    text = (template.ROOT / "docs" / "permissions.md").read_text()
    blocks = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    return normal(json.loads(next(block for block in blocks if f'"{name}"' in block)))


def normal(policy):
    """A list of one is the same as the one."""
    if isinstance(policy, dict):
        return {key: normal(value) for key, value in policy.items()}
    if isinstance(policy, list):
        return normal(policy[0]) if len(policy) == 1 else [normal(value) for value in policy]
    return policy


def deployed(fabric, role_name, account=world.SOURCE, stack=STACK):
    """The role's trust and policies, with names that CloudFormation made up as the documentation writes them."""
    resources = fabric.resources(stack)
    names = {
        resources["Bucket"]: "amiferry-bucket",
        resources["DeadLetters"].rpartition("/")[2]: "amiferry-dead-letters",
        resources["Topic"].rpartition(":")[2]: "amiferry-topic",
        stack: STACK,
    }
    role = fabric.role(role_name, account)

    def read(text):
        for made_up, name in names.items():
            text = text.replace(made_up, name)
        return normal(json.loads(text))

    return read(role.trust), [read(policy) for policy in role.policies]


def test_the_functions_policies(fabric):
    """Without what has to be asked for."""
    parameters = {"Architecture": "x86_64", "RequestParameter": REQUEST_PARAMETER, "OrchestratorRoleName": "bare"}
    assert fabric.create("bare", fabric.plain, **parameters) == "CREATE_COMPLETE", fabric.reasons("bare")
    _, policies = deployed(fabric, "bare", stack="bare")
    assert policies == [documented("Find"), documented("Start")]
    assert fabric.delete("bare") == "DELETE_COMPLETE"


def test_the_functions_policies_with_what_is_asked_for(fabric):
    _, [distribute, reencrypt, stack] = deployed(fabric, STACK)
    bare, more = documented("Find"), documented("KeyPolicies")
    assert [statement for statement in bare["Statement"] if statement not in distribute["Statement"]] == []
    assert [statement for statement in distribute["Statement"] if statement not in bare["Statement"]] == [more["Statement"]]
    wanted = documented("Stage")["Statement"]
    wanted[-1]["Resource"] = world.key_arn("managed")
    assert reencrypt["Statement"] == wanted
    assert stack == documented("Start")


def test_the_machines_policy(fabric):
    _, policies = deployed(fabric, fabric.resources()["StateMachineRole"])
    assert policies == [documented("Step")]


def test_a_targets_role(fabric):
    account = next(iter(world.TARGETS))
    role = f"arn:aws:kms:{world.HOME}:{account}:key/*"
    body = template.read(template.TARGET_ROLE)
    parameters = {
        "SourceAccountId": world.SOURCE,
        "SourceKeyArns": world.SOURCE_KEYS,
        "TargetKeyArns": role,
        "RoleName": "Documented",
        "ServiceLinkedRoles": "autoscaling.amazonaws.com,spot.amazonaws.com",
        "CreateServiceLinkedRoles": "true",
        "Preflight": "true",
    }
    assert fabric.create("documented", body, account, **parameters) == "CREATE_COMPLETE"
    trust, policies = deployed(fabric, "Documented", account)
    assert trust == documented("aws:PrincipalArn")
    assert policies == [documented("TidyUp"), documented("LetLaunch"), documented("LookFirst")]
    assert fabric.outputs("documented", account)["TargetRoleArn"] == f"arn:aws:iam::{account}:role/Documented"
    assert fabric.delete("documented", account) == "DELETE_COMPLETE"


def test_a_targets_role_with_an_external_id_and_a_key_of_its_own(fabric):
    account = next(iter(world.TARGETS))
    body = template.read(template.TARGET_ROLE)
    parameters = {"SourceAccountId": world.SOURCE, "SourceKeyArns": world.SOURCE_KEYS, "RoleName": "Other", "CreateKmsKey": "true"}
    assert fabric.create("other", body, account, ExternalId="you-and-me", **parameters) == "CREATE_COMPLETE"
    trust, [policy] = deployed(fabric, "Other", account)
    assert trust["Statement"]["Condition"]["StringEquals"] == {"sts:ExternalId": "you-and-me"}
    key = fabric.outputs("other", account)["TargetKmsKeyArn"]
    assert policy["Statement"][-1]["Resource"] == [world.SOURCE_KEYS, key], "no other key"
    assert fabric.delete("other", account) == "DELETE_COMPLETE"


def test_the_parameters_bind_the_policies(fabric):
    """A second stack with everything that can be asked for."""
    parameters = {
        "Architecture": "x86_64",
        "OrchestratorRoleName": "other-amiferry",
        "TargetRoleName": "OtherCopyRole",
        "OrganizationId": world.ORGANIZATION,
        "SourceKeyArns": "arn:aws:kms:eu-west-1:111111111111:key/1,arn:aws:kms:eu-west-1:111111111111:key/2",
        "KeyPolicyAccess": "true",
        "ReencryptKmsKeyArns": "arn:aws:kms:eu-west-1:111111111111:key/3",
        "CreateKmsKey": "true",
        "KmsKeyAlias": "golden",
        "Region": "eu-west-1",
        "Request": '{"TargetAccountIds": ["222222222222"]}',
        "NotificationEmail": "images@example.com",
        "LogExecutions": "true",
        "SweepRegions": "eu-west-1,eu-central-1",
    }
    assert fabric.create("everything", fabric.plain, **parameters) == "CREATE_COMPLETE", fabric.reasons("everything")
    outputs = fabric.outputs("everything")
    distribute, reencrypt, stack = (json.loads(policy)["Statement"] for policy in fabric.role("other-amiferry").policies)
    elsewhere = json.dumps(reencrypt).replace("eu-west-1", world.HOME)
    wanted = documented("Stage")["Statement"]
    wanted[-1]["Resource"] = "arn:aws:kms:us-west-2:111111111111:key/3"
    assert normal(json.loads(elsewhere)) == wanted
    of = {statement["Sid"]: statement for statement in distribute + stack}
    assert (
        of["Keys"]["Resource"] == of["Grant"]["Resource"] == [*parameters["SourceKeyArns"].split(","), outputs["SharedKmsKeyArn"]]
    )
    key_policies = documented("KeyPolicies")["Statement"]
    assert of["KeyPolicies"]["Resource"] == of["Keys"]["Resource"]
    assert normal(of["KeyPolicies"]) == key_policies | {"Resource": of["Keys"]["Resource"]}
    assert of["ReadAndShare"]["Resource"] == ["arn:aws:ec2:eu-west-1::image/*", "arn:aws:ec2:eu-west-1::snapshot/*"]
    assert of["Targets"]["Resource"] == "arn:aws:iam::*:role/OtherCopyRole"
    assert of["Targets"]["Condition"] == {"StringEquals": {"aws:ResourceOrgID": world.ORGANIZATION}}
    assert "Configured" not in of, "the request is in the environment"
    everywhere = {sid for sid, statement in of.items() if statement["Resource"] == "*" and statement["Effect"] == "Allow"}
    assert everywhere == {"Find", "Organization"}, "AWS allows nothing narrower for these"
    variables = fabric.functions.get_function_configuration(FunctionName="everything")["Environment"]["Variables"]
    assert variables["AMIFERRY_STATE_MACHINE_ARN"] == outputs["StateMachineArn"]
    assert variables["AMIFERRY_BUCKET"] == outputs["BucketName"]
    assert variables["AMIFERRY_REQUEST"] == parameters["Request"]
    assert variables["AMIFERRY_SWEEP_REGIONS"] == parameters["SweepRegions"]
    assert fabric.delete("everything") == "DELETE_COMPLETE"
    [kept] = [bucket for bucket in fabric.s3.list_buckets()["Buckets"] if bucket["Name"] == outputs["BucketName"]]
    assert kept, "it empties itself"
