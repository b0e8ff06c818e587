"""Executions that end before their time: whatever they left open is closed.

The altered machines are the stack's with one thing wrong. AWS's own faults of the same kind (a role
that lost a permission, an object that is gone) reach the machine as the same errors.
"""

import json

import pytest

from . import schema, world
from .fabric import until
from .scenario import scenario
from .test_distribute import distribute

GONE = f"arn:aws:lambda:{world.HOME}:{world.SOURCE}:function:gone"


def stopped(fabric):
    arn = fabric.start(distribute("stopped", ["222222222222"]))
    until(lambda: fabric.snapshots("stopped", "222222222222"))
    before = fabric.opened("stopped")
    fabric.machines.stop_execution(executionArn=arn)
    until(lambda: not fabric.opened("stopped"))
    return before, fabric.execution(arn)


@scenario(stopped)
def test_a_stopped_execution_is_closed_by_its_event(fabric, seen):
    """ministack puts the event onto the bus by itself; the rule of template.yaml brings it to the
    function."""
    before, execution = seen
    assert set(before) == {"grants", "shared"}
    assert execution["status"] == "ABORTED"
    assert fabric.opened("stopped") == {}


def broken_child(fabric):
    def change(definition):
        definition["States"]["Copy"]["ItemProcessor"]["States"]["Advance"]["Parameters"][
            "FunctionName"
        ] = GONE

    machine = fabric.altered("broken-child", change)
    return fabric.ended(fabric.start(distribute("child", world.MANY[:24]), machine))


@scenario(broken_child)
def test_children_that_fail_for_good_are_concluded(fabric, seen, figure):
    """Leans on patch 2 for the refusal. A state limits their number, because each adds its
    failure."""
    assert (seen["status"], seen["error"]) == ("FAILED", "Failed")
    assert "AccessDenied" in seen["cause"], "the cause is reported"
    children = fabric.children(seen["executionArn"])
    assert [child["status"] for child in children] == ["SUCCEEDED"] * 24
    largest = max(
        line["bytes"] for line in fabric.calls("size") if line["execution"] == seen["executionArn"]
    )
    figure(f"24 targets that all fail: the largest payload is {largest:,} bytes of 262,144")
    assert largest < 100_000
    output = json.loads(fabric.execution(children[0]["executionArn"])["output"])
    assert set(output) == {"State", "Error"}
    assert fabric.opened("child") == {}


def broken_map(fabric):
    def change(definition):
        copy = definition["States"]["Copy"]
        copy["ItemReader"] = definition["States"]["Copy many"]["ItemReader"] | {
            "Parameters": {"Bucket": fabric.bucket, "Key": "runs/gone"}
        }

    return fabric.ended(
        fabric.start(distribute("map", ["222222222222"]), fabric.altered("broken-map", change))
    )


@scenario(broken_map)
def test_a_map_that_fails_is_concluded(fabric, seen):
    assert (seen["status"], seen["error"]) == ("FAILED", "Failed")
    assert "States.ItemReaderFailed" in seen["cause"]
    assert fabric.opened("map") == {}


def unconcluded(fabric):
    def change(definition):
        conclude = definition["States"]["Conclude"]
        conclude["Parameters"]["FunctionName"] = GONE
        for retry in conclude["Retry"]:
            retry["MaxAttempts"] = 1

    return fabric.ended(
        fabric.start(
            distribute("unconcluded", ["222222222222"]), fabric.altered("unconcluded", change)
        )
    )


@scenario(unconcluded)
def test_an_execution_that_cannot_conclude_says_that_the_source_may_be_open(fabric, seen):
    assert seen["status"] == "FAILED"
    assert "AccessDenied" in seen["error"]
    [(subject, message)] = fabric.notices(seen["executionArn"])
    assert "could not be concluded" in subject
    assert "openings/" in message
    [event] = fabric.announced(seen["executionArn"])
    schema.validate(event)
    assert event["detail-type"] == "Opening Left"
    assert event["detail"]["Error"] == seen["error"]
    assert len(fabric.copies("unconcluded", "222222222222")) == 1, "the copy was done"


def running(fabric):
    arn = fabric.start(distribute("running", ["222222222222"]))
    until(lambda: fabric.snapshots("running", "222222222222"))
    return arn


@pytest.mark.alone
@scenario(running)
def test_the_sweeper_closes_dead_runs_only(fabric, seen, scenarios):
    assert scenarios[unconcluded].result()["status"] == "FAILED"
    assert set(fabric.opened("unconcluded")) == {"grants", "shared"}
    before = fabric.opened("running")
    assert set(before) == {"grants", "shared"}
    reply = fabric.invoke(fabric.example("sweep"))
    assert len(reply["Closed"]) == 1
    assert len(reply["Alive"]) == 1
    assert fabric.opened("unconcluded") == {}
    assert fabric.opened("running") == before
    fabric.machines.stop_execution(executionArn=seen)
    until(lambda: not fabric.opened("running"))


def unknown(fabric):
    return None


@scenario(unknown)
def test_the_end_of_an_execution_that_left_nothing_open_does_nothing(fabric, seen):
    assert fabric.invoke(fabric.example("execution-status-change")) == {
        "Closed": [],
        "Alive": [],
        "Verified": [],
    }


@scenario(unknown)
def test_the_schedule_sends_a_sweep(fabric, seen):
    rules = fabric.resources()
    [target] = fabric.events.list_targets_by_rule(Rule=rules["SweepRule"].rpartition("|")[2])[
        "Targets"
    ]
    assert json.loads(target["Input"]) == fabric.example("sweep")
