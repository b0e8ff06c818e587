"""The sandbox as a child process, and what it tells about itself beside the AWS APIs."""

from __future__ import annotations

import contextlib
import json
import pathlib
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from . import processes


class Sandbox:
    def __init__(self, url: str) -> None:
        self.url = url

    def ledger(self) -> list[dict[str, Any]]:
        """Every call the sandbox has received, in order."""
        return self._get("ledger")

    def invocations(self) -> list[dict[str, Any]]:
        """Asynchronous Lambda invocations the function has asked for."""
        return self._get("invocations")

    def answers(self) -> list[dict[str, Any]]:
        """What was PUT to a custom resource's ResponseURL."""
        return self._get("answers")

    def answer_url(self, name: str) -> str:
        return f"{self.url}/_sandbox/answers/{name}"

    def healthy(self) -> bool:
        try:
            self._get("health")
        except (urllib.error.URLError, OSError, ValueError):
            return False
        return True

    def _get(self, what: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/_sandbox/{what}", timeout=5) as response:
            return json.load(response)


@contextlib.contextmanager
def running(binary: pathlib.Path, world: pathlib.Path, speed: float | None, log: pathlib.Path) -> Iterator[Sandbox]:
    port = processes.free_port()
    command = [binary, "serve", "--world", world, "--port", str(port)]
    if speed is not None:
        command += ["--speed", str(speed)]
    with processes.running(command, log, processes.clean_environment()) as process:
        sandbox = Sandbox(f"http://127.0.0.1:{port}")
        give_up = time.monotonic() + 10
        while not sandbox.healthy():
            if process.poll() is not None or time.monotonic() > give_up:
                raise processes.Ended(f"the sandbox did not start:\n{processes.tail(log)}")
            time.sleep(0.02)
        yield sandbox
