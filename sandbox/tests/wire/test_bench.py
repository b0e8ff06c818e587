"""The bench measures whole distributions, and finds faults in their results."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent.parent


def test_a_distribution_is_measured_and_leaves_nothing_shared():
    command = [sys.executable, "-m", "bench"]
    command += ["--targets", "2", "--timeouts", "900", "--regions", "1"]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 targets: every target succeeded, nothing is left shared" in done.stdout
