"""KMS: keys, key policies and grants."""

import datetime
import json

import pytest

from clients import refused
from names import AWAY, CONSUMER, COPY_ROLE, DISABLED_KEY, GOLDEN_ROOT, HOME, PRODUCER, SOURCE_KEY

DEFAULT_POLICY = {
    "Effect": "Allow",
    "Principal": {"AWS": f"arn:aws:iam::{PRODUCER}:root"},
    "Action": "kms:*",
    "Resource": "*",
}


@pytest.fixture
def keys(sandbox):
    return sandbox.producer.kms(HOME)


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def test_a_key_is_described_by_every_name(keys, sandbox):
    key_id = SOURCE_KEY.rpartition("/")[2]
    alias_arn = SOURCE_KEY.rpartition(":")[0] + ":alias/shared-ami-key"
    for name in (SOURCE_KEY, key_id, "alias/shared-ami-key", alias_arn):
        key = keys.describe_key(KeyId=name)["KeyMetadata"]
        assert (key["Arn"], key["KeyId"], key["AWSAccountId"]) == (SOURCE_KEY, key_id, PRODUCER)
        assert (key["KeyManager"], key["KeyState"], key["Enabled"]) == ("CUSTOMER", "Enabled", True)
        assert key["KeySpec"] == "SYMMETRIC_DEFAULT" and isinstance(
            key["CreationDate"], datetime.datetime
        )
    managed = keys.describe_key(KeyId="alias/aws/ebs")["KeyMetadata"]
    assert managed["KeyManager"] == "AWS"
    described = sandbox.producer.cli(
        HOME, "kms", "describe-key", "--key-id", "alias/shared-ami-key"
    )
    assert described["KeyMetadata"]["Arn"] == SOURCE_KEY
    disabled = sandbox.consumer.kms(AWAY).describe_key(KeyId=DISABLED_KEY)["KeyMetadata"]
    assert (disabled["KeyState"], disabled["Enabled"]) == ("Disabled", False)


def test_aliases_are_listed(keys, sandbox):
    aliases = {
        entry["AliasName"]: entry.get("TargetKeyId") for entry in keys.list_aliases()["Aliases"]
    }
    assert aliases["alias/shared-ami-key"] == SOURCE_KEY.rpartition("/")[2]
    [only] = sandbox.producer.cli(HOME, "kms", "list-aliases", "--key-id", SOURCE_KEY)["Aliases"]
    assert only["AliasName"] == "alias/shared-ami-key"


def test_a_missing_or_foreign_key_is_refused(keys, sandbox):
    with refused("NotFoundException"):
        keys.describe_key(KeyId="11111111-1111-4111-8111-0000000000ff")
    with refused("NotFoundException", "alias/nobody"):
        keys.describe_key(KeyId="alias/nobody")
    with refused("AccessDeniedException", "kms:DescribeKey", "user/outsider"):
        sandbox.outsider.kms(HOME).describe_key(KeyId=SOURCE_KEY)
    with refused("AccessDeniedException"):
        sandbox.outsider.cli(HOME, "kms", "describe-key", "--key-id", SOURCE_KEY)
    assert keys.exceptions.NotFoundException.__name__ == "NotFoundException"
    with pytest.raises(keys.exceptions.NotFoundException):
        keys.describe_key(KeyId="alias/nobody")


def test_a_key_policy_is_read_merged_and_replaced(keys, sandbox):
    before = keys.get_key_policy(KeyId=SOURCE_KEY)
    assert before["PolicyName"] == "default"
    assert json.loads(before["Policy"])["Statement"]
    use = {
        "Sid": "AllowCopy",
        "Effect": "Allow",
        "Principal": {"AWS": COPY_ROLE},
        "Action": ["kms:DescribeKey", "kms:CreateGrant"],
        "Resource": "*",
    }
    keys.put_key_policy(KeyId=SOURCE_KEY, PolicyName="default", Policy=policy(DEFAULT_POLICY, use))
    role = sandbox.producer.assume(COPY_ROLE, ExternalId="wire").kms(HOME)
    assert role.describe_key(KeyId=SOURCE_KEY)["KeyMetadata"]["Arn"] == SOURCE_KEY
    stored = json.loads(keys.get_key_policy(KeyId=SOURCE_KEY, PolicyName="default")["Policy"])
    assert use in stored["Statement"]
    sandbox.producer.cli(
        HOME,
        "kms",
        "put-key-policy",
        "--key-id",
        SOURCE_KEY,
        "--policy-name",
        "default",
        "--policy",
        policy(DEFAULT_POLICY),
    )
    with refused("AccessDeniedException"):
        role.describe_key(KeyId=SOURCE_KEY)


def test_an_invalid_key_policy_is_refused(keys, sandbox):
    def put(document, code="MalformedPolicyDocumentException", *parts):
        with refused(code, *parts):
            keys.put_key_policy(KeyId=SOURCE_KEY, PolicyName="default", Policy=document)

    put("no JSON")
    put(policy({"Effect": "Allow", "Principal": "*", "Action": "kms:*"}))
    put(policy(DEFAULT_POLICY | {"Condition": {"StringEqual": {"aws:x": "y"}}}))
    put(
        policy(
            DEFAULT_POLICY,
            DEFAULT_POLICY | {"Principal": {"AWS": f"arn:aws:iam::{CONSUMER}:role/Nobody"}},
        )
    )
    put(
        policy(DEFAULT_POLICY | {"Principal": {"AWS": COPY_ROLE}}),
        "MalformedPolicyDocumentException",
        "future",
    )
    with refused("AccessDeniedException"):
        sandbox.outsider.kms(HOME).put_key_policy(
            KeyId=SOURCE_KEY, PolicyName="default", Policy=policy(DEFAULT_POLICY)
        )


def test_an_organization_reaches_a_key_by_condition(keys, sandbox):
    everyone = {
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": "kms:DescribeKey",
        "Resource": "*",
        "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-wiretests0"}},
    }
    keys.put_key_policy(
        KeyId=SOURCE_KEY, PolicyName="default", Policy=policy(DEFAULT_POLICY, everyone)
    )
    assert sandbox.consumer.kms(HOME).describe_key(KeyId=SOURCE_KEY)
    with refused("AccessDeniedException"):
        sandbox.outsider.kms(HOME).describe_key(KeyId=SOURCE_KEY)


def test_a_foreign_role_uses_a_grant_until_it_is_revoked(keys, sandbox):
    role = sandbox.producer.assume(COPY_ROLE, ExternalId="wire").kms(HOME)
    with refused("AccessDeniedException"):
        role.describe_key(KeyId=SOURCE_KEY)
    wanted = {
        "KeyId": SOURCE_KEY,
        "GranteePrincipal": COPY_ROLE,
        "Operations": ["DescribeKey"],
        "Name": "once",
    }
    first = keys.create_grant(**wanted)
    assert keys.create_grant(**wanted)["GrantId"] == first["GrantId"], (
        "the same name and words make the same grant"
    )
    other = keys.create_grant(**wanted | {"Operations": ["DescribeKey", "Decrypt"]})
    assert other["GrantId"] != first["GrantId"]
    assert role.describe_key(KeyId=SOURCE_KEY)
    found = keys.list_grants(KeyId=SOURCE_KEY, GrantId=first["GrantId"])["Grants"]
    assert [(entry["KeyId"], entry["GranteePrincipal"]) for entry in found] == [
        (SOURCE_KEY, COPY_ROLE)
    ]
    assert found[0]["IssuingAccount"] == f"arn:aws:iam::{PRODUCER}:root"
    for grant in (first, other):
        keys.revoke_grant(KeyId=SOURCE_KEY, GrantId=grant["GrantId"])
    with refused("AccessDeniedException"):
        role.describe_key(KeyId=SOURCE_KEY)
    with refused("NotFoundException"):
        keys.revoke_grant(KeyId=SOURCE_KEY, GrantId=first["GrantId"])


def test_a_grant_is_retired_by_its_retiring_principal(keys, sandbox):
    grant = keys.create_grant(
        KeyId=SOURCE_KEY,
        GranteePrincipal=COPY_ROLE,
        RetiringPrincipal=f"arn:aws:iam::{CONSUMER}:user/consumer",
        Operations=["Decrypt"],
        Constraints={"EncryptionContextSubset": {"aws:ebs:id": GOLDEN_ROOT}},
    )
    [listed] = keys.list_grants(KeyId=SOURCE_KEY)["Grants"]
    assert listed["Constraints"] == {"EncryptionContextSubset": {"aws:ebs:id": GOLDEN_ROOT}}
    with refused("AccessDeniedException"):
        sandbox.outsider.kms(HOME).retire_grant(KeyId=SOURCE_KEY, GrantId=grant["GrantId"])
    sandbox.consumer.kms(HOME).retire_grant(KeyId=SOURCE_KEY, GrantId=grant["GrantId"])
    assert keys.list_grants(KeyId=SOURCE_KEY)["Grants"] == []


def test_an_invalid_grant_is_refused(keys, sandbox):
    wanted = {"KeyId": SOURCE_KEY, "GranteePrincipal": COPY_ROLE, "Operations": ["Decrypt"]}
    with refused("InvalidArnException"):
        keys.create_grant(**wanted | {"GranteePrincipal": f"arn:aws:iam::{CONSUMER}:role/Nobody"})
    with refused("ValidationException", "ReEncrypt*"):
        keys.create_grant(**wanted | {"Operations": ["ReEncrypt*"]})
    with refused("DryRunOperationException"):
        keys.create_grant(**wanted, DryRun=True)
    assert keys.list_grants(KeyId=SOURCE_KEY)["Grants"] == []
    with refused("DisabledException"):
        sandbox.consumer.kms(AWAY).create_grant(**wanted | {"KeyId": DISABLED_KEY})
    with refused("AccessDeniedException"):
        sandbox.outsider.kms(HOME).create_grant(**wanted)


def test_grants_are_listed_page_by_page(keys, sandbox):
    made = set()
    for n in range(7):
        grant = keys.create_grant(
            KeyId=SOURCE_KEY, GranteePrincipal=COPY_ROLE, Operations=["Decrypt"], Name=f"grant-{n}"
        )
        made.add(grant["GrantId"])
    pages = list(
        keys.get_paginator("list_grants").paginate(
            KeyId=SOURCE_KEY, PaginationConfig={"PageSize": 3}
        )
    )
    assert len(pages) == 3 and pages[0]["Truncated"] and not pages[-1]["Truncated"]
    assert {grant["GrantId"] for page in pages for grant in page["Grants"]} == made
    listed = sandbox.producer.cli(
        HOME,
        "kms",
        "list-grants",
        "--key-id",
        SOURCE_KEY,
        "--page-size",
        "2",
        "--query",
        "Grants[].GrantId",
    )
    assert set(listed) == made
