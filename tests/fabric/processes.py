"""The two emulators as child processes on 127.0.0.1, which end with this one whatever happens."""

import contextlib
import os
import pathlib
import signal
import socket
import sys
import time
import urllib.request

import psutil

HERE = pathlib.Path(__file__).parent


def free_port():
    """Neither emulator can learn of the other after its start, so ports are chosen first."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def clean_environment(**values):
    """Returns the environment of a child, without the reader's own AWS settings and proxies."""
    kept = ("PATH", "LANG")
    return {name: os.environ[name] for name in kept if name in os.environ} | values


@contextlib.contextmanager
def running(command, log, environment, ready):
    """Runs `command` in a group of its own until the block ends; `ready` is the URL that answers
    once it serves."""
    with open(log, "w") as output:
        process = psutil.Popen(
            [str(word) for word in command],
            stdout=output,
            stderr=output,
            env=environment,
            cwd=log.parent,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 30
        while not answers(ready):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.02)
        yield process
    finally:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
            process.terminate()
            process.wait(1)
        # ministack leaves its warm functions behind.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=1) as response:
            return response.status == 200
    except OSError:
        return False


@contextlib.contextmanager
def ministack(folder, port, wait_scale):
    """ministack with the patches of launcher.py, all in memory, reachable from here only. Its
    ledger: `folder`/ledger.jsonl."""
    url = f"http://127.0.0.1:{port}"
    environment = clean_environment(
        AUTH="true",
        BIND_HOST="127.0.0.1",
        GATEWAY_PORT=str(port),
        MINISTACK_HOST="127.0.0.1",
        MINISTACK_REGION="us-west-2",
        # Functions get this one, not their own.
        AWS_ENDPOINT_URL=url,
        AWS_CONFIG_FILE="/dev/null",
        AWS_SHARED_CREDENTIALS_FILE="/dev/null",
        AWS_EC2_METADATA_DISABLED="true",
        HOME=str(folder),
        TMPDIR=str(folder),
        S3_DATA_DIR=str(folder / "s3"),
        STATE_DIR=str(folder / "state"),
        DOCKER_HOST=f"unix://{folder}/no-docker.sock",
        IOT_MTLS_ENABLED="0",
        SFTP_ENABLED="0",
        LAMBDA_ASYNC_RETRY_BASE_SECONDS="1",
        SFN_WAIT_SCALE=str(wait_scale),
        AMIFERRY_FABRIC_LEDGER=str(folder / "ledger.jsonl"),
    )
    with running(
        [sys.executable, HERE / "launcher.py"],
        folder / "ministack.log",
        environment,
        f"{url}/_ministack/ready",
    ):
        yield url


@contextlib.contextmanager
def sandbox(binary, world, port, log):
    url = f"http://127.0.0.1:{port}"
    command = [binary, "serve", "--world", world, "--port", port]
    with running(command, log, clean_environment(), f"{url}/_sandbox/health"):
        yield url
