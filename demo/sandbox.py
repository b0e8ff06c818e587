"""The sandbox as a child process, and its own paths beside the AWS APIs."""

from __future__ import annotations

import contextlib
import json
import pathlib
import re
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

from . import processes


class Sandbox:
    def __init__(self, url: str) -> None:
        self.url = url

    def ledger(self) -> list[dict[str, Any]]:
        """Returns every call that the sandbox has received, in order."""
        return self._get("ledger")

    def take_invocations(self) -> list[dict[str, Any]]:
        """Returns the payloads of asynchronous Lambda invocations since the last time."""
        return [json.loads(invocation["payload"]) for invocation in self._get("invocations")]

    def answers(self) -> list[dict[str, Any]]:
        """Returns the bodies that were PUT to a custom resource's ResponseURL."""
        return self._get("answers")

    def answer_url(self, name: str) -> str:
        return f"{self.url}/_sandbox/answers/{name}"

    def _get(self, what: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/_sandbox/{what}", timeout=5) as response:
            return json.load(response)


@contextlib.contextmanager
def running(
    binary: pathlib.Path, world: pathlib.Path, speed: float | None, log: pathlib.Path
) -> Iterator[Sandbox]:
    command = [binary, "serve", "--world", world, "--port", "0"]
    if speed is not None:
        command += ["--speed", str(speed)]
    with processes.running(command, log, processes.clean_environment()) as process:
        give_up = time.monotonic() + 10
        while (listening := re.search(r"listening on (http://\S+)\s", log.read_text())) is None:
            if process.poll() is not None or time.monotonic() > give_up:
                raise processes.Ended(f"the sandbox did not start:\n{processes.tail(log)}")
            time.sleep(0.02)
        yield Sandbox(listening[1])
