"""Child processes that end with this one, whatever happens."""

from __future__ import annotations

import contextlib
import os
import pathlib
import socket
import subprocess
from collections.abc import Iterator, Sequence

import psutil


class Ended(Exception):
    """A process that should run does not."""


def free_port() -> int:
    """Returns a TCP port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def listening(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def clean_environment(**values: str) -> dict[str, str]:
    """Returns the environment of a child, without the reader's own AWS settings."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ} | values


@contextlib.contextmanager
def running(
    command: Sequence[object], log: pathlib.Path, environment: dict[str, str]
) -> Iterator[psutil.Popen]:
    """Runs `command` in its own process group with its output in `log`, and ends the group."""
    with log.open("wb") as output:
        process = psutil.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        end(process)


def end(process: psutil.Popen) -> None:
    """Sends SIGTERM, and SIGKILL two seconds later, to a process and all its children."""
    family = []
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [*process.children(recursive=True), process]
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.terminate()
    _, alive = psutil.wait_procs(family, timeout=2)
    for member in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()


def tail(log: pathlib.Path, lines: int = 15) -> str:
    """Returns the end of a log, for a message about a process that failed."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
