"""One deployed stack for the whole session: starting it takes a few seconds. Each test has an image of its own (world.IMAGES)."""

import os
import pathlib
import signal
import sys

import pytest

from . import fabric as deploying


def binary(name, variable):
    path = os.environ.get(variable)
    assert path and pathlib.Path(path).exists(), f"{variable} must name the {name} binary; `make fabric` sets it"
    return path


@pytest.fixture(scope="session")
def fabric(tmp_path_factory):
    # Killed by SIGTERM, Python would run no `finally`.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = pathlib.Path(os.environ.get("AMIFERRY_FABRIC_FOLDER") or tmp_path_factory.mktemp("fabric"))
    folder.mkdir(parents=True, exist_ok=True)
    bootstrap = binary("bootstrap", "AMIFERRY_BOOTSTRAP_BIN")
    with deploying.deployed(folder, bootstrap, binary("amiferry-sandbox", "AMIFERRY_SANDBOX_BIN")) as fabric:
        yield fabric
