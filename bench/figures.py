"""Writes what depends on the machine into bench/figures.json: the start, and the memory of runs.

The rest of that file is exact, and comes from tests/behaviour/scale.rs.
"""

from __future__ import annotations

import json
import pathlib
from typing import Any

from .measure import Figures

FILE = pathlib.Path(__file__).parent / "figures.json"
SNAPSHOTS = 2
"""The demo's image has so many."""


def write(start: dict[str, Any], runs: list[Figures]) -> None:
    """The memory of a run goes to the row of as many targets, if there is one."""
    figures = json.loads(FILE.read_text())
    figures["start"] = start
    for run in runs:
        for row in figures["scale"]:
            if (row["targets"], row["snapshots"], row["driver"]) == (
                run.targets,
                SNAPSHOTS,
                "direct",
            ):
                row["peak_mib"] = round(run.memory / 2**20, 1)
    FILE.write_text(json.dumps(figures, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
