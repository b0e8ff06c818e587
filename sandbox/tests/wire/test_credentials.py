"""Credentials: signatures, sessions and AssumeRole."""

import json
import time

import botocore
import pytest
from botocore.config import Config

from clients import SESSION, refused
from names import CONSUMER, COPY_ROLE, DISTRIBUTOR, HOME, LONG_ROLE, PRODUCER, SOURCE_KEY

EVERYTHING = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"},
}


def asks(caller):
    """Returns a call of each service, with the code that refuses unknown credentials."""
    return [
        lambda: caller.ec2(HOME).describe_regions(),
        lambda: caller.kms(HOME).describe_key(KeyId=SOURCE_KEY),
        lambda: caller.sts.get_caller_identity(),
        lambda: caller.cli(HOME, "ec2", "describe-regions"),
    ]


def all_refused(caller, codes):
    for ask, code in zip(asks(caller), codes, strict=True):
        with refused(code):
            ask()


def test_an_unknown_access_key_is_refused(sandbox):
    caller = sandbox.caller("AKIANOBODY0000000001", "whatever")
    all_refused(
        caller,
        ["AuthFailure", "UnrecognizedClientException", "InvalidClientTokenId", "AuthFailure"],
    )


def test_a_wrong_secret_is_refused(sandbox):
    caller = sandbox.caller("AKIAPRODUCER00000001", "guessed")
    all_refused(
        caller, ["AuthFailure", "InvalidSignatureException", "SignatureDoesNotMatch", "AuthFailure"]
    )


def test_a_session_with_no_or_another_token_is_refused(sandbox):
    session = sandbox.producer.assume(DISTRIBUTOR)
    for token in (None, "forged"):
        caller = sandbox.caller(session.access_key, session.secret_key, token)
        all_refused(
            caller,
            ["AuthFailure", "UnrecognizedClientException", "InvalidClientTokenId", "AuthFailure"],
        )


def test_an_expired_session_is_refused(sandbox):
    expired = sandbox.caller("ASIAPRODUCER00000001", "expired-secret", "expired-token")
    all_refused(
        expired, ["RequestExpired", "ExpiredTokenException", "ExpiredToken", "RequestExpired"]
    )


def test_an_unsigned_request_is_refused(sandbox):
    unsigned = Config(signature_version=botocore.UNSIGNED, retries={"total_max_attempts": 1})
    sts = SESSION.client("sts", region_name=HOME, endpoint_url=sandbox.url, config=unsigned)
    with refused("MissingAuthenticationToken"):
        sts.get_caller_identity()


def test_a_caller_reads_its_own_identity(sandbox):
    assert (
        sandbox.producer.sts.get_caller_identity()["Arn"]
        == f"arn:aws:iam::{PRODUCER}:user/producer"
    )
    session = sandbox.producer.assume(DISTRIBUTOR, session_name="run-1")
    identity = session.cli(HOME, "sts", "get-caller-identity")
    assert identity["Arn"] == f"arn:aws:sts::{PRODUCER}:assumed-role/Distributor/run-1"
    assert identity["UserId"].endswith(":run-1")


def test_an_assumed_role_returns_all_members(sandbox):
    answer = sandbox.producer.sts.assume_role(
        RoleArn=COPY_ROLE, RoleSessionName="run-1", ExternalId="wire", Policy=json.dumps(EVERYTHING)
    )
    credentials, user = answer["Credentials"], answer["AssumedRoleUser"]
    assert credentials["AccessKeyId"].startswith("ASIA")
    assert 3500 < credentials["Expiration"].timestamp() - time.time() <= 3600
    assert user["Arn"] == f"arn:aws:sts::{CONSUMER}:assumed-role/AmiCopyRole/run-1"
    assert user["AssumedRoleId"].startswith("AROA") and user["AssumedRoleId"].endswith(":run-1")


def test_a_role_is_assumed_only_by_a_trusted_and_allowed_caller(sandbox):
    denied = ("AccessDenied", "sts:AssumeRole", COPY_ROLE)
    for external_id in ({}, {"ExternalId": "wrong"}):
        with refused(*denied):
            sandbox.producer.assume(COPY_ROLE, **external_id)
    with refused(*denied):
        sandbox.outsider.assume(COPY_ROLE, ExternalId="wire")
    with refused(*denied):
        sandbox.outsider.cli(
            HOME,
            "sts",
            "assume-role",
            "--role-arn",
            COPY_ROLE,
            "--role-session-name",
            "xy",
            "--external-id",
            "wire",
        )
    with refused("AccessDenied"):
        sandbox.producer.assume(f"arn:aws:iam::{CONSUMER}:role/Nobody")
    with refused("AccessDenied"):
        # The role is trusted, but its own policies do not allow the call.
        sandbox.reader.assume(LONG_ROLE)


def test_a_chained_session_lasts_an_hour_at_most(sandbox):
    chained = sandbox.producer.assume(DISTRIBUTOR, DurationSeconds=7200)
    assert (
        chained.assume(LONG_ROLE, DurationSeconds=3600).sts.get_caller_identity()["Account"]
        == CONSUMER
    )
    with refused("ValidationError", "1 hour", "role chaining"):
        chained.assume(LONG_ROLE, DurationSeconds=3601)
    with refused("ValidationError", "role chaining"):
        chained.cli(
            HOME,
            "sts",
            "assume-role",
            "--role-arn",
            LONG_ROLE,
            "--role-session-name",
            "xy",
            "--duration-seconds",
            "7200",
        )


def test_a_session_lasts_no_longer_than_the_role_allows(sandbox):
    sandbox.producer.assume(DISTRIBUTOR, DurationSeconds=43200)
    with refused("ValidationError", "MaxSessionDuration"):
        sandbox.producer.assume(COPY_ROLE, ExternalId="wire", DurationSeconds=3601)


@pytest.mark.parametrize(
    "parameters",
    [
        {"RoleSessionName": "with space"},
        {"RoleSessionName": "x" * 65},
        {"DurationSeconds": 43201},
        {"ExternalId": "x" * 1225},
    ],
    ids=["session name", "long session name", "duration", "external ID"],
)
def test_a_malformed_parameter_of_assume_role_is_refused(sandbox, parameters):
    with refused("ValidationError"):
        sandbox.producer.sts.assume_role(
            **{"RoleArn": COPY_ROLE, "RoleSessionName": "wire"} | parameters
        )


def test_a_long_or_malformed_session_policy_is_refused(sandbox):
    fits = json.dumps(EVERYTHING)
    sandbox.producer.assume(COPY_ROLE, ExternalId="wire", Policy=fits + " " * (1100 - len(fits)))
    with refused("PackedPolicyTooLarge", "110%"):
        sandbox.producer.assume(
            COPY_ROLE, ExternalId="wire", Policy=fits + " " * (1210 - len(fits))
        )
    with refused("ValidationError", "2048"):
        sandbox.producer.assume(
            COPY_ROLE, ExternalId="wire", Policy=fits + " " * (2049 - len(fits))
        )
    for bad in ("{}", '{"Statement":{"Effect":"Allow","Action":"*"}}', "{"):
        with refused("MalformedPolicyDocument"):
            sandbox.producer.assume(COPY_ROLE, ExternalId="wire", Policy=bad)
