"""What an event asks for, as far as the demo must know it to watch and to check: the image, its Region, the targets."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

FUNCTION_REGION = "us-west-2"


@dataclasses.dataclass(frozen=True)
class Request:
    image_id: str
    region: str
    targets: tuple[tuple[str, str], ...]
    """(account, Region), in the request's order."""
    removes: bool
    """Whether the copies are to be gone afterwards."""
    keeps: bool
    """Whether nothing is to be done to the copies."""


def read_event(file: pathlib.Path) -> dict[str, Any]:
    try:
        event = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise SystemExit(f"{file}: {error}") from error
    if not isinstance(event, dict) or not ("Distribute" in event or "RequestType" in event):
        raise SystemExit(f"{file}: the demo plays {{\"Distribute\": …}} and CloudFormation custom resource events")
    return event


def wanted(event: dict[str, Any]) -> Request:
    wish = event["ResourceProperties"] if "RequestType" in event else event["Distribute"]
    region = wish.get("SourceRegion") or wish.get("Region") or FUNCTION_REGION
    regions = _list(wish.get("TargetRegions")) or [region]
    targets = [(str(t.get("AccountId")), t.get("Region", region)) for t in wish.get("Targets", [])]
    accounts = _list(wish.get("TargetAccountIds")) or _list(wish.get("TargetAccountId"))
    targets += [(account, r) for account in accounts for r in regions]
    deletes = event.get("RequestType") == "Delete"
    removes = deletes and wish.get("OnDelete") == "Deregister"
    return Request(wish.get("SourceImageId") or wish.get("AmiId", ""), region, tuple(targets), removes, deletes and not removes)


def _list(value: Any) -> list[str]:
    """CloudFormation sends a list as such or as one comma-joined string."""
    if isinstance(value, str):
        value = value.split(",")
    return [str(item).strip() for item in value or []]
