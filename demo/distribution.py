"""Drives one event to its end the way AWS would, and kills the function on the way.

A direct call is repeated with the returned `State` after `WaitSeconds`, as the state machine does.
A custom resource's event is delivered once. The invocations that the function asks Lambda for
follow, until the answer has been PUT; for an event of EventBridge, until there are none. A call
that died is repeated unchanged, as by Step Functions' `Retry` and Lambda's asynchronous retry.
"""

from __future__ import annotations

import dataclasses
import json
import signal
import time
import uuid
from collections.abc import Callable
from typing import Any

from .function import Call, Function
from .sandbox import Sandbox

GIVE_UP_SECONDS = 300
MOST_CRASHES = 10
SETTLE_SECONDS = 0.15


class Failed(Exception):
    """The distribution did not end."""


@dataclasses.dataclass
class Kill:
    """One SIGKILL for the function's process, once `due`."""

    moment: str
    due: Callable[[list[dict[str, Any]]], bool]
    """The demo asks all the time during a call, with the AWS calls of the function so far."""
    with_state: bool
    """Whether only a call that goes on from a `State` may be killed."""
    pid: int | None = None


@dataclasses.dataclass
class End:
    status: str
    """`Succeeded` and so on, or the `errorType` of a refused call."""
    image_ids: dict[tuple[str, str], str]
    """The AMI of each account and Region."""
    reply: dict[str, Any]
    calls: int
    seconds: float


@dataclasses.dataclass
class Distribution:
    function: Function
    sandbox: Sandbox
    function_made: Callable[[], list[dict[str, Any]]]
    """Returns the AWS calls that the function has made so far."""
    kills: list[Kill]
    say: Callable[[str], None]
    tick: Callable[[dict[str, Any] | None], None]
    """The demo calls this often, with the last `State`."""
    give_up_seconds: float = GIVE_UP_SECONDS
    state: dict[str, Any] | None = None
    calls: int = 0
    crashes: int = 0

    def run(self, event: dict[str, Any]) -> End:
        began = time.monotonic()
        self._give_up = began + self.give_up_seconds
        if "RequestType" in event:
            end = self._custom_resource(event)
        elif "source" in event:
            end = self._eventbridge(event)
        else:
            end = self._task(event)
        return dataclasses.replace(end, calls=self.calls, seconds=time.monotonic() - began)

    def _task(self, event: dict[str, Any]) -> End:
        payload = event
        while True:
            reply = self._call(payload)
            if "errorType" in reply:
                return refused(reply)
            if reply.get("Status") != "Continue":
                targets = reply.get("Result", {}).get("Targets", [])
                images = {
                    (t["AccountId"], t["Region"]): t["ImageId"] for t in targets if "ImageId" in t
                }
                # The reply of a sweep lists closings, and has no status.
                return End(reply.get("Status", "Swept"), images, reply, 0, 0)
            self.state = reply["State"]
            payload = {"State": self.state}
            self._wait(reply["WaitSeconds"])

    def _eventbridge(self, event: dict[str, Any]) -> End:
        reply = self._call(event)
        while isinstance(reply, dict) and reply.get("Status") == "Continue":
            for payload in self.sandbox.take_invocations():
                reply = self._call(payload)
            self._wait(0.1)
        if isinstance(reply, dict) and "errorType" in reply:
            return refused(reply)
        # Without a state machine there is no execution to wake or to tidy up after.
        told = reply if isinstance(reply, dict) else {}
        return End(told.get("Status", "Nothing"), {}, told, 0, 0)

    def _custom_resource(self, event: dict[str, Any]) -> End:
        name = uuid.uuid4().hex
        reply = self._call(event | {"ResponseURL": self.sandbox.answer_url(name)})
        if isinstance(reply, dict) and "errorType" in reply:
            return refused(reply)
        while not (
            answers := [
                answer for answer in self.sandbox.answers() if answer["path"].endswith(name)
            ]
        ):
            due = self.sandbox.take_invocations()
            for payload in due:
                self._call(payload)
            if not due:
                self._wait(0.1)
        answer = json.loads(answers[-1]["body"])
        images = {}
        for key, value in answer.get("Data", {}).items():
            if key.startswith("Image."):
                _, account, region = key.split(".")
                images[account, region] = value
        return End(
            {"SUCCESS": "Succeeded", "FAILED": "Failed"}[answer["Status"]], images, answer, 0, 0
        )

    def _call(self, payload: dict[str, Any]) -> Any:
        """Calls until the function has answered, however often it is killed."""
        while True:
            self.calls += 1
            made_before = len(self.function_made())
            call = self.function.invoke(payload)
            while not call.ended.wait(0.004):
                self._accidents(call, made_before)
                self.tick(self.state)
                self._check_time()
            if not call.crashed:
                break
            self.crashes += 1
            if self.crashes > MOST_CRASHES:
                raise Failed(f"the function died {self.crashes} times, last with {call.error}")
            self.say(f"The call ended with {call.error}")
            self.say(
                "Calling again with what was last returned: "
                + ("its State" if "State" in payload else "nothing yet, so the same event")
            )
        return call.reply

    def _accidents(self, call: Call, made_before: int) -> None:
        for kill in [kill for kill in self.kills if kill.pid is None]:
            if kill.with_state > ("State" in call.payload) or not kill.due(
                self.function_made()[made_before:]
            ):
                continue
            # Stopped first: AWS carries out what was sent, and the function learns nothing of it
            # any more.
            pid = self.function.signal(signal.SIGSTOP)
            if call.ended.wait(SETTLE_SECONDS):
                self.function.signal(signal.SIGCONT)
                return
            made = self.function_made()[made_before:]
            self.function.signal(signal.SIGKILL)
            kill.pid = pid
            self.say(
                f"SIGKILL to process {pid} when {kill.moment}, "
                f"{len(made)} AWS calls into this invocation"
            )
            return

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.tick(self.state)
            self._check_time()
            time.sleep(0.05)

    def _check_time(self) -> None:
        if time.monotonic() > self._give_up:
            raise Failed(
                f"no end after {self.give_up_seconds:g} s; "
                "--give-up says how long to wait, --speed how fast the sandbox is"
            )


def refused(reply: dict[str, Any]) -> End:
    """Returns the end of a call that the function answered with an error of its own."""
    return End(reply["errorType"], {}, reply, 0, 0)
