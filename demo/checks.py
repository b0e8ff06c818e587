"""Checks the accounts, not the function, once the function says that it is done.

The request of the event decides the checks.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from .aws import Looker, snapshot_ids, tags
from .distribution import End, Kill
from .request import Request
from .truth import Place, is_of

IMAGE_FIELDS = (
    "Architecture",
    "BootMode",
    "Description",
    "EnaSupport",
    "ImdsSupport",
    "PlatformDetails",
    "RootDeviceName",
    "SriovNetSupport",
    "TpmSupport",
    "UsageOperation",
    "VirtualizationType",
)


@dataclasses.dataclass(frozen=True)
class Check:
    good: bool
    what: str
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class Before:
    """The state of the accounts before an event."""

    there: dict[Place, set[str]]
    """Images and snapshots of each target before the first event."""
    now: dict[Place, set[str]]
    sharing: dict[str, Any]
    """Openings of the source image, and of every image of its account if the event names none."""
    unshared: dict[str, Any]
    """The same openings before the first event."""
    seen: dict[Place, set[str]]
    """The parts of the source that each target sees."""


@dataclasses.dataclass(frozen=True)
class After:
    """The state of the accounts after an event."""

    now: dict[Place, set[str]]
    sharing: dict[str, Any]
    seen: dict[Place, set[str]]
    changes: list[str]
    """Calls of the function that change something in an account."""
    alone: bool = True
    """Whether no other event changed the same resources at the same time."""


def no_image(place: Place, new: list[dict[str, Any]], wanted: Request) -> Check:
    what = "has none of the AMIs any more" if wanted.removes else "has an AMI"
    left = [image["ImageId"] for image in new]
    return Check(wanted.removes and not left, f"{place[0]} {place[1]} {what}", _list(left))


def killed(kills: list[Kill]) -> list[Check]:
    return [
        Check(
            kill.pid is not None,
            f"the function was killed when {kill.moment}",
            f"process {kill.pid}",
        )
        for kill in kills
    ]


def all_of(
    end: End,
    expected: str,
    kills: list[Kill],
    wanted: Request,
    source: dict[str, Any],
    lookers: dict[Place, Looker],
    before: Before,
    after: After,
) -> list[Check]:
    findings = [
        Check(
            end.status == expected,
            f"the event ended as {expected}",
            "" if end.status == expected else end.status,
        )
    ]
    if wanted.kind in ("Look", "Sweep"):
        return findings + (nothing_changed(wanted, before, after) if after.alone else [])
    if wanted.kind == "Share":
        return findings + shared(wanted, expected, source, lookers, before, after)
    # A run that copies nothing has no moment half-way.
    half_way = expected in ("Succeeded", "PartiallySucceeded")
    findings += killed(kills) if half_way else []
    keys = {
        (t["AccountId"], t["Region"]): t.get("KmsKeyArn")
        for t in end.reply.get("Result", {}).get("Targets", [])
    }
    for place, looker in lookers.items() if not wanted.keeps else ():
        new = [
            image
            for image in looker.images()
            if image["ImageId"] not in before.there[place] and is_of(image, wanted.image_id)
        ]
        # An event of EventBridge has no answer. There is one new image, or none.
        named = end.image_ids.get(place) or (
            new[0]["ImageId"] if len(new) == 1 and not end.image_ids else None
        )
        copy = looker.image(named) if named else None
        if copy is not None:
            findings += [
                one_image(place, new, named),
                faithful(place, source, copy),
                own_key(place, looker, copy, keys.get(place)),
            ]
        elif expected == "Succeeded":
            findings.append(no_image(place, new, wanted))
        findings.append(no_orphans(place, looker, before.there[place], wanted.image_id))
        if source and after.alone:
            seen = after.seen[place] - before.seen[place]
            findings.append(
                Check(
                    not seen,
                    f"{place[0]} sees no more of the source than before",
                    _list(sorted(seen)),
                )
            )
    return findings + (as_before(before.sharing, after.sharing) if after.alone else [])


def nothing_more(before: Before, after: After) -> list[Check]:
    differs = [
        f"{account} {region}"
        for (account, region), ids in after.now.items()
        if ids != before.now[account, region]
    ]
    return [Check(not differs, "no account has an image or snapshot more or less", _list(differs))]


def nothing_changed(wanted: Request, before: Before, after: After) -> list[Check]:
    """A sweep may close a source that an ended run left open. Other looks change nothing."""
    findings = nothing_more(before, after)
    if wanted.kind == "Look":
        findings.append(
            Check(
                not after.changes, "the function asked AWS to change nothing", _list(after.changes)
            )
        )
    return findings + as_before(before.sharing, after.sharing)


def shared(
    wanted: Request,
    expected: str,
    source: dict[str, Any],
    lookers: dict[Place, Looker],
    before: Before,
    after: After,
) -> list[Check]:
    """The targets see the image, accounts no longer named do not, and nobody has a copy."""
    findings: list[Check] = []
    if after.alone:
        findings = nothing_more(before, after)
    if expected != "Succeeded" or wanted.removes:
        return findings + (
            as_before(before.unshared if wanted.removes else before.sharing, after.sharing)
            if after.alone
            else []
        )
    for account, region in lookers:
        if account in wanted.dropped:
            findings.append(
                Check(not after.seen[account, region], f"{account} sees the source AMI no more")
            )
            continue
        image = source.get("ImageId") in after.seen[account, region]
        findings.append(Check(image, f"{account} sees the source AMI"))
    given = [
        permission
        for name, found in after.sharing.items()
        if "permissions" in name
        for permission in found
    ]
    public = any(permission.get("Group") == "all" for permission in given)
    findings.append(Check(not public, "nothing of the source is public"))
    if wanted.grants and any(name.startswith("grants") for name in after.sharing):
        text = str([grants for name, grants in after.sharing.items() if name.startswith("grants")])
        without = [
            account
            for account in dict.fromkeys(account for account, _ in wanted.targets)
            if account not in text
        ]
        findings.append(
            Check(not without, "each target account has a grant on the keys", _list(without))
        )
    return findings


def one_image(place: Place, new: list[dict[str, Any]], told: str | None) -> Check:
    """There is exactly one new image, it is available, and the function named it."""
    there = [(image["ImageId"], image["State"]) for image in new]
    detail = told or "" if there == [(told, "available")] else _list(there)
    return Check(
        there == [(told, "available")],
        f"{place[0]} {place[1]} has exactly one new AMI, the one named, available",
        detail,
    )


def faithful(place: Place, source: dict[str, Any], copy: dict[str, Any]) -> Check:
    """All attributes for launching are as in the source, and all tags except for amiferry's own."""
    different = [
        f"{field}: {source.get(field)} became {copy.get(field)}"
        for field in IMAGE_FIELDS
        if source.get(field) != copy.get(field)
    ]
    if _devices(source) != _devices(copy):
        different.append(f"mappings: {_devices(source)} became {_devices(copy)}")
    missing = tags(source).items() - tags(copy).items()
    different += [
        f"tag {key}={value} is missing"
        for key, value in sorted(missing)
        if not key.startswith("amiferry:")
    ]
    return Check(
        not different,
        f"{place[0]} {place[1]}: attributes, mappings and tags are the source's",
        "; ".join(different),
    )


def own_key(place: Place, looker: Looker, copy: dict[str, Any], key: str | None) -> Check:
    """Every snapshot belongs to the account, under the key that the function named, its own."""
    account, region = place
    wrong = []
    used = set(snapshot_ids(copy))
    for snapshot in looker.snapshots():
        if snapshot["SnapshotId"] not in used:
            continue
        used.discard(snapshot["SnapshotId"])
        home = f":kms:{region}:{account}:key/"
        if (
            not snapshot["Encrypted"]
            or home not in snapshot["KmsKeyId"]
            or key not in (None, snapshot["KmsKeyId"])
        ):
            wrong.append(f"{snapshot['SnapshotId']} under {snapshot.get('KmsKeyId', 'no key')}")
    wrong += [f"{snapshot} belongs to somebody else" for snapshot in sorted(used)]
    return Check(
        not wrong,
        f"{account} {region}: all its snapshots are its own, encrypted under its own key",
        _list(wrong),
    )


def no_orphans(place: Place, looker: Looker, before: set[str], image_id: str) -> Check:
    """There is no new copy of this source that no image uses."""
    used = {snapshot for image in looker.images() for snapshot in snapshot_ids(image)}
    new = {
        snapshot["SnapshotId"] for snapshot in looker.snapshots() if is_of(snapshot, image_id)
    } - before
    return Check(
        not new - used,
        f"{place[0]} {place[1]}: no snapshot is left over",
        _list(sorted(new - used)),
    )


def seen_of(source: dict[str, Any], looker: Looker) -> set[str]:
    """Returns the parts of the source that a principal sees, from the source's Region."""
    seen = {snapshot for snapshot in snapshot_ids(source) if looker.snapshot(snapshot)}
    if source and looker.image(source["ImageId"]) is not None:
        seen.add(source["ImageId"])
    return seen


CHANGING = (
    "Copy",
    "Create",
    "Delete",
    "Deregister",
    "Disable",
    "Enable",
    "Modify",
    "Put",
    "Register",
    "Retire",
    "Revoke",
    "Run",
    "Start",
    "Terminate",
)


def changes(calls: list[dict[str, Any]]) -> list[str]:
    """Returns the operations among these calls that change something, without dry runs."""
    made = [call for call in calls if call["operation"].startswith(CHANGING)]
    return sorted(
        {
            call["operation"]
            for call in made
            if str(call.get("params", {}).get("DryRun")).lower() != "true"
        }
    )


def as_before(before: dict[str, Any], now: dict[str, Any]) -> list[Check]:
    """Permissions, grants and tags of the source are as before."""
    checks = []
    for kind in ("launch permissions", "permissions", "grants", "tags"):
        names = [name for name in before | now if name.startswith(kind)]
        changed = [
            f"{name}: {before.get(name)} became {now.get(name)}"
            for name in names
            if before.get(name) != now.get(name)
        ]
        if names:
            count = sum(len(now.get(name, [])) for name in names)
            what = f"source: {kind} on {_count(names)} as before ({count})"
            checks.append(Check(not changed, what, "; ".join(changed)))
    return checks


def _devices(image: dict[str, Any]) -> list[tuple[str, Any]]:
    """Returns the mappings without snapshots and keys, which must differ."""
    devices = []
    for mapping in image["BlockDeviceMappings"]:
        ebs = {
            key: value
            for key, value in mapping.get("Ebs", {}).items()
            if key not in ("SnapshotId", "KmsKeyId")
        }
        devices.append((mapping["DeviceName"], ebs or mapping.get("VirtualName") or "NoDevice"))
    return devices


def _count(names: list[str]) -> str:
    things = sorted(
        {
            name.rsplit(" ", 1)[-1].split("/")[-1]
            for name in names
            if " on " in name or " of " in name
        }
    )
    return f"{len(things)} resource{'s' if len(things) != 1 else ''}" if things else "the AMI"


def _list(things: Any) -> str:
    return ", ".join(str(thing) for thing in things)
