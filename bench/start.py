"""The start of the function beside that of a boto3 handler with the same clients.

A small Runtime API notes when the first call for an event comes. Both programs start by turns, so
that the machine is the same for both.
"""

from __future__ import annotations

import http.server
import os
import pathlib
import statistics
import subprocess
import sys
import threading
import time
from typing import Any


RUNS = 15
GIVE_UP_SECONDS = 60
CLIENTS = "autoscaling ec2 iam kms lambda organizations s3 ssm stepfunctions sts".split()
"""The services that src/aws has clients of."""
HANDLER = f"""
import boto3, os, urllib.request
clients = [boto3.client(name) for name in {CLIENTS!r}]
api = os.environ["AWS_LAMBDA_RUNTIME_API"]
urllib.request.urlopen(f"http://{{api}}/2018-06-01/runtime/invocation/next")
"""


class RuntimeApi(http.server.BaseHTTPRequestHandler):
    """Never hands out an event."""

    asked = threading.Event()
    ended = threading.Event()

    def do_GET(self) -> None:
        RuntimeApi.asked.set()
        RuntimeApi.ended.wait()

    def log_message(self, *_: Any) -> None:
        pass


def measure(function: pathlib.Path) -> dict[str, Any]:
    """Returns the medians of both programs: milliseconds, and the largest memory in MiB by then."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), RuntimeApi)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    api = f"127.0.0.1:{server.server_port}"
    programs = {"function": [str(function)], "boto3": [sys.executable, "-c", HANDLER]}
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    for _ in range(RUNS):
        for name, command in programs.items():
            figures[name].append(started(command, api))
    server.shutdown()
    told: dict[str, Any] = {"runs": RUNS}
    for name, runs in figures.items():
        told[name] = {
            "milliseconds": round(statistics.median(run[0] for run in runs), 1),
            "mib": round(statistics.median(run[1] for run in runs), 1),
        }
    for key, ratio in (("milliseconds", "times_as_fast"), ("mib", "times_as_small")):
        told[ratio] = round(told["boto3"][key] / told["function"][key], 1)
    return told


def described(figures: dict[str, Any]) -> str:
    ours, theirs = figures["function"], figures["boto3"]
    return (
        f"start: {ours['milliseconds']} ms and {ours['mib']} MiB; a boto3 handler with the same "
        f"clients {theirs['milliseconds']} ms and {theirs['mib']} MiB: "
        f"{figures['times_as_fast']} times as fast, {figures['times_as_small']} times as small"
    )


def started(command: list[str], api: str) -> tuple[float, float]:
    RuntimeApi.asked.clear()
    RuntimeApi.ended.clear()
    environment = {
        "AWS_LAMBDA_RUNTIME_API": api,
        "AWS_LAMBDA_FUNCTION_NAME": "amiferry",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_REGION": "us-west-2",
        "AWS_DEFAULT_REGION": "us-west-2",
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "nobody's",
        "PATH": os.environ.get("PATH", ""),
    }
    began = time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        if not RuntimeApi.asked.wait(GIVE_UP_SECONDS):
            raise TimeoutError(f"{command[0]} did not ask for an event")
        took = time.monotonic() - began
        memory = peak(process.pid)
    finally:
        process.kill()
        process.wait()
        RuntimeApi.ended.set()
    return took * 1000, memory


def peak(pid: int) -> float:
    """Returns the largest memory of a process so far, in MiB."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


