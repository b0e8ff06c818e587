"""Auto Scaling in a target: its service-linked role is made, and gets its grant, which goes with
the last copy."""

from . import world
from .scenario import scenario
from .test_custom_resource import resource, targets


def granted(fabric):
    here = fabric.sandbox("world")["accounts"][world.LAUNCHING].get(world.HOME, {})
    return [(grant["name"], grant["grantee_principal"]) for grant in here.get("grants", [])]


def launching(fabric):
    body = resource(
        fabric,
        "launching",
        Targets=targets(world.LAUNCHING),
        OnDelete="Deregister",
        ServiceLinkedRoles="autoscaling.amazonaws.com",
        CreateServiceLinkedRoles="true",
    )
    del body["Outputs"]["First"]
    created = fabric.create("launching", body)
    there = granted(fabric)
    return created, there, fabric.delete("launching"), granted(fabric)


@scenario(launching)
def test_a_launch_grant_lasts_as_long_as_the_copy(fabric, seen):
    role = (
        f"arn:aws:iam::{world.LAUNCHING}:role/aws-service-role/autoscaling.amazonaws.com/"
        "AWSServiceRoleForAutoScaling"
    )
    there = [("amiferry-launch-AWSServiceRoleForAutoScaling", role)]
    assert seen == ("CREATE_COMPLETE", there, "DELETE_COMPLETE", []), fabric.reasons("launching")
    assert fabric.opened("launching") == {}
