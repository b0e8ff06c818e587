"""Looks into each target account through boto3, in a thread of its own."""

from __future__ import annotations

import dataclasses
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .aws import Looker, tags
from .request import Place


@dataclasses.dataclass(frozen=True)
class Target:
    """The present copies and image of one account and Region."""

    progress: tuple[int, ...] = ()
    """Percent of each copied snapshot, oldest first."""
    gib: float = 0
    """The part that has been copied."""
    image_id: str | None = None
    finished_after: float | None = None
    """Seconds until the image showed as available."""


class Truth:
    """Looks at every target a few times a second during the `with` block, beside `before`."""

    def __init__(
        self,
        lookers: dict[Place, Looker],
        before: dict[Place, set[str]],
        producer: Looker,
        image_id: str,
    ) -> None:
        self._lookers = lookers
        self._before = before
        self._producer = producer
        self._image_id = image_id
        self.source = ""
        """Returns the openings at the source, in words."""
        self._targets = dict.fromkeys(lookers, Target())
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._began = time.monotonic()

    def __enter__(self) -> Truth:
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def __getitem__(self, place: Place) -> Target:
        return self._targets[place]

    def gib(self) -> float:
        """Returns the part that has been copied, over all targets."""
        return sum(target.gib for target in self._targets.values())

    def look(self) -> None:
        with ThreadPoolExecutor(len(self._lookers) + 1) as pool:
            source = pool.submit(self._producer.sharing, self._image_id)
            list(pool.map(self._look_at, self._lookers.items()))
            self.source = opened(source.result())

    def _look_at(self, item: tuple[Place, Looker]) -> None:
        place, looker = item
        copies = [
            copy
            for copy in looker.snapshots()
            if copy["SnapshotId"] not in self._before[place] and is_of(copy, self._image_id)
        ]
        copies.sort(key=lambda copy: (copy["StartTime"], copy["SnapshotId"]))
        progress = tuple(
            100 if copy["State"] == "completed" else int(copy.get("Progress", "").rstrip("%") or 0)
            for copy in copies
        )
        gib = sum(
            percent * copy["VolumeSize"] / 100
            for percent, copy in zip(progress, copies, strict=True)
        )
        images = [
            i
            for i in looker.images()
            if i["ImageId"] not in self._before[place]
            and i["State"] == "available"
            and is_of(i, self._image_id)
        ]
        seen = self._targets[place].finished_after
        if images and seen is None:
            seen = time.monotonic() - self._began
        self._targets[place] = Target(progress, gib, images[0]["ImageId"] if images else None, seen)

    def _watch(self) -> None:
        while not self._stop.wait(0.2):
            self.look()
        self.look()


def is_of(thing: dict[str, Any], image_id: str) -> bool:
    """Whether an image or snapshot is a copy of this source image, or has no tags yet."""
    return tags(thing).get("amiferry:source-image", image_id) == image_id


def what_is_there(lookers: dict[Place, Looker]) -> dict[Place, set[str]]:
    """Returns the IDs of all images and snapshots."""
    return {
        place: {i["ImageId"] for i in looker.images()}
        | {s["SnapshotId"] for s in looker.snapshots()}
        for place, looker in lookers.items()
    }


def opened(sharing: dict[str, Any]) -> str:
    """Returns `Looker.sharing` in words."""
    accounts = {
        p["UserId"]
        for name, found in sharing.items()
        if name.startswith("permissions of")
        for p in found
        if "UserId" in p
    }
    grants = sum(len(found) for name, found in sharing.items() if name.startswith("grants on"))
    if not accounts and not grants:
        return "nothing is shared"
    names = ", ".join(sorted(accounts)) or "nobody"
    return f"snapshots shared with {names}; grants on its keys: {grants}"
