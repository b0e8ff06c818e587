"""Deploys a stack for the whole session.

Copies take time, so scenarios run side by side. A test names its scenario, a function of the
fabric. The scenarios of all selected tests begin together; each test waits for its own and gets the
result as `seen`. Every scenario has images of its own (world.IMAGES). Tests of the function as a
whole are marked `alone` and come last.
"""

import os
import pathlib
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from . import fabric as deploying

FIGURES = []

#: Ends what hangs, and judges no speed: machines are slow at times.
LONGEST = 600


@pytest.fixture
def figure():
    """Keeps a line for the end of the report."""
    return FIGURES.append


def pytest_terminal_summary(terminalreporter):
    for line in FIGURES:
        terminalreporter.write_line(line)


def pytest_configure(config):
    config.addinivalue_line(
        "markers",
        "scenario(function): what happens, side by side with others; its result is `seen`",
    )
    config.addinivalue_line("markers", "alone: after all scenarios")
    config.addinivalue_line("markers", "hindsight: looks at what all other tests left")


def pytest_collection_modifyitems(items):
    def late(item):
        return bool(item.get_closest_marker("alone")), bool(item.get_closest_marker("hindsight"))

    items.sort(key=lambda item: (late(item)[1], late(item)[0]))


@pytest.fixture(scope="session")
def fabric(tmp_path_factory):
    # Killed by SIGTERM, Python would run no `finally`.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = pathlib.Path(
        os.environ.get("AMIFERRY_FABRIC_FOLDER") or tmp_path_factory.mktemp("fabric")
    )
    folder.mkdir(parents=True, exist_ok=True)
    with deploying.deployed(
        folder, _binary("AMIFERRY_BOOTSTRAP_BIN"), _binary("AMIFERRY_SANDBOX_BIN")
    ) as fabric:
        yield fabric
        if ledgers := os.environ.get("AMIFERRY_LEDGERS"):
            fabric.keep_ledgers(pathlib.Path(ledgers))


@pytest.fixture(scope="session")
def scenarios(fabric, request):
    markers = [item.get_closest_marker("scenario") for item in request.session.items]
    functions = dict.fromkeys(marker.args[0] for marker in markers if marker)
    pool = ThreadPoolExecutor(len(functions) or 1)
    try:
        yield {function: pool.submit(function, fabric) for function in functions}
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


@pytest.fixture
def seen(scenarios, request):
    return scenarios[request.node.get_closest_marker("scenario").args[0]].result(LONGEST)


@pytest.fixture(autouse=True)
def nobody_else(request):
    """A test marked `alone` waits until every scenario has ended, well or not."""
    if request.node.get_closest_marker("alone") or request.node.get_closest_marker("hindsight"):
        for future in request.getfixturevalue("scenarios").values():
            future.exception(LONGEST)


def _binary(variable):
    path = os.environ.get(variable)
    assert path and pathlib.Path(path).exists(), (
        f"{variable} must name a built program; `make fabric` sets it"
    )
    return path
