"""The machine as a person or a pipeline starts it."""

import json
import os
import re

import pytest

from . import schema, template, world
from .fabric import until
from .scenario import scenario


def distribute(name, accounts, **more):
    keys = ["alias/amis"] * len(accounts)
    return {
        "Distribute": {
            "SourceImageId": world.image_id(name),
            "TargetAccountIds": accounts,
            "TargetKmsKeyIds": keys,
        }
        | more
    }


def three_targets(fabric):
    targets = [
        {"AccountId": account, "Region": region, "KmsKeyId": "alias/amis"}
        for account, region in world.TARGETS.items()
    ]
    arn = fabric.start(
        {"Distribute": {"SourceImageId": world.image_id("three"), "Targets": targets}}
    )
    return fabric.ended(arn)


@scenario(three_targets)
def test_each_target_gets_one_image_and_the_source_is_closed(fabric, seen):
    """Leans on patch 2: ministack asks no permission of a machine's role."""
    assert seen["status"] == "SUCCEEDED", seen
    result = json.loads(seen["output"])
    assert [target["Status"] for target in result["Targets"]] == ["Succeeded"] * 3
    for target in result["Targets"]:
        [image] = fabric.copies("three", target["AccountId"])
        assert image["id"] == target["ImageId"]
        assert image["state"] == "available"
        assert len(image["mapping"]) == 2
    assert fabric.opened("three") == {}
    assert not [name for name in fabric.waiting() if result["RunId"] in name]


def as_a_whole(fabric):
    arn = fabric.start(distribute("whole", list(world.TARGETS)[:1], Strategy="Image"))
    return fabric.ended(arn)


@scenario(as_a_whole)
def test_an_image_is_copied_as_a_whole_and_the_source_is_closed(fabric, seen):
    """Leans on patch 2."""
    assert seen["status"] == "SUCCEEDED", seen
    [target] = json.loads(seen["output"])["Targets"]
    [image] = fabric.copies("whole", target["AccountId"])
    assert (image["id"], image["state"]) == (target["ImageId"], "available")
    assert fabric.opened("whole") == {}
    receipt = json.loads(seen["output"])["Receipt"]
    assert "launchPermission" in [opening["What"] for opening in receipt]


@scenario(three_targets)
def test_the_outcome_of_an_execution_is_published(fabric, seen):
    [(subject, message)] = fabric.notices(world.image_id("three"))
    assert subject == f"amiferry Succeeded: {world.image_id('three')}, 3 of 3 targets"
    assert seen["name"] in message
    assert all(target in message for target in world.TARGETS)


@scenario(three_targets)
def test_programs_are_told_of_the_outcome_of_an_execution(fabric, seen):
    """Leans on patches 2 and 15."""
    [event] = fabric.announced(seen["executionArn"])
    schema.validate(event)
    assert event["detail-type"] == "Distribution Succeeded"
    detail = event["detail"]
    assert detail["SourceImageId"] == world.image_id("three")
    assert (detail["TargetCount"], detail["SucceededCount"]) == (3, 3)
    images = {target["AccountId"]: target["ImageId"] for target in detail["Targets"]}
    result = json.loads(seen["output"])
    assert images == {target["AccountId"]: target["ImageId"] for target in result["Targets"]}
    assert detail["RunId"] == result["RunId"]


@scenario(three_targets)
def test_the_history_of_an_execution_is_short(fabric, seen, figure):
    events = fabric.history(seen["executionArn"])
    children = [
        len(fabric.history(child["executionArn"]))
        for child in fabric.children(seen["executionArn"])
    ]
    figure(
        f"3 targets: a history of {len(events)} events, its children's of {children} (ministack "
        "counts their tasks only)"
    )
    assert len(children) == 3
    assert len(events) < 50


def many_targets(fabric):
    return fabric.ended(fabric.start(distribute("many", world.MANY)))


@scenario(many_targets)
def test_a_request_with_three_hundred_targets_passes_its_parts_through_the_bucket(
    fabric, seen, figure
):
    """Leans on patches 4 (256 KiB), 9 and 10 (ResultWriter)."""
    assert seen["status"] == "SUCCEEDED", seen
    result = json.loads(seen["output"])
    assert result["Count"] == len(world.MANY)
    body = fabric.s3.get_object(**result["ResultAt"])["Body"].read()
    targets = json.loads(body)["Targets"]
    assert {target["AccountId"] for target in targets if target["Status"] == "Succeeded"} == set(
        world.MANY
    )
    assert all(len(fabric.copies("many", account)) == 1 for account in world.MANY[::50])
    assert fabric.opened("many") == {}
    arn = seen["executionArn"]
    [event] = fabric.announced(arn)
    schema.validate(event)
    assert event["detail"]["TargetCount"] == event["detail"]["SucceededCount"] == len(world.MANY)
    assert "Targets" not in event["detail"]
    [run] = fabric.machines.list_map_runs(executionArn=arn)["mapRuns"]
    assert ":amiferry/ManyTargets:" in run["mapRunArn"]
    sizes = [
        (line["bytes"], line["state"]) for line in fabric.calls("size") if line["execution"] == arn
    ]
    (size, state), events = max(sizes), len(fabric.history(arn))
    figure(
        f"{len(world.MANY)} targets: a history of {events} events of 25,000; largest payload that "
        f"of {state}, {size:,} bytes of 262,144"
    )
    assert size < 200 * 1024
    assert events < 50


def one_of_two_fails(fabric):
    return fabric.ended(fabric.start(distribute("partly", ["222222222222", world.BROKEN])))


@scenario(one_of_two_fails)
def test_one_failing_target_fails_the_execution_but_not_the_other_target(fabric, seen):
    assert (seen["status"], seen["error"]) == ("FAILED", "PartiallySucceeded")
    assert len(fabric.copies("partly", "222222222222")) == 1
    assert fabric.copies("partly", world.BROKEN) == []
    assert fabric.opened("partly") == {}
    [(subject, message)] = fabric.notices(world.image_id("partly"))
    assert "1 of 2 targets" in subject
    assert "DisabledException" in message, "the reason"
    assert "enable alias/amis" in message, "the remedy"
    assert seen["cause"] == message
    [event] = fabric.announced(seen["executionArn"])
    schema.validate(event)
    assert event["detail-type"] == "Distribution PartiallySucceeded"
    [failed] = [t for t in event["detail"]["Targets"] if t["Status"] == "Failed"]
    assert failed["AccountId"] == world.BROKEN
    assert failed["Cause"]


#: Parts of a notice that differ from run to run, and what the pictured one has there.
NEW_EACH_TIME = [
    (r"(?<=execution )[0-9a-f-]{36}", "0f1e2d3c-4b5a-4697-8877-665544332211"),
    (r"(?<=request ID )[0-9a-f-]{36}", "00112233-4455-4677-8899-aabbccddeeff"),
    (r"ami-[0-9a-f]{17}(?=\n|$)", "ami-0fedcba9876543210"),
]


@scenario(one_of_two_fails)
def test_the_pictured_notice_is_the_one_that_the_topic_sends(fabric, seen):
    """With AMIFERRY_TABLES=1 the notice is written anew; `make pictures` draws it."""
    [(subject, message)] = fabric.notices(world.image_id("partly"))
    for pattern, value in NEW_EACH_TIME:
        message = re.sub(pattern, value, message)
    found = f"Subject: {subject}\n\n{message.rstrip()}\n"
    file = template.ROOT / "docs" / "pictures" / "notice.txt"
    if os.environ.get("AMIFERRY_TABLES"):
        file.write_text(found)
    assert file.read_text() == found


def failing_copies(fabric):
    return fabric.ended(fabric.start(distribute("failing", ["222222222222"])))


@scenario(failing_copies)
def test_copies_of_a_failed_target_are_deleted(fabric, seen):
    assert (seen["status"], seen["error"]) == ("FAILED", "Failed")
    assert "Internal error" in seen["cause"]
    assert (
        fabric.snapshots("failing", "222222222222")
        == fabric.copies("failing", "222222222222")
        == []
    )
    assert fabric.opened("failing") == {}


def by_unit(fabric):
    request = {
        "SourceImageId": world.image_id("unit"),
        "OrganizationalUnitIds": [world.ROOT],
        "TargetKmsKeyIds": ["alias/amis"],
    }
    return fabric.ended(fabric.start({"Distribute": request}))


def by_organization(fabric):
    request = {
        "SourceImageId": world.image_id("organization"),
        "OrganizationId": world.ORGANIZATION,
    }
    return fabric.ended(fabric.start({"Distribute": request | {"TargetKmsKeyIds": ["alias/amis"]}}))


@scenario(by_unit)
def test_a_unit_stands_for_its_accounts(fabric, seen):
    assert seen["status"] == "SUCCEEDED", seen
    assert {target["AccountId"] for target in json.loads(seen["output"])["Targets"]} == set(
        world.TARGETS
    )
    assert fabric.opened("unit") == {}


@scenario(by_organization)
def test_an_organization_stands_for_its_accounts(fabric, seen):
    assert seen["status"] == "SUCCEEDED", seen
    assert {target["AccountId"] for target in json.loads(seen["output"])["Targets"]} == set(
        world.TARGETS
    )
    assert fabric.opened("organization") == {}


def bad_words(fabric):
    return fabric.ended(fabric.start({"Distribute": {"SourceImage": "ami-0123456789abcdef0"}}))


@scenario(bad_words)
def test_a_wrong_request_fails_by_name(fabric, seen):
    assert (seen["status"], seen["error"]) == ("FAILED", "Failed")
    assert "InvalidRequest" in seen["cause"]
    assert "SourceImage" in seen["cause"]


@pytest.mark.alone
def test_an_execution_survives_a_killed_function(fabric):
    """The processes end as on a host that dies; the state machine repeats the call."""
    arn = fabric.start(distribute("killed", ["222222222222", "333333333333"]))
    until(lambda: any(s["state"] == "pending" for s in fabric.snapshots("killed", "222222222222")))
    assert fabric.kill() > 0
    # The first call may have copied too: the run tidies a minute after the closing.
    ended = fabric.ended(arn)
    assert ended["status"] == "SUCCEEDED", ended
    for account in ("222222222222", "333333333333"):
        assert len(fabric.copies("killed", account)) == 1
        assert len(fabric.snapshots("killed", account)) == 1
    assert fabric.opened("killed") == {}
