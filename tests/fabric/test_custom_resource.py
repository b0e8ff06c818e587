"""CloudFormation's custom resources, whose ServiceToken is the deployed function: it starts the
machine, which answers.

ministack calls the function once and waits for the answer; AWS calls it asynchronously. That an
answer has no Content-Type and at most 4,096 bytes is patch 8, that a failed Create is deleted patch
7.
"""

import json
import uuid

import pytest

from . import world
from .fabric import STACK, until
from .scenario import scenario

TWO = ["222222222222", "333333333333"]


def resource(fabric, name, kind="Custom::AmiDistribution", **properties):
    """A stack with one distribution, whose outputs are what it answers."""
    properties = {
        "ServiceToken": fabric.function_arn,
        "ServiceTimeout": 600,
        "SourceImageId": world.image_id(name),
    } | properties
    outputs = {"Id": {"Ref": "Image"}, "RunId": {"Fn::GetAtt": ["Image", "RunId"]}}
    if kind == "Custom::AmiDistribution" and properties.get("Wait") != "false":
        outputs["ImageIds"] = {"Fn::GetAtt": ["Image", "ImageIds"]}
        outputs["First"] = {"Fn::GetAtt": ["Image", f"Image.222222222222.{world.HOME}"]}
    return {
        "Resources": {"Image": {"Type": kind, "Properties": properties}},
        "Outputs": {name: {"Value": value} for name, value in outputs.items()},
    }


def targets(*accounts):
    return [
        {
            "AccountId": account,
            "Region": world.TARGETS.get(account, world.HOME),
            "KmsKeyId": "alias/amis",
        }
        for account in accounts
    ]


def copies(fabric, name):
    return {
        account: [image["id"] for image in fabric.copies(name, account)]
        for account in world.TARGETS
    }


def life(fabric):
    """Each step with what came of it."""
    steps = {}

    def step(title, status):
        at = {name: copies(fabric, name) for name in ("life", "life-2")}
        steps[title] = {
            "status": status,
            "outputs": {} if title == "deleted" else fabric.outputs("life"),
        } | at

    def body(name, *accounts):
        return resource(fabric, name, Targets=targets(*accounts), OnDelete="Deregister")

    step("created", fabric.create("life", body("life", *TWO)))
    step("added", fabric.change("life", body("life", *TWO, "444444444444")))
    step("removed", fabric.change("life", body("life", "222222222222", "444444444444")))
    step("replaced", fabric.change("life", body("life-2", "222222222222", "444444444444")))
    step("deleted", fabric.delete("life"))
    return steps


@scenario(life)
def test_a_create_returns_the_images_as_outputs(fabric, seen):
    created = seen["created"]
    assert created["status"] == "CREATE_COMPLETE", fabric.reasons("life")
    first, second = created["life"]["222222222222"][0], created["life"]["333333333333"][0]
    assert created["outputs"]["First"] == first
    assert (
        created["outputs"]["ImageIds"]
        == f"222222222222/us-west-2={first},333333333333/us-west-2={second}"
    )
    assert created["outputs"]["Id"] == f"amiferry-{created['outputs']['RunId']}"


@scenario(life)
def test_a_changed_list_of_targets_updates_in_place(seen):
    added, removed = seen["added"], seen["removed"]
    assert added["status"] == removed["status"] == "UPDATE_COMPLETE"
    assert added["outputs"]["Id"] == removed["outputs"]["Id"] == seen["created"]["outputs"]["Id"]
    assert added["life"]["222222222222"] == seen["created"]["life"]["222222222222"], (
        "what is there stays"
    )
    assert len(added["life"]["444444444444"]) == 1
    assert removed["life"] == added["life"] | {"333333333333": []}, "OnDelete: Deregister"


@scenario(life)
def test_an_update_of_the_image_replaces_the_resource(seen):
    replaced = seen["replaced"]
    assert replaced["status"] == "UPDATE_COMPLETE"
    assert replaced["outputs"]["Id"] != seen["created"]["outputs"]["Id"]
    assert replaced["life"] == {account: [] for account in world.TARGETS}, (
        "the old resource is deleted"
    )
    assert [len(there) for there in replaced["life-2"].values()] == [1, 0, 1]


@scenario(life)
def test_a_delete_with_deregister_deletes_the_images(fabric, seen):
    assert seen["deleted"]["status"] == "DELETE_COMPLETE"
    for name in ("life", "life-2"):
        assert seen["deleted"][name] == {account: [] for account in world.TARGETS}
        assert fabric.opened(name) == {}
        assert not [
            snapshot for account in world.TARGETS for snapshot in fabric.snapshots(name, account)
        ]


def retained(fabric):
    created = fabric.create(
        "retained", resource(fabric, "retained", Targets=targets("222222222222"))
    )
    return created, copies(fabric, "retained"), fabric.delete("retained")


@scenario(retained)
def test_a_delete_with_retain_keeps_the_images(fabric, seen):
    created, before, deleted = seen
    assert (created, deleted) == ("CREATE_COMPLETE", "DELETE_COMPLETE")
    assert len(before["222222222222"]) == 1
    assert copies(fabric, "retained") == before
    assert fabric.opened("retained") == {}


def retagged(fabric):
    """The tags of the image and its snapshot, by ID, before and after an update of the tags."""
    seen = []
    for deploy, tags in (
        (fabric.create, {"Team": "red", "Stage": "test"}),
        (fabric.change, {"Team": "blue"}),
    ):
        body = resource(fabric, "retagged", Targets=targets("222222222222"), Tags=tags)
        status = deploy("retagged", body)
        made = fabric.copies("retagged", "222222222222") + fabric.snapshots(
            "retagged", "222222222222"
        )
        shown = {
            one["id"]: {name: one["tags"].get(name) for name in ("Team", "Stage")} for one in made
        }
        seen.append((status, shown))
    return seen


@scenario(retagged)
def test_an_update_of_tags_changes_them_in_place(fabric, seen):
    (created, before), (updated, after) = seen
    assert (created, updated) == ("CREATE_COMPLETE", "UPDATE_COMPLETE"), fabric.reasons("retagged")
    assert len(before) == 2, "an image and its snapshot"
    assert list(before.values()) == [{"Team": "red", "Stage": "test"}] * 2
    assert after == dict.fromkeys(before, {"Team": "blue", "Stage": None})


def refused(fabric):
    return fabric.create(
        "refused",
        resource(
            fabric, "refused", Targets=targets("222222222222", world.BROKEN), OnDelete="Deregister"
        ),
    )


@scenario(refused)
def test_a_create_that_fails_is_rolled_back(fabric, seen):
    assert seen == "ROLLBACK_COMPLETE"
    reasons = " ".join(fabric.reasons("refused"))
    assert world.BROKEN in reasons
    assert "DisabledException" in reasons
    assert copies(fabric, "refused") == {account: [] for account in world.TARGETS}
    assert fabric.opened("refused") == {}


def event_of(fabric, event, name, **properties):
    """An event as CloudFormation sends it, for image `name`, to be answered into the sandbox."""
    answer = f"{fabric.sandbox_url}/_sandbox/answers/{uuid.uuid4()}"
    given = {
        key: value
        for key, value in event["ResourceProperties"].items()
        if key not in ("SnapshotId", "SourceSnapshotId", "AmiId")
    }
    given |= {
        "ServiceToken": fabric.function_arn,
        "SourceImageId": world.image_id(name),
    } | properties
    stack = event["StackId"].replace("golden-image", f"golden-{name}")
    changed = {
        "ResponseURL": answer,
        "ResourceProperties": given,
        "StackId": stack,
        "RequestId": str(uuid.uuid4()),
    }
    return event | changed


def answers(fabric, event):
    """Returns the answers PUT to the event's ResponseURL, at least one."""
    path = event["ResponseURL"].partition("/answers")[2]

    def read():
        return [answer for answer in fabric.sandbox("answers") if answer["path"] == path]

    return until(read)


def good(answer):
    """An answer that S3 takes and CloudFormation reads."""
    assert answer["status"] == 200
    assert not answer["content_type"]
    assert len(answer["body"].encode()) <= 4096
    return json.loads(answer["body"])


def never_existed(fabric):
    event = fabric.example("custom-resource-delete")
    event = event_of(fabric, event, "life") | {"PhysicalResourceId": "amiferry-nothing"}
    fabric.invoke(event)
    return answers(fabric, event)


@scenario(never_existed)
def test_a_delete_of_a_resource_that_never_existed_succeeds(seen):
    [answer] = seen
    answer = good(answer)
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", "amiferry-nothing")


def twice(fabric):
    event = fabric.example("custom-resource-create")
    event = event_of(fabric, event, "twice")
    before = len(fabric.executions())
    replies = [fabric.invoke(event), fabric.invoke(event)]
    [answer] = answers(fabric, event)
    again = fabric.invoke(event)  # and once more, after its end
    return replies + [again], good(answer), before


@scenario(twice)
def test_an_event_delivered_twice_is_served_once(fabric, seen):
    """Leans on patch 6."""
    replies, answer, _ = seen
    assert replies[0] == replies[1] == replies[2]
    assert [e["name"] for e in fabric.executions()].count(replies[0]["Execution"]) == 1
    assert answer["Status"] == "SUCCESS"
    assert [len(there) for there in copies(fabric, "twice").values()] == [1, 1, 0]
    assert fabric.opened("twice") == {}


def not_waiting(fabric):
    status = fabric.create(
        "later", resource(fabric, "later", Targets=targets("222222222222"), Wait="false")
    )
    there = copies(fabric, "later")
    until(lambda: copies(fabric, "later")["222222222222"])
    until(lambda: not fabric.opened("later"))
    return status, there, fabric.outputs("later")


@scenario(not_waiting)
def test_a_resource_that_does_not_wait_is_answered_at_the_beginning(fabric, seen):
    status, there, outputs = seen
    assert status == "CREATE_COMPLETE"
    assert there["222222222222"] == [], "nothing was there yet"
    assert outputs["Id"] == f"amiferry-{outputs['RunId']}"


def orchestrated(fabric):
    """The source design's orchestrator stack: template.yaml with its parameters, and then with a
    unit instead of a list."""
    image = {"AmiId": world.image_id("template")}
    listed = fabric.update(
        **image, TargetAccountIds=",".join(TWO), TargetKmsKeyIds="alias/amis,alias/amis"
    )
    outputs, there = fabric.outputs(), copies(fabric, "template")
    unit = {
        "OrganizationalUnitIds": world.UNIT,
        "ExcludeAccountIds": "444444444444",
        "TargetKmsKeyIds": "alias/amis",
    }
    return listed, outputs, there, fabric.update(**image, **unit), fabric.update()


@pytest.mark.alone
def test_the_stack_distributes_an_image_of_its_own(fabric):
    listed, outputs, there, by_unit, back = orchestrated(fabric)
    assert {listed, by_unit, back} == {"UPDATE_COMPLETE"}, fabric.reasons(STACK)
    shown = [f"{account}/us-west-2={there[account][0]}" for account in TWO]
    assert outputs["OrchestrationResult"] == ",".join(shown)
    assert copies(fabric, "template") == there, (
        "OnDelete: Retain, and the third account of the unit is excluded"
    )
    assert fabric.opened("template") == {}


@pytest.mark.alone
def test_a_function_without_a_machine_serves_a_resource_by_itself(fabric):
    """Deployed by hand, as docs/operations.md shows: it waits, and invokes itself when its time is
    up."""
    configuration = fabric.functions.get_function_configuration(FunctionName=STACK)
    variables = configuration["Environment"]["Variables"]
    machine = "AMIFERRY_STATE_MACHINE_ARN"
    without = {name: value for name, value in variables.items() if name != machine}
    fabric.functions.update_function_configuration(
        FunctionName=STACK, Environment={"Variables": without}, Timeout=16
    )
    try:
        create = event_of(fabric, fabric.example("orchestrate-ami-copy-create"), "alone")
        fabric.invoke(create)
        # A function that invokes itself may not be alone: it tidies a minute after the closing.
        [answer] = answers(fabric, create)
    finally:
        fabric.functions.update_function_configuration(
            FunctionName=STACK,
            Environment={"Variables": variables},
            Timeout=configuration["Timeout"],
        )
    assert good(answer)["Status"] == "SUCCESS", answer
    assert [len(there) for there in copies(fabric, "alone").values()] == [1, 1, 0]
    assert fabric.opened("alone") == {}
    itself = [
        call
        for call in fabric.calls()
        if call["action"] == "lambda:InvokeFunction" and "/amiferry/" in call["principal"]
    ]
    assert itself, "the function continues by invoking itself"


@pytest.mark.hindsight
def test_every_answer_is_one_that_cloudformation_reads(fabric, figure):
    found = fabric.calls("answer")
    figure(
        f"{len(found)} answers to CloudFormation, the longest of "
        f"{max(answer['bytes'] for answer in found):,} bytes of 4,096"
    )
    assert len(found) >= 10
    assert not [answer for answer in found if answer["content_type"] or answer["bytes"] > 4096]


@pytest.mark.hindsight
def test_response_urls_appear_in_no_log_and_no_history(fabric):
    """A reader of a ResponseURL can answer in the function's place."""
    secrets = [answer["path"].rpartition("/")[2] for answer in fabric.calls("answer")]
    secrets += [answer["path"].rpartition("/")[2] for answer in fabric.sandbox("answers")]
    assert len(secrets) >= 10
    executions = fabric.executions()
    arns = [execution["executionArn"] for execution in executions]
    arns += [child["executionArn"] for arn in arns for child in fabric.children(arn)]
    told = [json.dumps(fabric.execution(arn), default=str) for arn in arns]
    told += [
        json.dumps(fabric.history(execution["executionArn"]), default=str)
        for execution in executions
    ]
    told += [*fabric.log(), fabric.output()]
    told += [subject + message for subject, message in fabric.notices("")]
    told = "\n".join(told)
    assert len(arns) >= len(secrets)
    assert "Custom::AmiDistribution" in told, "executions do show the event"
    assert [secret for secret in secrets if secret in told] == []
    kept = fabric.s3.list_objects_v2(Bucket=fabric.bucket, Prefix="answers/")
    assert kept.get("Contents", []) == [], "used, and deleted"
