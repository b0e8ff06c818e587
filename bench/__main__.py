"""`make bench`, or `python -m bench --help` with the programs named in the environment."""

from __future__ import annotations

import argparse
import os
import pathlib
import signal
import sys
import tempfile

from demo import aws, distribution, function, processes

from . import binary, figures, measure, start, table, worlds

ROOT = pathlib.Path(__file__).resolve().parent.parent
MOST_FAULTS = 10
SHORT_TIMEOUT_SECONDS = 17
"""Six seconds for work, as in the demo: a large run too takes several invocations."""


def main() -> int:
    arguments = parse_arguments()
    aws.forget_own_settings()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    distribution.GIVE_UP_SECONDS = arguments.give_up
    with tempfile.TemporaryDirectory(prefix="amiferry-bench-") as name:
        folder = pathlib.Path(name)
        release = pathlib.Path(os.environ.get("AMIFERRY_RELEASE_DIR", ""))
        arguments.function_bin, said = binary.choose(
            release, arguments.bootstrap_bin, ROOT / "src", folder
        )
        print(f"function: {said}")
        print(f"world: {described(arguments)}", flush=True)
        begun = start.measure(arguments.function_bin)
        print(start.described(begun), flush=True)
        codes = []
        for timeout in arguments.timeouts:
            logs = folder / str(timeout)
            logs.mkdir()
            try:
                runs = [
                    measured(arguments, timeout, targets, logs) for targets in arguments.targets
                ]
            except (processes.Ended, distribution.Failed) as failure:
                print(f"timeout {timeout} s: {failure}", file=sys.stderr)
                for log in sorted(logs.rglob("*.log")):
                    print(
                        f"\nThe end of {log.relative_to(logs)}:\n{processes.tail(log)}",
                        file=sys.stderr,
                    )
                return 1
            print(f"\nfunction's timeout: {timeout} s\n{table.show(runs)}")
            codes.append(verdict(runs))
            if timeout == function.LONGEST_TIMEOUT_SECONDS and arguments.write:
                figures.write(begun, runs)
    return max(codes)


def measured(
    arguments: argparse.Namespace, timeout: int, targets: int, folder: pathlib.Path
) -> measure.Figures:
    logs = folder / str(targets)
    logs.mkdir()
    file = folder / f"{targets}.toml"
    event = worlds.write(arguments.world, targets, arguments.regions, arguments.throttling, file)
    return measure.run(arguments, timeout, file, event, logs)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure whole distributions on the sandbox."
    )
    parser.add_argument(
        "--targets",
        type=positive,
        nargs="+",
        default=[10, 100, 1000],
        help="how many, one run for each (default: 10 100 1000)",
    )
    parser.add_argument(
        "--regions",
        type=int,
        choices=(1, 2),
        default=2,
        help="with two, every third target is in the other (default)",
    )
    parser.add_argument(
        "--throttling",
        action="store_true",
        help="request limits as AWS documents them, refilled at the world's speed",
    )
    parser.add_argument(
        "--latency",
        type=float,
        default=0.03,
        help="seconds that every AWS call takes (default: %(default)s)",
    )
    parser.add_argument(
        "--timeouts",
        type=positive,
        nargs="+",
        default=[function.LONGEST_TIMEOUT_SECONDS, SHORT_TIMEOUT_SECONDS],
        help="the function's, in seconds, one table for each (default: 900 17)",
    )
    parser.add_argument(
        "--write",
        action="store_true",
        help="put the start, and the memory of runs of one invocation, into bench/figures.json",
    )
    parser.add_argument(
        "--give-up",
        type=float,
        default=900,
        metavar="SECONDS",
        help="for one run (default: %(default)s)",
    )
    parser.add_argument(
        "--world",
        type=pathlib.Path,
        default=ROOT / "sandbox/worlds/demo.toml",
        help="whose producer and first consumer to use",
    )
    arguments = parser.parse_args()
    for name in ("sandbox", "bootstrap", "rie"):
        variable = f"AMIFERRY_{name.upper()}_BIN"
        program = pathlib.Path(os.environ.get(variable, ""))
        if not program.is_file():
            parser.error(f"{variable} must name a program; `make bench` sets it")
        setattr(arguments, f"{name}_bin", program.resolve())
    return arguments


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def described(arguments: argparse.Namespace) -> str:
    regions = "one Region" if arguments.regions == 1 else "two Regions"
    limits = "with" if arguments.throttling else "without"
    latency = f"{arguments.latency * 1000:g} ms for each call"
    return f"{arguments.world.name}, {regions}, {latency}, {limits} request limits"


def verdict(runs: list[measure.Figures]) -> int:
    """Prints refusals of AWS and faults of the result. Returns the exit code."""
    print()
    for run in runs:
        for what, count in sorted(run.errors.items()):
            print(f"{run.targets} targets: refused {count} ×: {what}")
        print(
            f"{run.targets} targets: "
            + (
                f"{len(run.wrong)} FAULTS"
                if run.wrong
                else "every target succeeded, nothing is left shared"
            )
        )
        for fault in run.wrong[:MOST_FAULTS]:
            print(f"  {fault}")
    return int(any(run.wrong for run in runs))


if __name__ == "__main__":
    sys.exit(main())
