"""Organizations, and the launch permissions of its members."""

import pytest

from clients import SESSION, refused
from names import (
    CLOSING,
    CONSUMER,
    GOLDEN,
    HOME,
    MANAGEMENT,
    ORGANIZATION,
    PRODUCER,
    PRODUCTION,
    ROOT_ID,
    SLEEPING,
    WORKLOADS,
)


@pytest.fixture
def organizations(sandbox):
    return sandbox.management.organizations


def listed(client, operation, key, **parameters):
    pages = client.get_paginator(operation).paginate(**parameters)
    return [item for page in pages for item in page[key]]


def test_the_accounts_below_a_root_are_found_level_by_level(organizations):
    def below(parent):
        found = {
            account["Id"]
            for account in listed(
                organizations, "list_accounts_for_parent", "Accounts", ParentId=parent
            )
        }
        units = listed(
            organizations,
            "list_organizational_units_for_parent",
            "OrganizationalUnits",
            ParentId=parent,
        )
        return found.union(*(below(unit["Id"]) for unit in units))

    [root] = listed(organizations, "list_roots", "Roots")
    assert root["Id"] == ROOT_ID
    assert below(WORKLOADS) == {CONSUMER, CLOSING, SLEEPING}
    assert below(PRODUCTION) == {CONSUMER, CLOSING}
    everyone = below(ROOT_ID)
    assert everyone == {PRODUCER, CONSUMER, CLOSING, SLEEPING, MANAGEMENT}
    assert everyone == {
        account["Id"] for account in listed(organizations, "list_accounts", "Accounts")
    }


def test_an_account_state_shows_in_both_members(organizations):
    found = {
        account["Id"]: account for account in listed(organizations, "list_accounts", "Accounts")
    }
    states = {id: (account["State"], account["Status"]) for id, account in found.items()}
    assert states[CONSUMER] == ("ACTIVE", "ACTIVE")
    assert states[CLOSING] == ("PENDING_CLOSURE", "PENDING_CLOSURE")
    assert states[SLEEPING] == ("SUSPENDED", "SUSPENDED")
    assert organizations.describe_account(AccountId=SLEEPING)["Account"] == found[SLEEPING]
    assert organizations.list_parents(ChildId=SLEEPING)["Parents"] == [], "the first page is empty"
    [parent] = listed(organizations, "list_parents", "Parents", ChildId=SLEEPING)
    assert parent == {"Id": WORKLOADS, "Type": "ORGANIZATIONAL_UNIT"}


def test_pages_may_be_empty_and_still_go_on(organizations):
    pages = list(
        organizations.get_paginator("list_accounts").paginate(PaginationConfig={"PageSize": 2})
    )
    assert [len(page["Accounts"]) for page in pages] == [0, 2, 2, 1]
    with refused("InvalidInputException") as info:
        organizations.list_roots(NextToken=pages[0]["NextToken"])
    assert info.value.response["Reason"] == "INVALID_NEXT_TOKEN"


def test_the_aws_cli_reads_all_pages(sandbox):
    found = sandbox.management.cli(
        HOME, "organizations", "list-accounts", "--max-items", "100", "--query", "Accounts[].Id"
    )
    assert len(found) == 5


def test_only_administrators_list_an_organization(sandbox):
    for member in (sandbox.producer, sandbox.consumer, sandbox.management):
        organization = member.organizations.describe_organization()["Organization"]
        assert (organization["Id"], organization["MasterAccountId"]) == (ORGANIZATION, MANAGEMENT)
    with refused("AccessDeniedException", "You don't have permissions to access this resource."):
        sandbox.consumer.organizations.list_accounts()
    with refused("AWSOrganizationsNotInUseException"):
        sandbox.outsider.organizations.describe_organization()
    with refused("AccessDeniedException", "organizations:DescribeOrganization"):
        sandbox.reader.organizations.describe_organization()


def test_an_invalid_call_of_organizations_is_refused(organizations):
    with refused("InvalidInputException", "pattern"):
        organizations.list_accounts_for_parent(ParentId="o-wiretests0")
    with refused("ParentNotFoundException"):
        organizations.list_accounts_for_parent(ParentId="ou-wire-33333333")
    with refused("AccountNotFoundException"):
        organizations.describe_account(AccountId="121212121212")
    with refused("NotImplemented"):
        organizations.list_policies(Filter="SERVICE_CONTROL_POLICY")


def test_a_client_of_another_region_is_served_too(sandbox):
    """At an endpoint with another name, the SDK signs for the client's Region."""
    assert sandbox.management.client("organizations", "eu-west-1").list_roots()
    real = SESSION.client(
        "organizations", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    assert real.meta.endpoint_url == "https://organizations.us-east-1.amazonaws.com"


def test_an_image_shared_with_an_ou_shows_to_its_members(sandbox):
    owner, member, outsider = (
        caller.ec2(HOME) for caller in (sandbox.producer, sandbox.consumer, sandbox.outsider)
    )
    outer = f"arn:aws:organizations::{MANAGEMENT}:ou/{ORGANIZATION}/{WORKLOADS}"
    assert member.describe_images(ExecutableUsers=["self"])["Images"] == []
    owner.modify_image_attribute(
        ImageId=GOLDEN, LaunchPermission={"Add": [{"OrganizationalUnitArn": outer}]}
    )
    for query in ({"ImageIds": [GOLDEN]}, {"ExecutableUsers": ["self"]}, {"Owners": [PRODUCER]}):
        assert [image["ImageId"] for image in member.describe_images(**query)["Images"]] == [
            GOLDEN
        ], query
    assert outsider.describe_images(Owners=[PRODUCER])["Images"] == []
    listed = owner.describe_image_attribute(ImageId=GOLDEN, Attribute="launchPermission")[
        "LaunchPermissions"
    ]
    assert listed == [{"OrganizationalUnitArn": outer}]
    owner.modify_image_attribute(
        ImageId=GOLDEN, LaunchPermission={"Remove": [{"OrganizationalUnitArn": outer}]}
    )
    with refused("InvalidAMIID.NotFound"):
        member.describe_images(ImageIds=[GOLDEN])


def test_an_invalid_launch_permission_is_refused(sandbox):
    owner = sandbox.producer.ec2(HOME)
    for entity in (
        {"OrganizationArn": f"arn:aws:organizations::{MANAGEMENT}:account/{ORGANIZATION}"},
        {"OrganizationalUnitArn": WORKLOADS},
        {"UserId": "2222-2222-2222"},
    ):
        with refused("InvalidAMIAttributeItemValue", *entity.values()):
            owner.modify_image_attribute(ImageId=GOLDEN, LaunchPermission={"Add": [entity]})
