"""The source design's two resources that share without copying: launch permission while the stack
stands."""

import pytest

from . import world
from .scenario import scenario
from .test_custom_resource import answers, event_of, good, resource


def launch(fabric, name):
    return [permission["user"] for permission in fabric.opened(name).get("launch", [])]


def share(fabric, name, kind, **properties):
    before = launch(fabric, name)
    created = fabric.create(name, resource(fabric, name, kind, **properties))
    there = launch(fabric, name)
    return before, created, there, fabric.delete(name)


def one(fabric):
    return share(
        fabric,
        "shared",
        "Custom::ShareAutomation",
        TargetAccountId="222222222222",
        Region=world.HOME,
    )


@scenario(one)
def test_a_share_with_one_account_lasts_as_long_as_its_stack(fabric, seen):
    assert seen == ([], "CREATE_COMPLETE", ["222222222222"], "DELETE_COMPLETE"), fabric.reasons(
        "shared"
    )
    assert fabric.opened("shared") == {}


def several(fabric):
    accounts = ["222222222222", "333333333333"]
    return share(
        fabric,
        "shared-many",
        "Custom::MultiAccountAmiShare",
        TargetAccountIds=accounts,
        Region=world.HOME,
    )


@scenario(several)
def test_a_share_with_several_accounts_lasts_as_long_as_its_stack(fabric, seen):
    assert seen == ([], "CREATE_COMPLETE", ["222222222222", "333333333333"], "DELETE_COMPLETE"), (
        fabric.reasons("shared-many")
    )
    assert fabric.opened("shared-many") == {}


def by_event(fabric):
    seen = {}
    for name, image in (
        ("share-automation-create", "shared-event"),
        ("multi-account-share-create", "shared-many-event"),
    ):
        create = event_of(fabric, fabric.example(name), image)
        fabric.invoke(create)
        [created] = answers(fabric, create)
        there = launch(fabric, image)
        delete = create | {
            "RequestType": "Delete",
            "PhysicalResourceId": good(created)["PhysicalResourceId"],
        }
        delete |= {
            "ResponseURL": create["ResponseURL"] + "-delete",
            "RequestId": create["RequestId"][::-1],
        }
        fabric.invoke(delete)
        [deleted] = answers(fabric, delete)
        seen[image] = good(created)["Status"], there, good(deleted)["Status"]
    return seen


@scenario(by_event)
def test_the_examples_of_shares_work(fabric, seen):
    assert seen == {
        "shared-event": ("SUCCESS", ["222222222222"], "SUCCESS"),
        "shared-many-event": ("SUCCESS", ["222222222222", "333333333333"], "SUCCESS"),
    }
    assert fabric.opened("shared-event") == fabric.opened("shared-many-event") == {}


@pytest.mark.hindsight
def test_nothing_was_ever_public(fabric):
    here = fabric.sandbox("world")["accounts"]
    things = [
        thing
        for regions in here.values()
        for there in regions.values()
        for thing in there["images"] + there["snapshots"]
    ]
    assert len(things) > 50
    assert not [thing["id"] for thing in things if thing["public"]]
    assert not [
        call
        for call in fabric.sandbox("ledger")
        if "all" in call["params"].values() and call["operation"].startswith("Modify")
    ]
