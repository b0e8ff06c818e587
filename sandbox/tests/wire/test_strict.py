"""The strict check refuses answers that botocore would accept."""

import json

import pytest

import strict
from clients import SESSION

EC2 = "http://ec2.amazonaws.com/doc/2016-11-15/"


def answer(service, operation, body, status=200, headers=()):
    model = SESSION.client(
        service, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    ).meta
    response = {
        "body": body,
        "status_code": status,
        "headers": {"content-type": "application/x-amz-json-1.1"},
    }
    response["headers"] |= {"x-amzn-requestid": "1"} | dict(headers)
    strict.check(model.service_model.operation_model(operation), response)


def snapshots(inner, namespace=EC2):
    return (
        f'<DescribeSnapshotsResponse xmlns="{namespace}"><requestId>1</requestId>'
        f"<snapshotSet>{inner}</snapshotSet></DescribeSnapshotsResponse>"
    )


GOOD = (
    "<item><snapshotId>snap-1</snapshotId><encrypted>true</encrypted>"
    "<volumeSize>8</volumeSize></item>"
)


def test_a_faithful_answer_passes():
    answer("ec2", "DescribeSnapshots", snapshots(GOOD))
    answer("ec2", "DescribeSnapshots", snapshots(""))
    answer("kms", "CreateGrant", json.dumps({"GrantId": "1", "GrantToken": "2"}))
    answer("kms", "RevokeGrant", "")


@pytest.mark.parametrize(
    ("service", "operation", "body"),
    [
        ("ec2", "DescribeSnapshots", snapshots(GOOD.replace("snapshotId", "SnapshotId"))),
        ("ec2", "DescribeSnapshots", snapshots(GOOD.replace("item", "member"))),
        ("ec2", "DescribeSnapshots", snapshots(GOOD.replace("true", "True"))),
        ("ec2", "DescribeSnapshots", snapshots(GOOD.replace(">8<", ">eight<"))),
        ("ec2", "DescribeSnapshots", snapshots("<item><startTime>today</startTime></item>")),
        ("ec2", "DescribeSnapshots", snapshots("<item><status>finished</status></item>")),
        (
            "ec2",
            "DescribeSnapshots",
            snapshots("<item><status>pending</status><status>error</status></item>"),
        ),
        ("ec2", "DescribeSnapshots", snapshots(GOOD, namespace="http://example.com/")),
        ("ec2", "DescribeSnapshots", snapshots(GOOD).replace("requestId", "requestID")),
        ("kms", "CreateGrant", json.dumps({"GrantID": "1"})),
        ("kms", "CreateGrant", json.dumps({"GrantId": 1})),
        ("kms", "RevokeGrant", "null"),
    ],
)
def test_an_answer_outside_the_model_is_refused(service, operation, body):
    with pytest.raises((AssertionError, ValueError)):
        answer(service, operation, body)
