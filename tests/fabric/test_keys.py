"""Ways to the source's keys on request: statements in key policies, and a copy under another key
first."""

from . import world
from .fabric import until
from .scenario import scenario
from .test_distribute import distribute

ACCOUNTS = ["222222222222", "333333333333"]


def by_policy(fabric):
    before = fabric.key_policy("policy")
    arn = fabric.start(distribute("policy", ACCOUNTS, KeyAccess="Policy"))
    there = until(lambda: fabric.added_statements("policy"))
    return before, there, fabric.ended(arn)


@scenario(by_policy)
def test_a_key_policy_is_as_before_once_the_copy_ended(fabric, seen):
    before, there, ended = seen
    assert there, "statements while it copies"
    assert ended["status"] == "SUCCEEDED", ended
    assert all(len(fabric.copies("policy", account)) == 1 for account in ACCOUNTS)
    assert fabric.key_policy("policy") == before
    assert fabric.opened("policy") == {}


def under_aws_ebs(fabric):
    arn = fabric.start(distribute("managed", ACCOUNTS, ReencryptKmsKeyId=world.key_arn("managed")))
    staged = until(lambda: fabric.snapshots("managed", world.SOURCE))
    return staged, fabric.ended(arn)


@scenario(under_aws_ebs)
def test_snapshots_that_cannot_be_shared_are_staged(fabric, seen):
    staged, ended = seen
    assert {snapshot["key"] for snapshot in staged} == {world.key_arn("managed")}
    assert ended["status"] == "SUCCEEDED", ended
    for account in ACCOUNTS:
        assert len(fabric.copies("managed", account)) == 1
        assert len(fabric.snapshots("managed", account)) == 2
    assert fabric.opened("managed") == {}, "what was copied in the source account is gone as well"
