"""The compiled function under AWS's Lambda Runtime Interface Emulator."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import psutil

from . import processes
from .world import Identity

LONGEST_TIMEOUT_SECONDS = 900


@dataclasses.dataclass
class Call:
    """One synchronous invocation, under way or ended."""

    payload: dict[str, Any]
    reply: Any = None
    ended: threading.Event = dataclasses.field(default_factory=threading.Event)

    @property
    def error(self) -> str | None:
        if isinstance(self.reply, dict) and "errorType" in self.reply:
            return f"{self.reply['errorType']}: {self.reply.get('errorMessage', '')}"
        return None

    @property
    def crashed(self) -> bool:
        """Whether the process ended, instead of answering with an error of its own."""
        return self.error is not None and str(self.reply["errorType"]).startswith("Runtime.")


class Function:
    def __init__(self, url: str, process: psutil.Popen, binary: pathlib.Path) -> None:
        self._url = url
        self._process = process
        self._binary = binary

    def invoke(self, payload: dict[str, Any]) -> Call:
        """Starts an invocation and returns at once."""
        call = Call(payload)
        threading.Thread(target=self._post, args=(call,), daemon=True).start()
        return call

    def pid(self) -> int | None:
        """Returns the process that runs `bootstrap` now."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in self._process.children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    if (
                        pathlib.Path(child.exe()).name == self._binary.name
                        and child.status() != psutil.STATUS_ZOMBIE
                    ):
                        return child.pid
        return None

    def peak_memory(self) -> int | None:
        """Returns the peak memory of the running process in bytes, as Linux counts it."""
        try:
            status = pathlib.Path(f"/proc/{self.pid()}/status").read_text()
        except OSError:
            return None
        return next(
            (
                int(line.split()[1]) * 1024
                for line in status.splitlines()
                if line.startswith("VmHWM:")
            ),
            None,
        )

    def signal(self, number: signal.Signals) -> int | None:
        """Sends a signal to the process that runs `bootstrap` now."""
        pid = self.pid()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return pid

    def _post(self, call: Call) -> None:
        request = urllib.request.Request(
            self._url, data=json.dumps(call.payload).encode(), method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=LONGEST_TIMEOUT_SECONDS + 10) as response:
                body = response.read()
        except urllib.error.HTTPError as error:
            body = error.read()
        except OSError as error:
            body = json.dumps(
                {"errorType": "Runtime.NoAnswer", "errorMessage": str(error)}
            ).encode()
        try:
            call.reply = json.loads(body)
        except ValueError:
            call.reply = {
                "errorType": "Runtime.NoJson",
                "errorMessage": body.decode(errors="replace"),
            }
        call.ended.set()


@contextlib.contextmanager
def running(
    emulator: pathlib.Path,
    binary: pathlib.Path,
    endpoint: str,
    region: str,
    identity: Identity,
    timeout_seconds: int,
    log: pathlib.Path,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Function]:
    """Runs the function, with `settings` as further variables of its environment."""
    invoke_at, runtime_at = (f"127.0.0.1:{processes.free_port()}" for _ in range(2))
    environment = processes.clean_environment() | {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ENDPOINT_URL_EC2": endpoint,
        "AWS_ENDPOINT_URL_KMS": endpoint,
        "AWS_ENDPOINT_URL_STS": endpoint,
        "AWS_ENDPOINT_URL_LAMBDA": endpoint,
        "AWS_REGION": region,
        "AWS_ACCESS_KEY_ID": identity.access_key_id,
        "AWS_SECRET_ACCESS_KEY": identity.secret_access_key,
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_LAMBDA_FUNCTION_NAME": "amiferry",
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout_seconds),
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_LOG_LEVEL": "info",
        "AMIFERRY_BUCKET": "amiferry-bucket",
        "AMIFERRY_RESPONSE_HOSTS": "127.0.0.1",
        **settings,
    }
    # Without these two addresses the emulator listens on every interface.
    command = [
        emulator,
        "--runtime-interface-emulator-address",
        invoke_at,
        "--runtime-api-address",
        runtime_at,
        binary,
    ]
    with processes.running(command, log, environment) as process:
        host, port = invoke_at.split(":")
        give_up = time.monotonic() + 10
        while not processes.listening(host, int(port)):
            if process.poll() is not None or time.monotonic() > give_up:
                raise processes.Ended(f"the Lambda emulator did not start:\n{processes.tail(log)}")
            time.sleep(0.02)
        yield Function(
            f"http://{invoke_at}/2015-03-31/functions/function/invocations", process, binary
        )
