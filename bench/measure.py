"""One distribution from start to end, and its cost."""

from __future__ import annotations

import collections
import dataclasses
import json
import pathlib
import time
import urllib.request
from typing import Any

import psutil

from demo import function, request, sandbox, world
from demo.distribution import Distribution
from demo.function import Call, Function
from demo.sandbox import Sandbox

SAMPLE_SECONDS = 0.2
LEDGER_SECONDS = 120
"""An unoptimised sandbox needs a while to print a ledger of ten thousand calls."""


@dataclasses.dataclass
class Figures:
    targets: int
    wall: float
    inside: float
    """Seconds during which an invocation was under way, which is what Lambda bills."""
    invocations: int
    longest: float
    operations: collections.Counter[str]
    errors: collections.Counter[str]
    largest_state: int
    memory: int
    processor: float
    sandbox_processor: float
    cold: float
    warm: float
    wrong: list[str]


class Meter:
    """Passes calls on to the function, and notes their payload and duration."""

    def __init__(self, lambda_: Function) -> None:
        self._lambda = lambda_
        self._calls: list[tuple[Call, float]] = []
        self._sampled = 0.0
        self.times: list[float] = []
        self.largest_state = 0
        self.memory = 0

    def invoke(self, payload: dict[str, Any]) -> Call:
        if "State" in payload:
            self.largest_state = max(self.largest_state, size(payload["State"]))
        began = time.monotonic()
        call = self._lambda.invoke(payload)
        self._calls.append((call, began))
        return call

    def tick(self, _: object = None) -> None:
        now = time.monotonic()
        if self._calls and self._calls[-1][0].ended.is_set():
            self.times.append(now - self._calls.pop()[1])
        if now - self._sampled >= SAMPLE_SECONDS:
            self._sampled = now
            self.memory = max(self.memory, self._lambda.peak_memory() or 0)

    def finish(self) -> None:
        self._sampled = 0.0
        self.tick()

    def ask(self) -> float:
        """Returns the seconds until the function refuses an empty request, without calling AWS."""
        began = time.monotonic()
        call = self._lambda.invoke({})
        call.ended.wait()
        return time.monotonic() - began


def run(
    arguments: Any, timeout: int, file: pathlib.Path, event: dict[str, Any], logs: pathlib.Path
) -> Figures:
    there = world.read(file)
    wanted = request.wanted(event)
    owner = there.owners[wanted.image_id]
    file = world.with_latency(file, arguments.latency, there.speed, logs)
    with sandbox.running(arguments.sandbox_bin, file, None, logs / "sandbox.log") as box:
        before = ask(box, "world")["accounts"]
        with function.running(
            arguments.rie_bin,
            arguments.function_bin,
            box.url,
            request.FUNCTION_REGION,
            there.function(owner),
            timeout,
            logs / "function.log",
        ) as lambda_:
            meter = Meter(lambda_)
            cold, warm = meter.ask(), meter.ask()
            end = Distribution(meter, box, list, [], print, meter.tick).run(event)
            meter.finish()
            processor = {
                name: processor_seconds(name)
                for name in (arguments.function_bin.name, arguments.sandbox_bin.name)
            }
        ledger = ask(box, "ledger")
        wrong = faults(end.status, end.reply, wanted, before, ask(box, "world")["accounts"], owner)
    return Figures(
        targets=len(wanted.targets),
        wall=end.seconds,
        inside=sum(meter.times),
        invocations=end.calls,
        longest=max(meter.times),
        operations=collections.Counter(call["operation"] for call in ledger),
        errors=collections.Counter(
            f"{call['operation']} {call['error']}" for call in ledger if call["error"]
        ),
        largest_state=meter.largest_state,
        memory=meter.memory,
        processor=processor[arguments.function_bin.name],
        sandbox_processor=processor[arguments.sandbox_bin.name],
        cold=cold,
        warm=warm,
        wrong=wrong,
    )


def faults(
    status: str, reply: Any, wanted: request.Request, before: Any, after: Any, owner: str
) -> list[str]:
    """Returns the faults of the result, by the reply and by the resources of each account."""
    wrong = (
        []
        if status == "Succeeded"
        else [f"the run ended as {status}: {reply.get('errorMessage', '')}"]
    )
    told = {(t["AccountId"], t["Region"]): t for t in reply.get("Result", {}).get("Targets", [])}
    for place in wanted.targets:
        target, (account, region) = told.get(place, {}), place
        if target.get("Status") != "Succeeded":
            wrong.append(
                f"{account} {region}: {target.get('Status', 'not in the reply')} "
                f"{target.get('Reason', '')}"
            )
        here = after[account].get(region, {"images": [], "snapshots": []})
        images = [image["id"] for image in here["images"] if image["state"] == "available"]
        if images != [target.get("ImageId")]:
            wrong.append(
                f"{account} {region}: has the AMIs {images}, "
                f"and the reply says {target.get('ImageId')}"
            )
        copies = sorted(snapshot["id"] for snapshot in here["snapshots"])
        if copies != sorted(target.get("Snapshots", {}).values()):
            wrong.append(
                f"{account} {region}: has the snapshots {copies}, "
                f"and the reply says {target.get('Snapshots')}"
            )
    # All permissions, grants and tags of the source account are as before. Only the ledger has
    # more: the run and its receipt.
    if without_buckets(after[owner]) != without_buckets(before[owner]):
        wrong.append("the source account is not as before: something is still shared")
    return wrong


def without_buckets(account: Any) -> Any:
    return {
        region: {kind: there for kind, there in things.items() if kind != "buckets"}
        for region, things in account.items()
    }


def ask(box: Sandbox, what: str) -> Any:
    with urllib.request.urlopen(f"{box.url}/_sandbox/{what}", timeout=LEDGER_SECONDS) as response:
        return json.load(response)


def processor_seconds(name: str) -> float:
    times = [
        child.cpu_times()
        for child in psutil.Process().children(recursive=True)
        if child.name() == name
    ]
    return sum(time_.user + time_.system for time_ in times)


def size(value: Any) -> int:
    return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())
