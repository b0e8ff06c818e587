"""The world of an event: the sandbox, the function, and a looker in every account."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Iterator
from typing import Any

from . import checks, function, request, sandbox, world
from .aws import Looker
from .checks import After, Before
from .function import Function
from .request import Place, Request
from .sandbox import Sandbox
from .truth import what_is_there
from .world import World

LATENCY_SECONDS = 0.03
"""AWS answers in tens of milliseconds. A sandbox without latency leaves no time to kill."""
SHORT_TIMEOUT_SECONDS = 17
"""With this timeout the function goes on from its State several times."""


@dataclasses.dataclass
class Stage:
    there: World
    box: Sandbox
    speed: float
    home: str
    """The account of the function."""
    region: str
    """The Region of the function."""
    own_request: dict[str, Any]
    logs: pathlib.Path
    binaries: tuple[pathlib.Path, pathlib.Path]
    """The programs of the emulator and of the function."""

    def __post_init__(self) -> None:
        self._lookers: dict[Place, Looker] = {}
        self.first: dict[Place, set[str]] = {}
        self.unshared: dict[str, Any] = {}

    def wanted(self, event: dict[str, Any]) -> Request:
        return request.wanted(event, self.there, self.region, self.own_request)

    def looker(self, account: str, region: str) -> Looker:
        place = (account, region)
        if place not in self._lookers:
            self._lookers[place] = Looker(self.box.url, self.there.reader(account), region)
        return self._lookers[place]

    def producer(self, wanted: Request) -> Looker:
        return self.looker(self.there.owners.get(wanted.image_id, self.home), wanted.region)

    def lookers(self, wanted: Request) -> dict[Place, Looker]:
        """Returns lookers for the targets in which an identity can look."""
        accounts = [place for place in wanted.targets if place[0] in self.there.accounts]
        dropped = [
            (account, wanted.region)
            for account in sorted(wanted.dropped)
            if account in self.there.accounts
        ]
        return {place: self.looker(*place) for place in (*accounts, *dropped)}

    def remember(self, all_wanted: list[Request]) -> None:
        """Notes the state of all accounts before the first event."""
        for wanted in all_wanted:
            self.first |= what_is_there(
                {p: looker for p, looker in self.lookers(wanted).items() if p not in self.first}
            )
            self.unshared |= {
                name: value
                for name, value in self.sharing(wanted).items()
                if name not in self.unshared
            }

    def sharing(self, wanted: Request) -> dict[str, Any]:
        """Returns the openings of the event's image, or of all images of the function's account."""
        own = [
            i
            for i, image in self.there.images.items()
            if image.owner == self.home and image.region == wanted.region
        ]
        found: dict[str, Any] = {}
        for image_id in [wanted.image_id] if wanted.image_id else own:
            of = "" if wanted.image_id else f" of {image_id}"
            found |= {
                f"{name}{of}": value
                for name, value in self.producer(wanted).sharing(image_id).items()
            }
        return found

    def before(self, wanted: Request) -> Before:
        there = self.lookers(wanted)
        sharing = self.sharing(wanted)
        unshared = {name: self.unshared.get(name, value) for name, value in sharing.items()}
        first = {place: self.first[place] for place in there}
        return Before(first, what_is_there(there), sharing, unshared, self._seen(wanted))

    def after(self, wanted: Request, made: list[dict[str, Any]], alone: bool) -> After:
        there = what_is_there(self.lookers(wanted))
        return After(there, self.sharing(wanted), self._seen(wanted), checks.changes(made), alone)

    def made(self) -> list[dict[str, Any]]:
        """Returns the AWS calls of the function so far, in every account."""
        readers = {self.there.reader(account).principal for account in self.there.accounts}
        strangers = readers - {self.there.function(self.home).principal}
        return [call for call in self.box.ledger() if call["principal"] not in strangers]

    @contextlib.contextmanager
    def function(self, timeout: int, name: str = "function") -> Iterator[Function]:
        settings = self.there.settings | {"AMIFERRY_REQUEST": json.dumps(self.own_request)}
        bucket = self.there.bucket(self.home)
        settings |= {"AMIFERRY_BUCKET": bucket} if bucket else {}
        emulator, binary = self.binaries
        identity, log = self.there.function(self.home), self.logs / f"{name}.log"
        with function.running(
            emulator, binary, self.box.url, self.region, identity, timeout, log, settings
        ) as running:
            yield running

    def _seen(self, wanted: Request) -> dict[Place, set[str]]:
        source = self.producer(wanted).image(wanted.image_id) or {}
        lookers = self.lookers(wanted)
        return {
            place: checks.seen_of(source, self.looker(place[0], wanted.region)) for place in lookers
        }


@contextlib.contextmanager
def set_up(arguments: Any, events: list[dict[str, Any]], logs: pathlib.Path) -> Iterator[Stage]:
    there = world.read(arguments.world)
    home = there.home(next((image for event in events if (image := request.image_of(event))), ""))
    speed = arguments.speed or there.speed
    own = (
        request.own_request(there, home)
        if arguments.request is None
        else json.loads(arguments.request.read_text())
    )
    file = world.with_latency(arguments.world, LATENCY_SECONDS, speed, logs)
    with sandbox.running(arguments.sandbox_bin, file, arguments.speed, logs / "sandbox.log") as box:
        region = request.region_of(events[0], there, home)
        yield Stage(
            there, box, speed, home, region, own, logs, (arguments.rie_bin, arguments.bootstrap_bin)
        )


def timeout_for(events: list[dict[str, Any]], given: int | None) -> int:
    """Returns a short timeout for events that return a State, so that the function goes on from it.

    The emulator gives the function an ARN of a missing account, so it cannot invoke itself.
    """
    by_state = all(request.form(event) in ("Distribute", "State") for event in events)
    return given or (SHORT_TIMEOUT_SECONDS if by_state else function.LONGEST_TIMEOUT_SECONDS)
