"""EventBridge: images that become available, and copies that end. The test is AWS here (patch
1)."""

import json
import time

import pytest

from . import world
from .fabric import STACK, until
from .scenario import scenario
from .test_distribute import distribute

#: Seconds after which an event without an effect counts as ignored.
DELIVERY = 3


def state_change(fabric, name, state="available"):
    event = fabric.example("ami-state-change")
    arn = event["resources"][0].replace(event["detail"]["ImageId"], world.image_id(name))
    return event | {
        "resources": [arn],
        "detail": event["detail"] | {"ImageId": world.image_id(name), "State": state},
    }


def about(fabric, name):
    """The executions whose input names image `name`."""
    return [
        e
        for e in fabric.executions()
        if world.image_id(name) in fabric.execution(e["executionArn"])["input"]
    ]


def available(fabric):
    for _ in range(3):
        fabric.put_event(state_change(fabric, "event"))
    until(lambda: about(fabric, "event"))
    ended = fabric.ended(about(fabric, "event")[0]["executionArn"])
    fabric.put_event(state_change(fabric, "event"))  # late, as they can be
    again = fabric.invoke(state_change(fabric, "event"))  # as a dead letter is sent
    time.sleep(DELIVERY)
    return ended, again


@scenario(available)
def test_a_tagged_image_is_distributed_once_however_often_its_event_arrives(fabric, seen):
    """The request comes from the SSM parameter that the stack names."""
    ended, again = seen
    assert ended["status"] == "SUCCEEDED", ended
    assert again == {"Execution": ended["name"]}
    assert len(about(fabric, "event")) == 1
    for account in ("222222222222", "333333333333"):
        assert len(fabric.copies("event", account)) == 1
    assert fabric.copies("event", "444444444444") == []
    assert fabric.opened("event") == {}


def unwanted(fabric):
    told = [("untagged", "available"), ("copied", "available")]
    told += [("event", state) for state in ("failed", "deregistered", "disabled")]
    replies = [fabric.invoke(state_change(fabric, name, state)) for name, state in told]
    for name, state in told:
        fabric.put_event(state_change(fabric, name, state))
    time.sleep(DELIVERY)
    return replies


@scenario(unwanted)
def test_no_other_image_is_distributed(fabric, seen):
    """Sends events of an untagged image, of a copy of ours with its source's tag, and of a missing
    image."""
    assert [reply["Status"] for reply in seen] == ["Nothing"] * 5
    assert "amiferry:distribute=true" in seen[0]["Why"]
    assert "copy that amiferry made" in seen[1]["Why"]
    assert all("available" in reply["Why"] for reply in seen[2:])
    assert about(fabric, "untagged") == about(fabric, "copied") == []


def notification(fabric, account):
    event = fabric.example("snapshot-notification")
    return event | {"account": account}


def waits_of(fabric, arn):
    """Returns how the only child's waits for a token ended: ministack's history of it has tasks
    only."""
    [child] = fabric.children(arn)
    return [event["type"] for event in fabric.history(child["executionArn"])]


def token(fabric, arn):
    """Returns the wait of an execution's only target, if it waits."""
    [child] = until(lambda: fabric.children(arn))
    state = json.loads(fabric.execution(child["executionArn"])["input"])["State"]
    [target] = state["Targets"]
    return fabric.waiting().get(
        f"/amiferry/waiting/{STACK}/{target['AccountId']}/{target['Region']}/{state['Run']}"
    )


def woken(fabric):
    """Copies take a minute; after forty seconds the function leaves waiting to the machine."""
    arn = fabric.start(distribute("woken", ["222222222222"]))
    first = until(lambda: token(fabric, arn))
    before = waits_of(fabric, arn)
    fabric.put_event(notification(fabric, "222222222222"))
    until(lambda: token(fabric, arn) not in (first, None), 10, 0.02)
    after = waits_of(fabric, arn)
    return before, after, fabric.ended(arn)


@scenario(woken)
def test_a_notification_in_the_targets_account_wakes_the_waiting_child(fabric, seen):
    """From the target's bus over both templates' rules to the child. Leans on patches 3, 11 and
    13."""
    before, after, ended = seen
    assert before[-1] == "TaskScheduled", "it waited"
    assert after[len(before) :][:1] == ["TaskSucceeded"], "and was woken, not timed out"
    assert ended["status"] == "SUCCEEDED"
    assert len(fabric.copies("woken", "222222222222")) == 1
    assert fabric.opened("woken") == {}


def lost(fabric):
    arn = fabric.start(distribute("lost", ["444444444444"], TargetRegions=["us-east-1"]))
    until(lambda: token(fabric, arn))
    fabric.put_event(notification(fabric, "222222222222"))  # of another account
    return fabric.ended(arn)


@scenario(lost)
def test_a_lost_notification_costs_only_time(fabric, seen):
    """Leans on patch 3."""
    assert seen["status"] == "SUCCEEDED", seen
    ends = waits_of(fabric, seen["executionArn"])
    assert any(kind in ("TaskTimedOut", "TaskFailed") for kind in ends[:-2]), (
        "a wait that nobody ended"
    )
    assert len(fabric.copies("lost", "444444444444")) == 1
    assert token(fabric, seen["executionArn"]) is None, "the parameter is gone"
    assert fabric.opened("lost") == {}


def nobody_waits(fabric):
    return fabric.invoke(notification(fabric, "333333333333"))


@scenario(nobody_waits)
def test_a_notification_without_a_waiting_child_is_ignored(seen):
    assert seen == {"Woken": 0}


@pytest.mark.hindsight
def test_no_child_but_a_stopped_one_is_left_waiting(fabric):
    """A stopped child leaves its token: the next run overwrites it, or it is dead."""
    left = {name.split("/")[4] for name in fabric.waiting()}
    assert left <= {"222222222222"}, fabric.waiting()


@pytest.mark.hindsight
def test_no_event_was_lost(fabric):
    assert fabric.empty(fabric.outputs()["DeadLettersUrl"])


#: Callers as CloudTrail writes them: a person, the root user and the function.
PERSON = {"type": "AssumedRole", "arn": "arn:aws:sts::111111111111:assumed-role/admin/jo"}
SESSION = {"sessionContext": {"sessionIssuer": {"arn": "arn:aws:iam::111111111111:role/admin"}}}
ROOT = {"type": "Root", "arn": "arn:aws:iam::111111111111:root"}
FUNCTION = {
    "arn": f"arn:aws:sts::111111111111:assumed-role/{STACK}/{STACK}",
    "sessionContext": {"sessionIssuer": {"arn": f"arn:aws:iam::111111111111:role/{STACK}"}},
}


def called(fabric, number, name, who, asked, **more):
    fabric.put_event(
        {
            "source": "aws.kms" if "keyId" in asked else "aws.ec2",
            "detail-type": "AWS API Call via CloudTrail",
            "account": world.SOURCE,
            "region": world.HOME,
            "resources": [],
            "detail": {
                "eventName": name,
                "eventID": f"call-{number}",
                "eventTime": "2026-01-01T00:00:00Z",
                "sourceIPAddress": "192.0.2.1",
                "userIdentity": who,
                "requestParameters": asked,
            }
            | more,
        }
    )


def sharing(fabric):
    snapshot, key = {"snapshotId": "snap-0123456789abcdef0"}, {"keyId": "arn:aws:kms:key"}
    calls = [
        ("ModifySnapshotAttribute", FUNCTION, snapshot),
        ("CreateGrant", FUNCTION, key),
        ("CreateGrant", PERSON | SESSION | {"invokedBy": "ec2.amazonaws.com"}, key),
        ("CreateSnapshot", PERSON | SESSION, {"volumeId": "vol-0123456789abcdef0"}),
        ("ModifySnapshotAttribute", PERSON | SESSION, snapshot),
        ("PutKeyPolicy", ROOT, key),
    ]
    refused = {"errorCode": "Client.UnauthorizedOperation"}
    called(fabric, "refused", "ModifySnapshotAttribute", PERSON | SESSION, snapshot, **refused)
    for number, (name, who, asked) in enumerate(calls):
        called(fabric, number, name, who, asked)


@scenario(sharing)
def test_the_topic_is_told_when_somebody_else_shares(fabric, seen):
    """Leans on patch 1: the test is CloudTrail."""
    fabric.notices("event call-5 ")
    told = dict.fromkeys(message for _, message in fabric.notices("amiferry did not do this"))
    assert len(told) == 2
    [by_person] = [message for message in told if "call-4" in message]
    assert "ModifySnapshotAttribute on snap-0123456789abcdef0 in 111111111111" in by_person
    assert f"by {PERSON['arn']}" in by_person
    assert "from 192.0.2.1 at 2026-01-01T00:00:00Z" in by_person
    [by_root] = [message for message in told if "call-5" in message]
    assert "PutKeyPolicy on arn:aws:kms:key" in by_root
