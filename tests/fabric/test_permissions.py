"""The documents, the templates, the demo's world and the Rust tests (which read
docs/permissions.md) say one thing."""

import json
import re
import tomllib

import pytest

from . import template, world
from .fabric import REQUEST_PARAMETER, SETTINGS, STACK

PERMISSIONS = template.ROOT / "docs" / "permissions.md"
DEMO = template.ROOT / "sandbox" / "worlds" / "demo.toml"
#: A name in each policy of docs/permissions.md, in the order of the page. Each is compared with
#: what a template makes, below.
DOCUMENTS = [
    "Find",
    "ShareImages",
    "aws:ResourceAccount",
    "aws:PrincipalArn",
    "TidyUp",
    "LetLaunch",
    "PublishImage",
    "TestImage",
    "TestGroup",
    "LookForUsers",
    "LookFirst",
    "Start",
    "Step",
    "Stage",
    "StageElsewhere",
    "KeyPolicies",
]


def blocks():
    return re.findall(r"```json\n(.*?)```", PERMISSIONS.read_text(), re.DOTALL)


def documented(name):
    """The first JSON block of docs/permissions.md with this name in it; the Rust tests run with the
    same."""
    return normal(json.loads(next(block for block in blocks() if f'"{name}"' in block)))


def normal(policy):
    """A list of one is the same as the one."""
    if isinstance(policy, dict):
        return {key: normal(value) for key, value in policy.items()}
    if isinstance(policy, list):
        return normal(policy[0]) if len(policy) == 1 else [normal(value) for value in policy]
    return policy


# ------------------------------------------------------------------------- what needs no deployment


def test_every_document_is_compared():
    assert [documented(name) for name in DOCUMENTS] == [
        normal(json.loads(block)) for block in blocks()
    ]


def test_the_demo_runs_with_the_documented_policies():
    demo = tomllib.loads(DEMO.read_text())
    function = documented("Find")
    function["Statement"] = json.loads(json.dumps(function["Statement"]))
    copies = 0
    for account in demo["account"]:
        [role] = account["role"]
        [key] = account["key"]
        policies = [normal(json.loads(policy)) for policy in role["policies"]]
        if role["name"] == "amiferry":
            assert policies == [function, documented("ShareImages")]
            continue
        copies += 1
        wanted = json.dumps(documented("TidyUp")).replace(
            "us-west-2:222222222222", f"{key['region']}:222222222222"
        )
        assert policies == [json.loads(wanted.replace("222222222222", account["id"]))]
        assert normal(json.loads(role["trust_policy"])) == documented("aws:PrincipalArn")
    assert copies == 3


def test_the_readme_grants_no_access_to_all_keys_of_an_account():
    readme = (template.ROOT / "README.md").read_text()
    deploy = readme.partition("## Deploy")[2].partition("\n## ")[0]
    assert "SourceKeyArns=arn:aws:kms:us-west-2:111111111111:key/1234abcd" in deploy
    assert "key/*" not in deploy


def holds(rule, parameters):
    """Evaluates a template's rule for these parameters, with the functions that our rules use."""

    def judge(function):
        [(name, argument)] = function.items()
        if name == "Ref":
            return parameters[argument]
        if name == "Fn::Equals":
            left, right = (judge(value) if isinstance(value, dict) else value for value in argument)
            return left == right
        return {"Fn::Not": lambda of: not of[0], "Fn::And": all, "Fn::Or": any}[name](
            [judge(each) for each in argument]
        )

    applies = judge(rule["RuleCondition"]) if "RuleCondition" in rule else True
    return not applies or all(judge(assertion["Assert"]) for assertion in rule["Assertions"])


def refused_by(file, **given):
    body = template.read(file)
    parameters = {
        name: parameter.get("Default", "given") for name, parameter in body["Parameters"].items()
    } | given
    return [name for name, rule in body["Rules"].items() if not holds(rule, parameters)]


ANY_KEY = {"SourceKeyArns": "arn:aws:kms:us-west-2:111111111111:key/1"}


@pytest.mark.parametrize(
    "parameters, rules",
    [
        ({}, ["KeysOfImages"]),
        ({"CreateKmsKey": "true"}, []),
        (ANY_KEY, []),
        (ANY_KEY | {"AllowShare": "true"}, ["SharesWithSomebody"]),
        (ANY_KEY | {"Mode": "Share"}, ["SharesWithSomebody"]),
        (ANY_KEY | {"NotifyOfForeignKeyUse": "true"}, ["KeyUsersAreNamed"]),
        (ANY_KEY | {"NotifyOfForeignKeyUse": "true", "KeyUserAccountIds": "222222222222"}, []),
        (ANY_KEY | {"AllowShare": "true", "AllowedAccountIds": "222222222222"}, []),
        (ANY_KEY | {"Mode": "Share", "OrganizationId": "o-amiferry01"}, []),
    ],
)
def test_the_stack_requires_keys_allowed_accounts_and_key_users(parameters, rules):
    assert refused_by(template.STACK, **parameters) == rules


@pytest.mark.parametrize(
    "parameters, rules",
    [
        ({}, ["KeysOfThisAccount"]),
        ({"RoleRegion": "us-west-2"}, ["KeysOfThisAccount"]),
        ({"CreateKmsKey": "true", "RoleRegion": "us-west-2"}, []),
        ({"TargetKeyArns": "arn:aws:kms:us-west-2:222222222222:key/1"}, []),
    ],
)
def test_the_targets_role_requires_keys(parameters, rules):
    assert refused_by(template.TARGET_ROLE, **parameters) == rules


@pytest.mark.parametrize(
    "file, name, given, matches",
    [
        (template.STACK, "AllowedAccountIds", "222222222222,333333333333", True),
        (template.STACK, "AllowedAccountIds", "222222222222, 333333333333", False),
        (template.STACK, "SourceKeyArns", "arn:aws:kms:us-west-2:111111111111:key/*", True),
        (template.STACK, "KeyUserArns", "arn:aws:iam::111111111111:role/builder-*", True),
        (template.STACK, "KeyUserArns", 'arn:aws:iam::111111111111:role/a"', False),
        (template.STACK, "KeyUserArns", "arn:aws:iam::111111111111:role/a\\", False),
        (template.STACK, "SourceKeyArns", "*", False),
        (template.STACK, "SourceKeyArns", "arn:aws:kms:us-west-2:111111111111:alias/images", False),
        (
            template.TARGET_ROLE,
            "SourceKeyArns",
            "arn:aws-cn:kms:cn-north-1:111111111111:key/mrk-1,arn:aws:kms:*:111111111111:key/2",
            True,
        ),
        (template.TARGET_ROLE, "SourceKeyArns", "", False),
        (template.TARGET_ROLE, "TargetKeyArns", "arn:aws:kms:us-west-2:*:key/1", False),
    ],
)
def test_lists_of_keys_and_accounts_are_checked_by_pattern(file, name, given, matches):
    pattern = template.read(file)["Parameters"][name]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, given)) == matches


# ministack evaluates no condition on AWS::Region, and keeps neither lifecycles nor settings of
# asynchronous invocations: these are read from the templates.


def test_keys_of_other_regions_are_named_by_their_alias():
    resources = template.read(template.TARGET_ROLE)["Resources"]
    role = resources["Role"]["Properties"]["Policies"]
    policies = [under_any_condition(policy) for policy in role]
    of = {policy["PolicyName"]: policy["PolicyDocument"]["Statement"] for policy in policies}
    called = {"kms:ResourceAliases": {"Fn::Sub": "alias/${KmsKeyAlias}"}}
    alike = {}
    for resource in resources.values():
        if resource["Type"] == "AWS::IAM::ManagedPolicy":
            policy = resource["Properties"]["PolicyDocument"]
            alike |= by_sid({"Statement": [under_any_condition(s) for s in policy["Statement"]]})
    for statement in of["regions"] + of["launch-regions"]:
        condition = dict(statement["Condition"])
        assert condition.pop("ForAnyValue:StringEquals") == called
        assert statement["Resource"] == {
            "Fn::Sub": "arn:${AWS::Partition}:kms:*:${AWS::AccountId}:key/*"
        }
        other = alike[statement["Sid"]]
        assert (statement["Action"], condition) == (other["Action"], other.get("Condition", {}))


@pytest.mark.parametrize("file", [template.STACK, template.TARGET_ROLE])
def test_a_stack_that_could_not_be_created_leaves_no_retained_resource(file):
    retained = {
        name: resource["DeletionPolicy"]
        for name, resource in template.read(file)["Resources"].items()
        if "DeletionPolicy" in resource
    }
    assert {"Key", "KeyAlias"} <= set(retained)
    assert set(retained.values()) == {"RetainExceptOnCreate"}


def test_only_short_lived_objects_expire():
    """A share lasts for months, and so must its ledger."""
    bucket = template.read(template.STACK)["Resources"]["Bucket"]
    assert bucket["DeletionPolicy"] == "RetainExceptOnCreate"
    rules = bucket["Properties"]["LifecycleConfiguration"]["Rules"]
    expiring = {
        rule.get("Prefix"): rule["ExpirationInDays"] for rule in rules if "ExpirationInDays" in rule
    }
    assert expiring == {"answers/": 7, "payloads/": 7, "results/": 7}


def test_no_destination_gets_the_payload_of_a_failed_invocation():
    """The payload may hold a ResponseURL."""
    resources = template.read(template.STACK)["Resources"]
    function = resources["Function"]["Properties"]
    assert "DeadLetterQueue" not in function
    assert "DestinationConfig" not in function["EventInvokeConfig"]
    [letters] = resources["DeadLettersPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert letters["Principal"] == {"Service": "events.amazonaws.com"}


# -------------------------------------------------------------------------------- what was deployed


def deployed(fabric, role_name, account=world.SOURCE, stack=STACK):
    """The role's trust and its statements by their Sid, with names that CloudFormation made up as
    the documentation writes them. A statement that several policies have, each with other
    resources, has them all."""
    resources = fabric.resources(stack)
    names = {
        resources["Bucket"]: "amiferry-bucket",
        resources["Topic"].rpartition(":")[2]: "amiferry-topic",
        stack: STACK,
    }
    role = fabric.role(role_name, account)

    def read(text):
        for made_up, name in names.items():
            text = text.replace(made_up, name)
        return json.loads(text)

    return normal(read(role.trust)), joined(map(read, role.policies))


def joined(policies):
    found = {}
    for statement in (statement for policy in policies for statement in policy["Statement"]):
        there = found.setdefault(statement["Sid"], statement | {"Resource": []})
        assert there | {"Resource": None} == statement | {"Resource": None}, (
            "the same but for its resources"
        )
        there["Resource"] += listed(statement["Resource"])
    return normal(found)


def listed(value):
    return value if isinstance(value, list) else [value]


def everything(*names):
    """The statements of these documents by their Sid."""
    return {sid: statement for name in names for sid, statement in by_sid(documented(name)).items()}


def by_sid(policy):
    return {statement["Sid"]: statement for statement in listed(policy["Statement"])}


def under_any_condition(part):
    return part["Fn::If"][1] if "Fn::If" in part else part


def alike(statement):
    """The order of its resources does not matter."""
    return statement | {"Resource": sorted(listed(statement["Resource"]))}


def same(found, wanted):
    return {sid: alike(found[sid]) for sid in found} == {sid: alike(wanted[sid]) for sid in wanted}


@pytest.mark.parametrize("copies_images", ["true", "false"])
def test_the_functions_policies_are_the_documented_ones(fabric, copies_images):
    """Without what has to be asked for."""
    parameters = {
        "Architecture": "x86_64",
        "RequestParameter": REQUEST_PARAMETER,
        "OrchestratorRoleName": "bare",
        "SourceKeyArns": world.SOURCE_KEYS,
        "CopyImages": copies_images,
    }
    assert fabric.create("bare", fabric.plain, **parameters) == "CREATE_COMPLETE", fabric.reasons(
        "bare"
    )
    _, found = deployed(fabric, "bare", stack="bare")
    wanted = everything("Find", "Start")
    if copies_images == "true":
        wanted["ShareImages"] = everything("ShareImages")["ShareImages"]
    assert same(found, wanted)
    assert variables(fabric, "bare")["AMIFERRY_ALLOW_SHARE"] == "false"
    assert fabric.delete("bare") == "DELETE_COMPLETE"


def variables(fabric, function):
    return fabric.functions.get_function_configuration(FunctionName=function)["Environment"][
        "Variables"
    ]


def test_the_functions_policies_with_all_parameters_are_the_documented_ones(fabric):
    _, found = deployed(fabric, STACK)
    wanted = everything(
        "Find", "ShareImages", "aws:ResourceAccount", "KeyPolicies", "Stage", "Start"
    )
    for sid in ("KeysOfStaging", "GrantsOfStaging"):
        wanted[sid]["Resource"] = world.key_arn("managed")
    assert same(found, json.loads(with_all_accounts(json.dumps(wanted))))
    assert variables(fabric, STACK)["AMIFERRY_ALLOWED_ACCOUNTS"] == ",".join(world.allowed())
    assert variables(fabric, STACK)["AMIFERRY_ALLOW_SHARE"] == "true"


def with_all_accounts(text):
    """The documentation names two accounts."""
    for pattern in ("%s", "arn:aws:iam::%s:*"):
        two, all_of_them = (
            [pattern % account for account in accounts]
            for accounts in (["222222222222", "333333333333"], world.allowed())
        )
        text = text.replace(json.dumps(two), json.dumps(all_of_them))
    return text


def test_the_machines_policy_is_the_documented_one(fabric):
    _, found = deployed(fabric, fabric.resources()["StateMachineRole"])
    assert same(found, everything("Step"))


def test_the_objects_of_the_bucket_are_the_stacks_own(fabric):
    resources = fabric.resources()
    bucket = resources["Bucket"]
    policy = by_sid(json.loads(fabric.s3.get_bucket_policy(Bucket=bucket)["Policy"]))
    own = [
        f"arn:aws:iam::{world.SOURCE}:role/{role}"
        for role in (STACK, resources["StateMachineRole"])
    ]
    for sid in ("WrittenByTheStackOnly", "ReadByTheStackOnly"):
        assert policy[sid]["Effect"] == "Deny"
        assert policy[sid]["Resource"] == f"arn:aws:s3:::{bucket}/*", (
            "the bucket itself stays with the administrators"
        )
        assert policy[sid]["Condition"] == {"ArnNotEquals": {"aws:PrincipalArn": own}}
    assert policy["SecretsReadByTheStackOnly"]["Condition"] == {
        "ArnNotEquals": {"aws:PrincipalArn": own}
    }
    assert fabric.s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"


def test_a_targets_role_is_the_documented_one(fabric):
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
        "PublishImages": "true",
        "PublishParameterArns": f"arn:aws:ssm:*:{account}:parameter/golden/*",
        "PublishLaunchTemplateArns": f"arn:aws:ec2:*:{account}:launch-template/*",
        "PublishToAccountIds": "333333333333",
        "FastSnapshotRestore": "true",
        "LaunchTests": "true",
        "LaunchTestGroups": "true",
        "LaunchTestRoleArn": f"arn:aws:iam::{account}:role/launch-test",
        "Retention": "true",
        "Preflight": "true",
    }
    assert fabric.create("documented", body, account, **parameters) == "CREATE_COMPLETE"
    trust, found = deployed(fabric, "Documented", account)
    assert trust == documented("aws:PrincipalArn")
    names = ("TidyUp", "LetLaunch", "PublishImage", "TestImage", "TestGroup")
    assert same(found, everything(*names, "LookForUsers", "LookFirst"))
    assert (
        fabric.outputs("documented", account)["TargetRoleArn"]
        == f"arn:aws:iam::{account}:role/Documented"
    )
    assert fabric.delete("documented", account) == "DELETE_COMPLETE"


def test_a_targets_role_with_all_parameters_is_the_documented_one(fabric):
    account = next(iter(world.TARGETS))
    body = template.read(template.TARGET_ROLE)
    parameters = {
        "SourceAccountId": world.SOURCE,
        "SourceKeyArns": world.SOURCE_KEYS,
        "RoleName": "Other",
        "CreateKmsKey": "true",
    }
    assert (
        fabric.create("other", body, account, ExternalId="you-and-me", **parameters)
        == "CREATE_COMPLETE"
    )
    trust, of = deployed(fabric, "Other", account)
    assert trust["Statement"]["Condition"]["StringEquals"] == {"sts:ExternalId": "you-and-me"}
    key = fabric.outputs("other", account)["TargetKmsKeyArn"]
    assert (
        of["KeysByEC2"]["Resource"] == of["GrantsByEC2"]["Resource"] == [world.SOURCE_KEYS, key]
    ), "no other key"
    assert fabric.delete("other", account) == "DELETE_COMPLETE"


EVERYTHING = {
    "Architecture": "x86_64",
    "OrchestratorRoleName": "other-amiferry",
    "TargetRoleName": "OtherCopyRole",
    "OrganizationId": world.ORGANIZATION,
    "AllowedAccountIds": "222222222222,333333333333",
    "AllowShare": "true",
    "LedgerReaderArns": "arn:aws:iam::111111111111:role/Auditor",
    "SourceKeyArns": "arn:aws:kms:eu-west-1:111111111111:key/1,"
    "arn:aws:kms:eu-west-1:111111111111:key/2",
    "KeyPolicyAccess": "true",
    "ReencryptKmsKeyArns": "arn:aws:kms:eu-west-1:111111111111:key/3",
    "StagingKmsKeyArns": "arn:aws:kms:us-east-1:111111111111:key/4",
    "CreateKmsKey": "true",
    "KmsKeyAlias": "golden",
    "Region": "eu-west-1",
    "Request": '{"TargetAccountIds": ["222222222222"]}',
    "NotificationEmail": "images@example.com",
    "LogExecutions": "true",
}


def assert_settings(fabric, outputs):
    """The function's settings, and the readers of its bucket."""
    given = variables(fabric, "everything")
    assert given["AMIFERRY_STATE_MACHINE_ARN"] == outputs["StateMachineArn"]
    assert given["AMIFERRY_BUCKET"] == outputs["BucketName"]
    assert given["AMIFERRY_REQUEST"] == EVERYTHING["Request"]
    assert given["AMIFERRY_ALLOWED_ORGANIZATION"] == world.ORGANIZATION
    policy = by_sid(json.loads(fabric.s3.get_bucket_policy(Bucket=outputs["BucketName"])["Policy"]))
    readers = policy["ReadByTheStackOnly"]["Condition"]["ArnNotEquals"]["aws:PrincipalArn"]
    assert readers[2:] == [EVERYTHING["LedgerReaderArns"]]
    secrets = policy["SecretsReadByTheStackOnly"]
    assert secrets["Resource"] == [
        f"arn:aws:s3:::{outputs['BucketName']}/{prefix}/*" for prefix in ("answers", "payloads")
    ]
    assert secrets["Condition"]["ArnNotEquals"]["aws:PrincipalArn"] == readers[:2], (
        "no reader of the ledger sees a ResponseURL"
    )


def assert_stages_elsewhere(found, keys):
    """The documented statements name two Regions; the template's hold for all of them. Those on the
    staging keys themselves are those on the source keys."""
    through = {"kms:ViaService": ["ec2.us-west-2.amazonaws.com", "ec2.us-east-1.amazonaws.com"]}
    anywhere = {"kms:ViaService": "ec2.*.amazonaws.com"}
    for sid, wanted in everything("StageElsewhere").items():
        if not sid.endswith("Elsewhere"):
            continue
        wanted = wanted | {"Resource": "arn:aws:ec2:*::snapshot/*"}
        if wanted.get("Condition", {}).get("StringEquals") == through:
            others = {k: v for k, v in wanted["Condition"].items() if k != "StringEquals"}
            condition = {"StringLike": anywhere} | others
            wanted = wanted | {"Resource": keys, "Condition": condition}
        assert found[sid] == wanted, sid
    assert "arn:aws:ec2:*::snapshot/*" in found["ShareSnapshots"]["Resource"]


def test_the_parameters_bind_the_policies(fabric):
    """A second stack with everything that can be asked for."""
    assert fabric.create("everything", fabric.plain, **EVERYTHING) == "CREATE_COMPLETE", (
        fabric.reasons("everything")
    )
    outputs = fabric.outputs("everything")
    of = joined(json.loads(policy) for policy in fabric.role("other-amiferry").policies)
    wanted = json.dumps(everything("Stage")).replace(world.HOME, "eu-west-1")
    wanted = json.loads(wanted)
    for sid in ("KeysOfStaging", "GrantsOfStaging"):
        wanted[sid]["Resource"] = EVERYTHING["ReencryptKmsKeyArns"]
    assert {sid: of[sid] for sid in wanted} == wanted
    keys = [*EVERYTHING["SourceKeyArns"].split(","), outputs["SharedKmsKeyArn"]]
    assert_stages_elsewhere(of, keys)
    for sid in ("Keys", "Grant", "GrantToAccounts", "KeyPolicies"):
        assert of[sid]["Resource"] == keys, sid
    assert of["KeyPolicies"] == documented("KeyPolicies")["Statement"] | {"Resource": keys}
    assert of["Read"]["Resource"] == [
        "arn:aws:ec2:eu-west-1::image/*",
        "arn:aws:ec2:eu-west-1::snapshot/*",
    ]
    either = {"StringEquals": {"aws:ResourceAccount": ["222222222222", "333333333333"]}}
    assert of["Targets"]["Condition"] == either
    assert of["TargetsOfOrganization"]["Condition"] == {
        "StringEquals": {"aws:ResourceOrgID": world.ORGANIZATION}
    }
    assert (
        of["Targets"]["Resource"]
        == of["TargetsOfOrganization"]["Resource"]
        == "arn:aws:iam::*:role/OtherCopyRole"
    )
    assert "Condition" not in of["ShareSnapshots"], (
        "an organization's accounts are not known to IAM"
    )
    assert of["Grant"]["Condition"]["StringLike"] == {
        "kms:GranteePrincipal": "arn:aws:iam::*:role/OtherCopyRole"
    }
    assert "OnlyNamedAccounts" not in of, "nor is a grantee's organization"
    assert "Configured" not in of, "the request is in the environment"
    everywhere = {
        sid
        for sid, statement in of.items()
        if statement["Resource"] == "*" and statement["Effect"] == "Allow"
    }
    assert everywhere == {"Find", "Organization"}, "AWS allows nothing narrower for these"
    assert_settings(fabric, outputs)
    assert fabric.delete("everything") == "DELETE_COMPLETE"
    [kept] = [
        bucket
        for bucket in fabric.s3.list_buckets()["Buckets"]
        if bucket["Name"] == outputs["BucketName"]
    ]
    assert kept, "the ledger outlives the stack"


# ----------------------------------------------------------------------------------------- how long

#: Characters, without white space. Source: IAM user guide, IAM and AWS STS quotas.
INLINE, MANAGED, ATTACHED, TRUST = 10_240, 6_144, 10, 2_048
#: Bytes, of all variables. Source: Lambda developer guide, quotas.
ENVIRONMENT = 4_096
PARAMETER = 4_096  # Source: CloudFormation user guide, quotas.


def keys(account, region="us-gov-west-1", length=PARAMETER):
    """As many keys as a parameter holds."""
    one = f"arn:aws-us-gov:kms:{region}:{account}:key/mrk-{'0' * 32}"
    return ",".join([one] * (length // (len(one) + 1)))


def many(one, length=1000):
    """As many of these, comma-joined, as a parameter of this length holds."""
    return ",".join([one] * (length // (len(one) + 1)))


def length(policy):
    return len("".join(json.dumps(policy).split()))


def fits(fabric, role_name, account=world.SOURCE, more=0):
    inline, managed = fabric.policies(role_name, account)
    sizes = [length(policy) for policy in managed]
    print(f"{role_name}: inline {sum(map(length, inline)) + more:,}, managed {sorted(sizes)}")
    assert sum(map(length, inline)) + more <= INLINE
    assert max(sizes) <= MANAGED
    assert len(managed) <= ATTACHED
    assert length(json.loads(fabric.role(role_name, account).trust)) <= TRUST


def test_the_functions_policies_fit_with_as_many_keys_and_accounts_as_parameters_hold(fabric):
    limit = template.read(template.STACK)["Parameters"]["AllowedAccountIds"]["MaxLength"]
    accounts = [str(600_000_000_000 + n) for n in range((limit + 1) // 13)]
    parameters = {
        "Architecture": "x86_64",
        "OrchestratorRoleName": "longest",
        "TargetRoleName": "R" * 64,
        "SourceKeyArns": keys(world.SOURCE),
        "ReencryptKmsKeyArns": keys(world.SOURCE, length=PARAMETER // 2),
        "StagingKmsKeyArns": keys(world.SOURCE, length=PARAMETER // 4),
        "AllowedAccountIds": ",".join(accounts),
        "AllowShare": "true",
        "KeyPolicyAccess": "true",
        "RequestParameter": "/" + "p" * 200,
        "CreateKmsKey": "true",
        "KmsKeyAlias": "longest",
    }
    assert fabric.create("longest", fabric.plain, **parameters) == "CREATE_COMPLETE", (
        fabric.reasons("longest")
    )
    # Another partition's name is longer, once for each account.
    fits(fabric, "longest", more=len(accounts) * len("-us-gov"))
    own = template.read(template.STACK)["Resources"]["Function"]["Properties"]["Environment"][
        "Variables"
    ]
    given = {
        name: value
        for name, value in variables(fabric, "longest").items()
        if name in own and name not in SETTINGS
    }
    assert sum(len(name) + len(value) for name, value in given.items()) <= ENVIRONMENT
    assert fabric.delete("longest") == "DELETE_COMPLETE"


def test_the_copy_roles_policies_fit_with_as_many_keys_as_parameters_hold(fabric):
    account = next(iter(world.TARGETS))
    services = [f"autoscaling.amazonaws.com_{n}" for n in range(20)]
    parameters = {
        "SourceAccountId": world.SOURCE,
        "OrchestratorRoleName": "R" * 64,
        "ExternalId": "e" * 1_224,
        "RoleName": "Longest",
        "SourceKeyArns": keys(world.SOURCE),
        "TargetKeyArns": keys(account),
        "CreateKmsKey": "true",
        "KmsKeyAlias": "longest",
        "ServiceLinkedRoles": ",".join(services),
        "CreateServiceLinkedRoles": "true",
        "PublishImages": "true",
        "PublishParameterArns": many(f"arn:aws-us-gov:ssm:*:{account}:parameter/golden/*"),
        "PublishLaunchTemplateArns": many(f"arn:aws-us-gov:ec2:*:{account}:launch-template/*"),
        "PublishToAccountIds": many("333333333333", length=PARAMETER // 2),
        "FastSnapshotRestore": "true",
        "LaunchTests": "true",
        "LaunchTestGroups": "true",
        "LaunchTestRoleArn": f"arn:aws-us-gov:iam::{account}:role/{'R' * 64}",
        "Retention": "true",
        "Preflight": "true",
    }
    assert (
        fabric.create("longest", template.read(template.TARGET_ROLE), account, **parameters)
        == "CREATE_COMPLETE"
    )
    fits(fabric, "Longest", account)
    assert fabric.delete("longest", account) == "DELETE_COMPLETE"
