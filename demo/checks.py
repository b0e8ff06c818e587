"""What must be true when the function says it is done: asked of the accounts, not of the function."""

from __future__ import annotations

import dataclasses
from typing import Any

from .aws import Looker, snapshot_ids, tags
from .distribution import End, Kill
from .request import Request
from .truth import Place

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


def all_of(
    end: End,
    expected: str,
    kills: list[Kill],
    wanted: Request,
    source: dict[str, Any],
    open_before: dict[str, Any],
    producer: Looker,
    lookers: dict[Place, Looker],
    there_before: dict[Place, set[str]],
) -> list[Check]:
    findings = [Check(end.status == expected, f"the run ended as {expected}", "" if end.status == expected else end.status)]
    # A run that is expected to copy nothing has no moment half-way.
    half_way = expected in ("Succeeded", "PartiallySucceeded")
    for kill in kills if half_way else ():
        findings.append(Check(kill.pid is not None, f"the function was killed when {kill.moment}", f"process {kill.pid}"))
    keys = {(t["AccountId"], t["Region"]): t.get("KmsKeyArn") for t in end.reply.get("Result", {}).get("Targets", [])}
    for place, looker in lookers.items():
        if wanted.keeps:
            continue
        image_id = end.image_ids.get(place)
        copy = looker.image(image_id) if image_id else None
        if copy is not None:
            findings += [
                one_image(place, looker, there_before[place], image_id),
                faithful(place, source, copy),
                own_key(place, looker, copy, keys.get(place)),
            ]
        elif expected == "Succeeded":
            left = [image["ImageId"] for image in looker.images() if image["ImageId"] not in there_before[place]]
            what = "has none of the AMIs any more" if wanted.removes else "has an AMI"
            findings.append(Check(wanted.removes and not left, f"{place[0]} {place[1]} {what}", _list(left)))
        findings.append(no_orphans(place, looker, there_before[place], copy or {}))
        if source:
            findings.append(source_out_of_sight(place, Looker(looker.endpoint, looker.identity, wanted.region), source))
    return findings + as_before(open_before, producer.sharing(wanted.image_id))


def one_image(place: Place, looker: Looker, before: set[str], told: str | None) -> Check:
    """Exactly one image that was not there before, available, and the one the function named."""
    there = [(image["ImageId"], image["State"]) for image in looker.images() if image["ImageId"] not in before]
    detail = told or "" if there == [(told, "available")] else _list(there)
    return Check(there == [(told, "available")], f"{place[0]} {place[1]} has exactly one new AMI, the one named, available", detail)


def faithful(place: Place, source: dict[str, Any], copy: dict[str, Any]) -> Check:
    """Everything that launching depends on is as in the source; so are the tags, except for amiferry's own."""
    different = [f"{field}: {source.get(field)} became {copy.get(field)}" for field in IMAGE_FIELDS if source.get(field) != copy.get(field)]
    if _devices(source) != _devices(copy):
        different.append(f"mappings: {_devices(source)} became {_devices(copy)}")
    missing = tags(source).items() - tags(copy).items()
    different += [f"tag {key}={value} is missing" for key, value in sorted(missing) if not key.startswith("amiferry:")]
    return Check(not different, f"{place[0]} {place[1]}: attributes, mappings and tags are the source's", "; ".join(different))


def own_key(place: Place, looker: Looker, copy: dict[str, Any], key: str | None) -> Check:
    """Every snapshot belongs to the account and is encrypted under the key the function named, which is the account's own."""
    account, region = place
    wrong = []
    used = set(snapshot_ids(copy))
    for snapshot in looker.snapshots():
        if snapshot["SnapshotId"] not in used:
            continue
        used.discard(snapshot["SnapshotId"])
        home = f":kms:{region}:{account}:key/"
        if not snapshot["Encrypted"] or home not in snapshot["KmsKeyId"] or key not in (None, snapshot["KmsKeyId"]):
            wrong.append(f"{snapshot['SnapshotId']} under {snapshot.get('KmsKeyId', 'no key')}")
    wrong += [f"{snapshot} belongs to somebody else" for snapshot in sorted(used)]
    return Check(not wrong, f"{account} {region}: all its snapshots are its own, encrypted under its own key", _list(wrong))


def no_orphans(place: Place, looker: Looker, before: set[str], copy: dict[str, Any]) -> Check:
    """No snapshot that was not there before and that the image does not use."""
    left = {snapshot["SnapshotId"] for snapshot in looker.snapshots()} - before - set(snapshot_ids(copy))
    return Check(not left, f"{place[0]} {place[1]}: no snapshot is left over", _list(sorted(left)))


def source_out_of_sight(place: Place, looker: Looker, source: dict[str, Any]) -> Check:
    """The target sees neither the source image nor its snapshots any more. `looker` looks from the source's Region."""
    seen = [snapshot for snapshot in snapshot_ids(source) if looker.sees_snapshot(snapshot)]
    if looker.image(source["ImageId"]) is not None:
        seen.append(source["ImageId"])
    return Check(not seen, f"{place[0]} sees neither the source AMI nor its snapshots", _list(seen))


def as_before(before: dict[str, Any], now: dict[str, Any]) -> list[Check]:
    """Permissions, grants and tags on the source side are what they were."""
    checks = []
    for kind in ("launch permissions", "permissions", "grants", "tags"):
        names = [name for name in before | now if name.startswith(kind)]
        changed = [f"{name}: {before.get(name)} became {now.get(name)}" for name in names if before.get(name) != now.get(name)]
        if names:
            count = sum(len(now.get(name, [])) for name in names)
            what = f"source: {kind} on {_count(names)} as before ({count})"
            checks.append(Check(not changed, what, "; ".join(changed)))
    return checks


def _devices(image: dict[str, Any]) -> list[tuple[str, Any]]:
    """The mappings without the two things that must differ: the snapshots and their keys."""
    devices = []
    for mapping in image["BlockDeviceMappings"]:
        ebs = {key: value for key, value in mapping.get("Ebs", {}).items() if key not in ("SnapshotId", "KmsKeyId")}
        devices.append((mapping["DeviceName"], ebs or mapping.get("VirtualName") or "NoDevice"))
    return devices


def _count(names: list[str]) -> str:
    things = sorted({name.rsplit(" ", 1)[-1].split("/")[-1] for name in names if " on " in name or " of " in name})
    return f"{len(things)} resource{'s' if len(things) != 1 else ''}" if things else "the AMI"


def _list(things: Any) -> str:
    return ", ".join(str(thing) for thing in things)
