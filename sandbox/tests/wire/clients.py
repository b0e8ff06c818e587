"""The sandbox as a process, and unmodified clients as the principals that talk to it."""

import json
import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

import strict
from names import CONSUMER, GOLDEN_ROOT, HOME, TARGET_KEY

#: The session of all clients: it caches the service models, and checks every answer strictly.
SESSION = boto3.Session()
SESSION.events.register("before-parse", strict.check)

ONCE = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30)


class CliError(Exception):
    """The error that the AWS CLI printed."""

    def __init__(self, stderr):
        super().__init__(stderr)
        found = re.search(
            r"An error occurred \((\S+)\) when calling the (\S+) operation: (.*)", stderr, re.DOTALL
        )
        self.code, self.operation, self.message = found.groups() if found else (None, None, stderr)
        if self.message:
            self.message = self.message.strip()


@dataclass(frozen=True)
class Caller:
    """A principal's credentials, used through boto3 (`ec2`, `kms`, …) and the AWS CLI (`cli`)."""

    url: str
    access_key: str
    secret_key: str
    token: str | None = None
    _clients: dict = field(default_factory=dict, compare=False, repr=False)

    def client(self, service, region):
        if (service, region) not in self._clients:
            self._clients[service, region] = SESSION.client(
                service,
                region_name=region,
                endpoint_url=self.url,
                aws_access_key_id=self.access_key,
                aws_secret_access_key=self.secret_key,
                aws_session_token=self.token,
                config=ONCE,
            )
        return self._clients[service, region]

    def ec2(self, region):
        return self.client("ec2", region)

    def kms(self, region):
        return self.client("kms", region)

    @cached_property
    def organizations(self):
        return self.client("organizations", "us-east-1")

    @cached_property
    def iam(self):
        return self.client("iam", "us-east-1")

    @cached_property
    def sts(self):
        return self.client("sts", "us-east-1")

    def assume(self, role_arn, session_name="wire", **parameters):
        answer = self.sts.assume_role(RoleArn=role_arn, RoleSessionName=session_name, **parameters)
        return self.with_credentials(answer["Credentials"])

    def with_credentials(self, credentials):
        return Caller(
            self.url,
            credentials["AccessKeyId"],
            credentials["SecretAccessKey"],
            credentials["SessionToken"],
        )

    def cli(self, region, *arguments):
        """Runs `aws …` and returns its output as JSON."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.devnull,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": region,
            "AWS_DEFAULT_OUTPUT": "json",
            "AWS_MAX_ATTEMPTS": "1",
        }
        if self.token:
            environment["AWS_SESSION_TOKEN"] = self.token
        command = [sys.executable, "-m", "awscli", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise CliError(done.stderr)
        return json.loads(done.stdout) if done.stdout.strip() else None


@contextmanager
def refused(code, *parts):
    """Asserts that the last call is refused with this code and these parts of the message."""
    with pytest.raises((ClientError, CliError)) as info:
        yield info
    if isinstance(info.value, CliError):
        found, message = info.value.code, info.value.message
    else:
        found, message = (
            info.value.response["Error"]["Code"],
            info.value.response["Error"]["Message"],
        )
        assert info.value.response["ResponseMetadata"]["HTTPStatusCode"] >= 400
    assert found == code, info.value
    for part in parts:
        assert part in message, info.value


def poll(read, done, seconds=20):
    """Calls `read` until `done` accepts the answer; returns all answers."""
    answers = []
    deadline = time.monotonic() + seconds
    while True:
        answers.append(read())
        if done(answers[-1]):
            return answers
        assert time.monotonic() < deadline, f"still waiting after {seconds} s: {answers[-1]}"
        time.sleep(0.05)


def snapshot(ec2, snapshot_id):
    [found] = ec2.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"]
    return found


def settled(ec2, snapshot_id):
    """Returns the snapshot once it is no longer pending."""
    return poll(lambda: snapshot(ec2, snapshot_id), lambda found: found["State"] != "pending")[-1]


def share(producer, snapshot_id, operation="add"):
    producer.ec2(HOME).modify_snapshot_attribute(
        SnapshotId=snapshot_id,
        Attribute="createVolumePermission",
        OperationType=operation,
        UserIds=[CONSUMER],
    )


def copy(ec2, source=GOLDEN_ROOT, key=TARGET_KEY, **more):
    answer = ec2.copy_snapshot(
        SourceRegion=HOME, SourceSnapshotId=source, Encrypted=True, KmsKeyId=key, **more
    )
    return answer["SnapshotId"]


def failed(ec2, snapshot_id):
    """Returns the message of a copy that was accepted and ended in `error`."""
    found = settled(ec2, snapshot_id)
    assert found["State"] == "error"
    return found["StateMessage"]
