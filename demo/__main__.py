"""`make demo`, or `python -m demo --help` with the three binaries named in the environment."""

from __future__ import annotations

import argparse
import contextlib
import json
import pathlib
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from . import aws, checks, distribution, processes, report, request, stage
from .arguments import EVENT, ROOT, parse_arguments
from .checks import Before, Check
from .distribution import Distribution, End, Kill
from .function import Function
from .request import Place, Request
from .screen import Screen
from .stage import Stage
from .truth import Truth

LONG_ENOUGH_SECONDS = 4
"""A shorter copy ends before the function can be killed on the way."""


def main() -> int:
    arguments = parse_arguments()
    events = [(relative(file), request.read_event(file)) for file in arguments.event or [EVENT]]
    aws.forget_own_settings()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    screen = Screen()
    with tempfile.TemporaryDirectory(prefix="amiferry-demo-") as folder:
        logs = pathlib.Path(folder)
        try:
            good = play(arguments, events, screen, logs)
        except (processes.Ended, distribution.Failed) as failure:
            screen.verdict(False, "The demo came to no end", str(failure))
            good = False
        except KeyboardInterrupt:
            screen.line("Interrupted; everything that was started is stopped.")
            return 130
        if not good:
            for log in sorted(logs.glob("*.log")):
                screen.title(f"The end of {log.name}")
                screen.line(processes.tail(log))
    return 0 if good else 1


class Event:
    """Plays one event, from its request to the checks afterwards."""

    def __init__(
        self, number: int, name: str, event: dict[str, Any], there: Stage, expect: list[str] | None
    ) -> None:
        self.name, self.event = name, event
        self.wanted: Request = there.wanted(event)
        self.expected = expect[min(number, len(expect) - 1)] if expect else self.wanted.expected
        self.kills: list[Kill] = []
        self.before: Before | None = None
        self.run: Distribution | None = None
        self.truth: Truth | None = None
        self.end: End | None = None
        self.made_before = 0


def play(
    arguments: argparse.Namespace,
    given: list[tuple[str, dict[str, Any]]],
    screen: Screen,
    logs: pathlib.Path,
) -> bool:
    with contextlib.ExitStack() as stack:
        there = stack.enter_context(stage.set_up(arguments, [event for _, event in given], logs))
        events = [
            Event(number, name, event, there, arguments.expect)
            for number, (name, event) in enumerate(given)
        ]
        there.remember([event.wanted for event in events])
        seconds = stage.timeout_for([event.event for event in events], arguments.timeout)
        for wanted in {event.wanted.image_id: event.wanted for event in events}.values():
            producer = there.producer(wanted)
            report.source(
                screen, producer, producer.image(wanted.image_id) or {}, wanted, there.speed
            )
        screen.line(
            f"The function runs in account {there.home} and {there.region}. "
            f"Its timeout is {seconds} s."
        )
        if arguments.at_once:
            findings = all_at_once(arguments, there, events, screen, seconds)
        else:
            function = stack.enter_context(there.function(seconds))
            findings = one_by_one(arguments, there, events, screen, function)
        state = next(
            (event.run.state for event in reversed(events) if event.run and event.run.state), None
        )
        if arguments.save_state and state is None:
            screen.line("No event was answered with a State, so none is saved.")
        elif arguments.save_state:
            arguments.save_state.write_text(json.dumps({"State": state}))
            screen.line(f"The last State is in {arguments.save_state}")
        screen.line("")
        screen.line(
            f"{len(findings)} checks, {sum(not finding.good for finding in findings)} failed"
        )
        if arguments.stay:
            stay(screen, there)
        return all(finding.good for finding in findings)


def one_by_one(
    arguments: argparse.Namespace,
    there: Stage,
    events: list[Event],
    screen: Screen,
    function: Function,
) -> list[Check]:
    findings: list[Check] = []
    copied: set[tuple[str, Place]] = set()
    for event in events:
        prepare(arguments, there, event, function, screen)
        new = {(event.wanted.image_id, place) for place in there.lookers(event.wanted)} - copied
        if event.wanted.copies and new and not arguments.no_kill:
            event.kills += accidents(there, event, screen)
            copied |= new
        screen.start()
        try:
            conduct(event)
        finally:
            screen.stop()
        findings += conclude(there, event, screen, function.peak_memory(), alone=True)
    return findings


def all_at_once(
    arguments: argparse.Namespace, there: Stage, events: list[Event], screen: Screen, seconds: int
) -> list[Check]:
    with contextlib.ExitStack() as stack:
        for number, event in enumerate(events, 1):
            prepare(
                arguments,
                there,
                event,
                stack.enter_context(there.function(seconds, f"function-{number}")),
                screen,
            )
        screen.start(live=False)
        with ThreadPoolExecutor(len(events)) as pool:
            list(pool.map(conduct, events))
        findings: list[Check] = []
        for event in events:
            others = [other.wanted for other in events if other is not event]
            findings += conclude(there, event, screen, None, is_alone(event.wanted, others))
        return findings


def is_alone(wanted: Request, others: list[Request]) -> bool:
    """Whether the checks show the work of this event alone, and not of others at the same time."""
    if wanted.kind in ("Look", "Sweep"):
        return all(other.kind == "Look" for other in others)
    return not any(
        other.kind in ("Copy", "Share")
        and other.kind != wanted.kind
        and other.image_id == wanted.image_id
        for other in others
    )


def prepare(
    arguments: argparse.Namespace, there: Stage, event: Event, function: Function, screen: Screen
) -> None:
    wanted = event.wanted
    event.before = there.before(wanted)
    lookers = there.lookers(wanted)
    event.truth = Truth(lookers, there.first, there.producer(wanted), wanted.image_id)
    event.made_before = len(there.made())
    places = ", ".join(" ".join(place) for place in wanted.targets)
    screen.title(f"Sending {event.name} to the function" + (f", for {places}" if places else ""))
    unseen = sorted({account for account, _ in wanted.targets} - there.there.accounts)
    if unseen:
        screen.line(
            f"Nobody can look into {', '.join(unseen)}: the world has no access key for it."
        )
    tick = partial(screen.progress, truth=event.truth, places=list(lookers))
    event.run = Distribution(
        function,
        there.box,
        there.made,
        event.kills,
        screen.say,
        tick,
        give_up_seconds=arguments.give_up,
    )


def conduct(event: Event) -> None:
    assert event.run and event.truth
    with event.truth:
        event.end = event.run.run(event.event)


def conclude(
    there: Stage, event: Event, screen: Screen, memory: int | None, alone: bool
) -> list[Check]:
    assert event.end and event.truth and event.before and event.run
    made = there.made()[event.made_before :]
    lookers = there.lookers(event.wanted)
    report.calls_made(screen, made)
    report.result(screen, event.wanted, event.end, event.truth, lookers, event.run.crashes, memory)
    report.seen_by_cli(screen, lookers)
    screen.title(f"Checks of {event.name}, asked through boto3")
    source = there.producer(event.wanted).image(event.wanted.image_id) or {}
    after = there.after(event.wanted, made, alone)
    found = checks.all_of(
        event.end, event.expected, event.kills, event.wanted, source, lookers, event.before, after
    )
    for finding in found:
        screen.verdict(finding.good, finding.what, finding.detail)
    return found


def accidents(there: Stage, event: Event, screen: Screen) -> list[Kill]:
    """Returns two kills: while copies start, before anybody remembers them, and half-way."""
    source = there.producer(event.wanted).image(event.wanted.image_id) or {}
    targets, truth = len(there.lookers(event.wanted)), event.truth
    assert truth
    seconds = there.there.copy_seconds(event.wanted.image_id, there.speed)
    if not source or not targets or seconds < LONG_ENOUGH_SECONDS:
        screen.line(
            f"The longest copy takes {seconds:.1f} s here, "
            "too little to kill the function on the way."
        )
        return []
    copies, gib = (
        len(aws.snapshot_ids(source)) * targets,
        aws.gib(there.producer(event.wanted), source) * targets,
    )
    few = max(copies // 2, 1)

    def started(made: list[dict[str, Any]]) -> bool:
        return operations(made).count("CopySnapshot") >= few

    def half_done(made: list[dict[str, Any]]) -> bool:
        return truth.gib() >= gib / 2 and "AssumeRole" in operations(made)

    kills = [Kill(f"{few} of {copies} copies had been asked for", started, with_state=False)]
    if request.form(event.event) in ("Distribute", "State"):
        kills.append(Kill("half of the copying was done", half_done, with_state=True))
    return kills


def operations(calls: list[dict[str, Any]]) -> list[str]:
    return [call["operation"] for call in calls]


def stay(screen: Screen, there: Stage) -> None:
    screen.title("The sandbox keeps running until Ctrl-C. To look around:")
    screen.line(f"export AWS_ENDPOINT_URL={there.box.url}")
    for account in sorted(there.there.accounts):
        reader = there.there.reader(account)
        secret = f"AWS_SECRET_ACCESS_KEY={reader.secret_access_key}"
        screen.line(f"AWS_ACCESS_KEY_ID={reader.access_key_id} {secret}  # {reader.principal}")
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)


def relative(path: pathlib.Path) -> str:
    path = path.resolve()
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


if __name__ == "__main__":
    sys.exit(main())
