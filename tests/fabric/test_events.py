"""EventBridge: images that become available, and copies that end. The test is AWS here (patch
1)."""

import json
import time

import pytest

from . import template, world
from .fabric import KEY_USERS, STACK, client, until
from .scenario import scenario
from .test_distribute import distribute, three_targets

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


def enrolled(fabric):
    events = client(fabric.url, "events")
    [target] = events.list_targets_by_rule(Rule=fabric.resources()["EnrollRule"])["Targets"]
    return fabric.invoke(json.loads(target["Input"]))


@scenario(enrolled)
def test_the_schedule_asks_for_targets_without_the_channel(seen):
    """ministack's Systems Manager does not know the sandbox's sessions: it is asked, no more."""
    assert seen["Applied"] is True, seen
    [channel] = seen["Channels"]
    assert channel["Parameter"] == "/golden/web"
    asked = [(one["AccountId"], one["Status"]) for one in channel["Targets"]]
    assert asked == [("222222222222", "Unread"), ("333333333333", "Unread")]
    assert all("GetParameterHistory" in one["Reason"] for one in channel["Targets"])


def test_members_that_join_are_asked_for_as_by_the_schedule():
    resources = template.read(template.STACK)["Resources"]
    by_schedule, by_event = (resources[name] for name in ("EnrollRule", "MemberRule"))
    assert by_event["Properties"]["Targets"] == by_schedule["Properties"]["Targets"]
    names = by_event["Properties"]["EventPattern"]["detail"]["eventName"]
    assert names == ["AccountJoinedOrganization", "MoveAccount"]


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


# ------------------------------------------------------------------------------ use of the keys


def session(role, name="jo", **more):
    """The identity of a role's session, as CloudTrail writes it in the role's own account."""
    return {
        "type": "AssumedRole",
        "principalId": f"AROAEXAMPLE:{name}",
        "arn": f"arn:aws:sts::{world.SOURCE}:assumed-role/{role}/{name}",
        "accountId": world.SOURCE,
        "sessionContext": {"sessionIssuer": {"arn": f"arn:aws:iam::{world.SOURCE}:role/{role}"}},
    } | more


def user(name):
    arn = f"arn:aws:iam::{world.SOURCE}:user/{name}"
    return {"type": "IAMUser", "principalId": "AIDAX", "arn": arn, "accountId": world.SOURCE}


def elsewhere(account, **more):
    """The identity of another account's principal, as CloudTrail writes it in the account of the
    key."""
    return {"type": "AWSAccount", "principalId": "AROAX:jo", "accountId": account} | more


def use(number, name, who, key=None, **more):
    """CloudTrail's event of the use of a key."""
    return {
        "source": "aws.kms",
        "detail-type": "AWS API Call via CloudTrail",
        "account": world.SOURCE,
        "region": world.HOME,
        "resources": [],
        "detail": {
            "eventName": name,
            "eventID": f"use-{number}",
            "eventTime": "2026-01-01T00:00:00Z",
            "sourceIPAddress": "192.0.2.1",
            "userIdentity": who,
            "readOnly": True,
            "resources": [{"accountId": world.SOURCE, "ARN": key or world.key_arn("three")}],
        }
        | more,
    }


THROUGH_EC2 = {"invokedBy": "ec2-frontend-api.amazonaws.com"}
FOREIGN = "999999999999"
#: Events that the rule keeps out, each with the place of the filter that does.
KEPT_OUT = {
    "a target's copy": ("$or/0", use(0, "ReEncrypt", elsewhere("222222222222", **THROUGH_EC2))),
    "a target's call": ("$or/0", use(1, "Decrypt", elsewhere("444444444444"))),
    "the function": ("$or/1/sessionIssuer", use(2, "Decrypt", session(STACK))),
    "an instance": (
        "$or/1/sessionIssuer",
        use(3, "Decrypt", session("aws:ec2-infrastructure", "i-0123456789abcdef0")),
    ),
    "EC2 for a person": (
        "$or/1/invokedBy",
        use(4, "GenerateDataKeyWithoutPlaintext", session("admin", **THROUGH_EC2)),
    ),
    "a named role": ("$or/1/sessionIssuer", use(5, "Decrypt", session("builder"))),
    "a named user": ("$or/1/arn", use(6, "Decrypt", user("auditor"))),
    "another account's key": (
        "resources",
        use(7, "Decrypt", user("jo"), key=f"arn:aws:kms:{world.HOME}:{FOREIGN}:key/1234abcd"),
    ),
    "a refused call": (
        "errorCode",
        use(8, "Decrypt", user("jo"), errorCode="AccessDenied"),
    ),
    "a look at the key": ("eventName", use(9, "DescribeKey", user("jo"))),
}
TOLD = [
    use(20, "Decrypt", session("admin")),
    use(21, "GenerateDataKey", user("jo")),
    use(22, "ReEncrypt", elsewhere(FOREIGN, **THROUGH_EC2)),
    use(23, "Encrypt", elsewhere(FOREIGN)),
]


def key_use(fabric):
    for event in [event for _, event in KEPT_OUT.values()] + TOLD:
        fabric.put_event(event)


@scenario(key_use)
def test_the_topic_is_told_when_somebody_outside_the_workflow_uses_a_source_key(fabric, seen):
    """Leans on patches 1, 16 and 17: the test is CloudTrail."""
    fabric.notices("event use-23 ")
    told = dict.fromkeys(message for _, message in fabric.notices("outside amiferry's workflow"))
    ids = {message.partition("It is event ")[2].partition(" ")[0] for message in told}
    assert ids == {event["detail"]["eventID"] for event in TOLD}
    [by_session] = [message for message in told if "use-20" in message]
    assert f'Decrypt"\n"with {world.key_arn("three")} ' in by_session, by_session
    assert f"by arn:aws:sts::{world.SOURCE}:assumed-role/admin/jo (AROAEXAMPLE:jo)" in by_session
    [by_stranger] = [message for message in told if "use-22" in message]
    assert f"(AROAX:jo) of account {FOREIGN} from 192.0.2.1 at 2026-01-01T00:00:00Z" in by_stranger


def key_use_pattern(fabric):
    name = fabric.resources()["ForeignKeyUseRule"].rpartition("|")[2]
    return json.loads(fabric.events.describe_rule(Name=name)["EventPattern"])


def matches(fabric, pattern, event):
    whole = event | {"id": "1", "version": "0", "time": "2026-01-01T00:00:00Z"}
    return fabric.events.test_event_pattern(
        EventPattern=json.dumps(pattern), Event=json.dumps(whole)
    )["Result"]


def without(pattern, place):
    """The pattern with one of its filters taken out."""
    pattern = json.loads(json.dumps(pattern))
    detail = pattern["detail"]
    other, own = (branch["userIdentity"] for branch in detail["$or"])
    there, name = {
        "$or/0": (other, "accountId"),
        "$or/1/sessionIssuer": (own, "sessionContext"),
        "$or/1/invokedBy": (own, "invokedBy"),
        "$or/1/arn": (own, "arn"),
    }.get(place, (detail, place))
    there[name] = [{"exists": True}, {"exists": False}]
    return pattern


@pytest.mark.parametrize("case", KEPT_OUT)
def test_each_event_is_kept_out_by_the_filter_that_is_for_it(fabric, case):
    place, event = KEPT_OUT[case]
    pattern = key_use_pattern(fabric)
    assert not matches(fabric, pattern, event)
    assert matches(fabric, without(pattern, place), event)


#: The calls that EC2 makes to KMS for a principal that copies an encrypted snapshot.
OF_A_COPY = ("Decrypt", "ReEncrypt", "GenerateDataKeyWithoutPlaintext")


def uses(call, name):
    """The uses of the key of image `name` that a call in the sandbox's ledger stands for."""
    account, params = call["principal"].split(":")[4], call["params"]
    own = account == world.SOURCE
    who = session(*call["principal"].split("/")[1:]) if own else elsewhere(account)
    if params.get("KeyId") == world.key_arn(name):
        return [use("ledger", call["operation"], who, world.key_arn(name))]
    if call["operation"] == "CopySnapshot" and params["SourceSnapshotId"] in world.snapshot_ids(
        name
    ):
        return [use("ledger", kind, who, world.key_arn(name)) for kind in OF_A_COPY]
    return []


@scenario(three_targets)
def test_a_distribution_uses_its_source_key_without_a_notice(fabric, seen):
    """The sandbox's ledger has the calls of the run. EC2's calls for a copy are added here, as the
    EBS guide lists them."""
    calls = [call for call in fabric.sandbox("ledger") if call["outcome"] == "ok"]
    events = [event for call in calls for event in uses(call, "three")]
    users = {event["detail"]["userIdentity"]["accountId"] for event in events}
    assert users == {world.SOURCE, *world.TARGETS}
    pattern = key_use_pattern(fabric)
    assert not any(matches(fabric, pattern, event) for event in events)
    for event in events:
        event["detail"]["userIdentity"]["accountId"] = FOREIGN
    told = {event["detail"]["eventName"] for event in events if matches(fabric, pattern, event)}
    assert told == set(OF_A_COPY)


def test_the_users_of_the_keys_are_the_named_ones(fabric):
    assert all(user in json.dumps(key_use_pattern(fabric)) for user in KEY_USERS)


@pytest.mark.parametrize("keys, accounts", [(1, 60), (3, 40)])
def test_the_pattern_holds_as_many_keys_and_accounts_as_documented(fabric, keys, accounts):
    """EventBridge takes 2,048 characters unless its quota is raised."""
    name = fabric.resources()["ForeignKeyUseRule"].rpartition("|")[2]
    text = fabric.events.describe_rule(Name=name)["EventPattern"]
    text = text.replace(world.SOURCE_KEYS, '"},{"wildcard":"'.join([world.key_arn("three")] * keys))
    text = text.replace('","'.join(world.TARGETS), '","'.join([FOREIGN] * accounts))
    text = text.replace('","' + '","'.join(KEY_USERS), "")
    assert text.count(FOREIGN) == accounts
    assert text.count("key/") == keys
    assert len(text) <= 2048
    longest = template.read(template.STACK)["Parameters"]["KeyUserAccountIds"]["MaxLength"]
    assert longest == 60 * len(f"{FOREIGN},") - 1
