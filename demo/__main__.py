"""`make demo`, or `python -m demo --help` with the three binaries named in the environment."""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import signal
import sys
import tempfile
import time
from functools import partial
from typing import Any

from . import aws, checks, distribution, function, processes, report, request, sandbox, world
from .aws import Looker
from .distribution import Distribution, Kill
from .screen import Screen
from .truth import Truth, what_is_there

ROOT = pathlib.Path(__file__).resolve().parent.parent
EVENT = ROOT / "events/distribute.json"
LATENCY_SECONDS = 0.03
"""AWS answers in tens of milliseconds; a sandbox that answers at once leaves no time for accidents."""


def main() -> int:
    arguments = parse_arguments()
    aws.forget_own_settings()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    screen = Screen()
    with tempfile.TemporaryDirectory(prefix="amiferry-demo-") as folder:
        logs = pathlib.Path(folder)
        try:
            good = play(arguments, screen, logs)
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


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo", description="Copy an encrypted AMI into other accounts, on the sandbox.")
    parser.add_argument("--world", type=pathlib.Path, default=ROOT / "sandbox/worlds/demo.toml", help="the accounts, keys and images there are")
    parser.add_argument("--event", type=pathlib.Path, action="append", help="what the function is sent; several are sent one after the other")
    parser.add_argument("--speed", type=float, help="how many times as fast as AWS the sandbox is (default: what the world says)")
    parser.add_argument("--timeout", type=int, metavar="SECONDS", help="the function's timeout (default: short, to see it go on from its State)")
    parser.add_argument("--expect", default="Succeeded", metavar="STATUS", help="the status the run must end with (default: %(default)s)")
    parser.add_argument("--no-kill", action="store_true", help="leave the function alone")
    parser.add_argument("--stay", action="store_true", help="keep the sandbox running afterwards, to look around with the AWS CLI")
    arguments = parser.parse_args()
    for name in ("sandbox", "bootstrap", "rie"):
        variable = f"AMIFERRY_{name.upper()}_BIN"
        binary = pathlib.Path(os.environ.get(variable, ""))
        if not binary.is_file():
            parser.error(f"{variable} must name a program; `make demo` sets it")
        setattr(arguments, f"{name}_bin", binary.resolve())
    return arguments


def play(arguments: argparse.Namespace, screen: Screen, logs: pathlib.Path) -> bool:
    there = world.read(arguments.world)
    events = [(relative(file), request.read_event(file)) for file in arguments.event or [EVENT]]
    first = request.wanted(events[0][1])
    owner = there.owners.get(first.image_id, there.identities[0].account)
    places = dict.fromkeys(place for _, event in events for place in request.wanted(event).targets if place[0] in there.accounts)

    with contextlib.ExitStack() as stack:
        speed = arguments.speed or there.speed
        file = world.with_latency(arguments.world, LATENCY_SECONDS, speed, logs)
        box = stack.enter_context(sandbox.running(arguments.sandbox_bin, file, arguments.speed, logs / "sandbox.log"))
        producer = Looker(box.url, there.reader(owner), first.region)
        lookers = {place: Looker(box.url, there.reader(place[0]), place[1]) for place in places}
        source = producer.image(first.image_id) or {}
        report.source(screen, producer, source, first, speed)
        open_before, there_before = producer.sharing(first.image_id), what_is_there(lookers)
        # The emulator tells the function an ARN of an account that is not there, so it cannot go on by invoking itself.
        timeout = arguments.timeout or (17 if all("Distribute" in event for _, event in events) else function.LONGEST_TIMEOUT_SECONDS)
        screen.line(f"The function's timeout is {timeout} s.")
        lambda_ = stack.enter_context(
            function.running(
                arguments.rie_bin,
                arguments.bootstrap_bin,
                box.url,
                request.FUNCTION_REGION,
                there.function(owner),
                timeout,
                logs / "function.log",
                there.settings,
            )
        )
        strangers = {looker.identity.principal for looker in (producer, *lookers.values())}

        def function_made() -> list[dict[str, Any]]:
            return [call for call in box.ledger() if call["principal"] not in strangers]

        findings = []
        for number, (name, event) in enumerate(events):
            wanted = request.wanted(event)
            some = {place: looker for place, looker in lookers.items() if place in wanted.targets}
            truth = Truth(some, there_before, producer, wanted.image_id)
            made_before = len(function_made())
            kills = [] if arguments.no_kill or number else accidents(truth, source, producer, len(some))
            kills = [kill for kill in kills if "Distribute" in event or not kill.with_state]
            screen.title(f"Sending {name} to the function, for {', '.join(' '.join(place) for place in wanted.targets)}")
            screen.start()
            run = Distribution(lambda_, box, function_made, kills, screen.say, partial(screen.progress, truth=truth, places=list(some)))
            try:
                with truth:
                    end = run.run(event)
            finally:
                screen.stop()
            report.calls_made(screen, function_made()[made_before:])
            report.result(screen, end, truth, some, run.crashes, lambda_.peak_memory())
            report.seen_by_cli(screen, some)
            screen.title("Checks, asked through boto3")
            found = checks.all_of(end, arguments.expect, kills, wanted, source, open_before, producer, some, there_before)
            for finding in found:
                screen.verdict(finding.good, finding.what, finding.detail)
            findings += found
        screen.line("")
        screen.line(f"{len(findings)} checks, {sum(not finding.good for finding in findings)} failed")
        if arguments.stay:
            stay(screen, box.url, there)
        return all(finding.good for finding in findings)


def accidents(truth: Truth, source: dict[str, Any], producer: Looker, targets: int) -> list[Kill]:
    """Twice: while copies are being started, which nobody remembers then, and when half of the copying is done."""
    copies, gib = len(aws.snapshot_ids(source)) * targets, aws.gib(producer, source) * targets
    few = max(copies // 2, 1)

    def started(made: list[dict[str, Any]]) -> bool:
        return operations(made).count("CopySnapshot") >= few

    def half_done(made: list[dict[str, Any]]) -> bool:
        return truth.gib() >= gib / 2 and "AssumeRole" in operations(made)

    return [
        Kill(f"{few} of {copies} copies had been asked for", started, with_state=False),
        Kill("half of the copying was done", half_done, with_state=True),
    ]


def operations(calls: list[dict[str, Any]]) -> list[str]:
    return [call["operation"] for call in calls]


def stay(screen: Screen, url: str, there: world.World) -> None:
    screen.title("The sandbox keeps running until Ctrl-C. To look around:")
    screen.line(f"export AWS_ENDPOINT_URL={url}")
    for account in sorted({identity.account for identity in there.identities}):
        reader = there.reader(account)
        screen.line(f"AWS_ACCESS_KEY_ID={reader.access_key_id} AWS_SECRET_ACCESS_KEY={reader.secret_access_key}  # {reader.principal}")
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)


def relative(path: pathlib.Path) -> str:
    path = path.resolve()
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


if __name__ == "__main__":
    sys.exit(main())
