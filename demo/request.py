"""Reads from an event what the demo must know to watch and to check it."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

from .world import World

FUNCTION_REGION = "us-west-2"
"""The Region of a function if neither the world nor the event names one."""

IMAGE_CHANGED, COPY_ENDED, EXECUTION_ENDED = (
    "EC2 AMI State Change",
    "EBS Snapshot Notification",
    "Step Functions Execution Status Change",
)
DIRECT = ("Distribute", "Preflight", "Policies", "Sweep", "State")
ACCEPTED = (
    'the demo plays {"Distribute": …}, {"Preflight": …}, {"Policies": …}, {"Sweep": {}}, '
    "{\"State\": …}, CloudFormation's custom resource events, and EventBridge's events "
    f"{IMAGE_CHANGED}, {COPY_ENDED} and {EXECUTION_ENDED}"
)
SHARING_RESOURCES = ("Custom::ShareAutomation", "Custom::MultiAccountAmiShare")

Place = tuple[str, str]
"""Account and Region."""


@dataclasses.dataclass(frozen=True)
class Request:
    kind: str
    """`Copy`, `Share`, `Sweep`, or `Look` for an event that may change nothing."""
    image_id: str
    region: str
    targets: tuple[Place, ...]
    """The targets in the request's order."""
    expected: str
    """The status that the event must end with."""
    removes: bool = False
    """Whether the event removes the copies or the permissions."""
    keeps: bool = False
    """Whether the event leaves the copies alone."""
    grants: bool = False
    """Whether a share gives grants on the keys."""
    dropped: frozenset[str] = frozenset()
    """Accounts of the former properties that the new ones do not name."""

    @property
    def copies(self) -> bool:
        return self.kind == "Copy" and not self.removes and not self.keeps


def read_event(file: pathlib.Path) -> dict[str, Any]:
    try:
        event = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise SystemExit(f"{file}: {error}") from error
    if not isinstance(event, dict) or form(event) is None:
        raise SystemExit(f"{file}: {ACCEPTED}")
    return event


def form(event: dict[str, Any]) -> str | None:
    """Returns the kind of the event, or nothing if the function does not know it."""
    if "RequestType" in event:
        return "CustomResource"
    if "source" in event:
        kind = event.get("detail-type")
        return kind if kind in (IMAGE_CHANGED, COPY_ENDED, EXECUTION_ENDED) else None
    return next((key for key in DIRECT if key in event and isinstance(event[key], dict)), None)


def region_of(event: dict[str, Any], there: World, owner: str) -> str:
    """Returns the function's Region: of its ARN, of the event, or of the image."""
    arn = there.function(owner).source_function
    if arn:
        return arn.split(":")[3]
    wish = _wish(event)
    image = there.images.get(_image(event))
    home = wish.get("SourceRegion") or wish.get("Region") or event.get("region")
    return home or (image.region if image else FUNCTION_REGION)


def image_of(event: dict[str, Any]) -> str:
    return _image(event)


def own_request(there: World, owner: str) -> dict[str, Any]:
    """Returns the request for a new image: a copy for every account with a role and a key."""
    targets = [
        {
            "AccountId": account.id,
            "Region": account.keys[0].region,
            "KmsKeyId": account.keys[0].name,
        }
        for account in there.accounts_in_file
        if account.id != owner and "AmiCopyRole" in account.roles and account.keys
    ]
    return {"Targets": targets}


def wanted(
    event: dict[str, Any],
    there: World | None = None,
    region: str = FUNCTION_REGION,
    own: dict[str, Any] | None = None,
) -> Request:
    """Reads an event. `region` is the function's, `own` its request for EventBridge's events."""
    what = form(event)
    if what == IMAGE_CHANGED:
        return _of_image(event, there, own or {})
    if what in (COPY_ENDED, EXECUTION_ENDED):
        return Request("Look", "", region, (), "Nothing")
    if what == "Sweep":
        return Request("Sweep", "", region, (), "Swept")
    if what == "State":
        return _of_state(event["State"])
    wish = _wish(event)
    source_region = wish.get("SourceRegion") or wish.get("Region") or region
    targets = _targets(wish, source_region, there)
    if what in ("Preflight", "Policies"):
        return Request(
            "Look",
            _image(event),
            source_region,
            targets,
            "Ready" if what == "Preflight" else "Succeeded",
        )
    deletes = event.get("RequestType") == "Delete"
    shares = (
        wish.get("Mode", "Share" if event.get("ResourceType") in SHARING_RESOURCES else "Copy")
        == "Share"
    )
    removes = (deletes and (shares or wish.get("OnDelete") == "Deregister")) or _flag(
        wish.get("Unshare")
    )
    former = _targets(event.get("OldResourceProperties", {}), source_region, there)
    dropped = {account for account, _ in former} - {account for account, _ in targets}
    return Request(
        kind="Share" if shares else "Copy",
        image_id=_image(event),
        region=source_region,
        targets=targets,
        expected="Succeeded",
        removes=removes,
        keeps=deletes and not removes,
        grants=wish.get("KeyAccess", "Grant") == "Grant",
        dropped=frozenset(dropped) if shares else frozenset(),
    )


def _of_image(event: dict[str, Any], there: World | None, own: dict[str, Any]) -> Request:
    region, image_id = event.get("region", FUNCTION_REGION), _image(event)
    image = there.images.get(image_id) if there else None
    tags = image.tags if image else {}
    copy = any(name in tags for name in ("amiferry:run", "amiferry:source-image"))
    available = event.get("detail", {}).get("State") == "available"
    if not available or copy or tags.get("amiferry:distribute") != "true":
        return Request("Look", image_id, region, (), "Nothing")
    return Request("Copy", image_id, region, _targets(own, region, there), "Succeeded")


def _of_state(state: dict[str, Any]) -> Request:
    source = state.get("Source", {})
    targets = tuple(
        (str(t.get("AccountId")), str(t.get("Region"))) for t in state.get("Targets", [])
    )
    share = state.get("Order", {}).get("Share")
    removes = bool(share and share.get("Unshare"))
    kind = "Share" if share else "Copy"
    return Request(
        kind,
        source.get("ImageId", ""),
        source.get("Region", FUNCTION_REGION),
        targets,
        "Succeeded",
        removes,
    )


def _wish(event: dict[str, Any]) -> dict[str, Any]:
    key = next(
        (
            key
            for key in ("ResourceProperties", "Distribute", "Preflight", "Policies")
            if isinstance(event.get(key), dict)
        ),
        None,
    )
    return event[key] if key else {}


def _image(event: dict[str, Any]) -> str:
    if form(event) == IMAGE_CHANGED:
        return str(event.get("detail", {}).get("ImageId", ""))
    if form(event) == "State":
        return str(event["State"].get("Source", {}).get("ImageId", ""))
    wish = _wish(event)
    return str(wish.get("SourceImageId") or wish.get("AmiId", ""))


def _targets(wish: dict[str, Any], region: str, there: World | None) -> tuple[Place, ...]:
    regions = _list(wish.get("TargetRegions")) or [region]
    listed = wish.get("Targets")
    targets = [
        (str(t.get("AccountId")), t.get("Region", region))
        for t in (listed if isinstance(listed, list) else [])
        if isinstance(t, dict)
    ]
    accounts = _list(wish.get("TargetAccountIds")) or _list(wish.get("TargetAccountId"))
    audience = [*_list(wish.get("OrganizationId")), *_list(wish.get("OrganizationalUnitIds"))]
    if audience and there is not None:
        role = wish.get("TargetRoleName") or wish.get("RoleName") or "AmiCopyRole"
        owner = there.owners.get(str(wish.get("SourceImageId") or wish.get("AmiId", "")))
        left_out = {owner, *_list(wish.get("ExcludeAccountIds"))}
        accounts += [
            account for account in there.members(audience, role) if account not in left_out
        ]
    targets += [(account, r) for account in accounts for r in regions]
    return tuple(dict.fromkeys(targets))


def _flag(value: Any) -> bool:
    return str(value).lower() == "true"


def _list(value: Any) -> list[str]:
    """CloudFormation sends a list as such or as one comma-joined string."""
    if isinstance(value, str):
        value = value.split(",")
    return [text for item in value or [] if (text := str(item).strip())]
