import json
import os
import queue
import re
import subprocess
import threading
import urllib.request
from pathlib import Path

import pytest

from clients import Caller, share
from names import CONSUMER, COPY_OPERATIONS, DISTRIBUTOR, GOLDEN_ROOT, HOME, SOURCE_KEY

HERE = Path(__file__).parent
WORLD = HERE / "world.toml"
DEMO_WORLD = HERE.parent.parent / "worlds" / "demo.toml"


class Sandbox:
    """`amiferry-sandbox serve` on a free port of 127.0.0.1, until closed."""

    def __init__(self, world):
        binary = os.environ.get("AMIFERRY_SANDBOX_BIN")
        assert binary, (
            "AMIFERRY_SANDBOX_BIN must name the amiferry-sandbox binary; `make test` sets it"
        )
        command = [binary, "serve", "--world", str(world), "--port", "0"]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.output = []
        found = queue.Queue()
        threading.Thread(target=self._read, args=(found,), daemon=True).start()
        self.url = found.get(timeout=20)
        assert self.url, f"the sandbox did not start: {''.join(self.output)}"

    def _read(self, found):
        announced = False
        for line in self.process.stdout:
            self.output.append(line)
            url = re.search(r"http://127\.0\.0\.1:\d+", line)
            if url and not announced:
                announced = True
                found.put(url.group())
        if not announced:
            found.put(None)

    def caller(self, access_key, secret_key, token=None):
        return Caller(self.url, access_key, secret_key, token)

    @property
    def producer(self):
        return self.caller("AKIAPRODUCER00000001", "producer-secret")

    @property
    def distributor(self):
        """A role of the producer's account, without any permission for S3."""
        return self.producer.assume(DISTRIBUTOR)

    @property
    def consumer(self):
        return self.caller("AKIACONSUMER00000001", "consumer-secret")

    @property
    def outsider(self):
        return self.caller("AKIAOUTSIDER00000001", "outsider-secret")

    @property
    def reader(self):
        """A user of the outsider's account that may only describe."""
        return self.caller("AKIAOUTSIDER00000002", "reader-secret")

    @property
    def management(self):
        """The management account of the organization."""
        return self.caller("AKIAMANAGEMENT000001", "management-secret")

    def as_service(self, role_arn):
        """Acts as a service-linked role, as its service does."""
        body = json.dumps({"RoleArn": role_arn}).encode()
        with urllib.request.urlopen(
            f"{self.url}/_sandbox/service-sessions", body, timeout=5
        ) as answer:
            issued = json.load(answer)
        return self.caller(issued["AccessKeyId"], issued["SecretAccessKey"], issued["SessionToken"])

    def close(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def start():
    """Starts a sandbox on a world file; closes it after the test."""
    running = []

    def start_on(world):
        running.append(Sandbox(world))
        return running[-1]

    yield start_on
    for sandbox in running:
        sandbox.close()


@pytest.fixture
def sandbox(start):
    return start(WORLD)


@pytest.fixture
def shared(sandbox):
    """Returns the sandbox after the producer shared golden's root and its key with the consumer."""
    share(sandbox.producer, GOLDEN_ROOT)
    sandbox.producer.kms(HOME).create_grant(
        KeyId=SOURCE_KEY,
        GranteePrincipal=f"arn:aws:iam::{CONSUMER}:root",
        Operations=COPY_OPERATIONS,
    )
    return sandbox
