"""The arguments of the demo's command line."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import pathlib

from . import distribution

ROOT = pathlib.Path(__file__).resolve().parent.parent
EVENT = ROOT / "events/distribute.json"
STATUSES = (
    "Succeeded",
    "PartiallySucceeded",
    "Failed",
    "Stuck",
    "Ready",
    "NotReady",
    "Nothing",
    "Swept",
)
ERRORS = (
    "InvalidRequest",
    "InvalidState",
    "AccessDenied",
    "Throttled",
    "SourceNotFound",
    "Internal",
)
SHORTEST_TIMEOUT_SECONDS, LONGEST_TIMEOUT_SECONDS = 15, 900


def add_options_of_the_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--speed",
        type=positive,
        help="how many times as fast as AWS the sandbox is (default: the world's speed)",
    )
    parser.add_argument(
        "--timeout",
        type=timeout,
        metavar="SECONDS",
        help="the function's timeout (default: short, to see it go on from its State)",
    )
    parser.add_argument(
        "--give-up",
        type=positive,
        metavar="SECONDS",
        default=distribution.GIVE_UP_SECONDS,
        help="wait no longer for an event's end (default: %(default)s)",
    )
    parser.add_argument(
        "--expect",
        action="append",
        choices=(*STATUSES, *ERRORS),
        metavar="STATUS",
        help="the end that an event must have, once for all or once for each "
        f"(default: by its request): {', '.join((*STATUSES, *ERRORS))}",
    )
    parser.add_argument(
        "--save-state",
        type=pathlib.Path,
        metavar="FILE",
        help="write the last State to a file, to play it as an event",
    )
    parser.add_argument("--no-kill", action="store_true", help="leave the function alone")
    parser.add_argument(
        "--stay",
        action="store_true",
        help="keep the sandbox running afterwards, to look around with the AWS CLI",
    )


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m demo",
        description="Send events to the compiled function on the sandbox, and check the results.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--world",
        type=file,
        default=ROOT / "sandbox/worlds/demo.toml",
        help="a file with the accounts, keys and images",
    )
    parser.add_argument(
        "--event",
        type=file,
        action="append",
        help="an event for the function; several are sent one after the other",
    )
    parser.add_argument(
        "--at-once",
        action="store_true",
        help="send the events at the same time, each to a process of its own",
    )
    parser.add_argument(
        "--request",
        type=file,
        help="the request for an AMI that becomes available "
        "(default: a copy for every account with a role and a key)",
    )
    add_options_of_the_run(parser)
    return parser


def parse_arguments() -> argparse.Namespace:
    its = parser()
    arguments = its.parse_args()
    if arguments.expect and len(arguments.expect) not in (1, len(arguments.event or [EVENT])):
        its.error("--expect must be given once, or once for each --event")
    for name in ("sandbox", "bootstrap", "rie"):
        variable = f"AMIFERRY_{name.upper()}_BIN"
        binary = pathlib.Path(os.environ.get(variable, ""))
        if not binary.is_file():
            its.error(f"{variable} must name a program; `make demo` sets it")
        setattr(arguments, f"{name}_bin", binary.resolve())
    return arguments


def file(text: str) -> pathlib.Path:
    path = pathlib.Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"{text!r} is no file")
    return path


def positive(text: str) -> float:
    with contextlib.suppress(ValueError):
        if math.isfinite(value := float(text)) and value > 0:
            return value
    raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")


def timeout(text: str) -> int:
    if text.isdecimal() and SHORTEST_TIMEOUT_SECONDS <= int(text) <= LONGEST_TIMEOUT_SECONDS:
        return int(text)
    raise argparse.ArgumentTypeError(
        f"{text!r} is not a whole number "
        f"from {SHORTEST_TIMEOUT_SECONDS} to {LONGEST_TIMEOUT_SECONDS}"
    )
