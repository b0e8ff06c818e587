"""Prints the AMI, the calls, the result, and the view of each account, before and after a run."""

from __future__ import annotations

import collections
from typing import Any

from . import aws
from .aws import Looker
from .distribution import End
from .request import Request
from .screen import Screen
from .truth import Place, Truth

WIDE = 112


def source(
    screen: Screen, producer: Looker, image: dict[str, Any], wanted: Request, speed: float
) -> None:
    if not image:
        if wanted.image_id:
            screen.title(f"There is no {wanted.image_id} in {wanted.region}")
        return
    screen.title(
        f'The AMI: {image["ImageId"]} "{image["Name"]}" '
        f"of account {image['OwnerId']} in {wanted.region}"
    )
    rows = []
    for mapping in image["BlockDeviceMappings"]:
        if "Ebs" in mapping:
            ebs = mapping["Ebs"]
            snapshot = producer.snapshot(ebs.get("SnapshotId", "")) or {}
            size = f"{ebs.get('VolumeSize', '?')} GiB {ebs.get('VolumeType', '')}"
            rows.append(
                [
                    mapping["DeviceName"],
                    size,
                    ebs.get("SnapshotId", ""),
                    key_id(snapshot.get("KmsKeyId", "no key"), screen),
                ]
            )
        else:
            rows.append([mapping["DeviceName"], mapping.get("VirtualName", "no device"), "", ""])
    screen.table(["Device", "Volume", "Snapshot", "Under key"], rows)
    screen.line(
        f"The sandbox copies {speed:g} times as fast as the AWS that it models; "
        "the function runs in real time."
    )


def calls_made(screen: Screen, calls: list[dict[str, Any]]) -> None:
    screen.title(f"AWS calls the function made: {len(calls)}, by the account it acted in")
    if not calls:
        return
    accounts = sorted({call["account"] or "unknown" for call in calls})
    counts = collections.Counter(
        (call["operation"], call["account"] or "unknown") for call in calls
    )
    operations = list(dict.fromkeys(operation for operation, _ in counts))
    rows = [
        [operation, *(str(counts.get((operation, account), "")) for account in accounts)]
        for operation in operations
    ]
    screen.table(["Operation", *accounts], rows, right=tuple(accounts))
    refusals = collections.Counter(
        f"{call['operation']} {call['error']}" for call in calls if call["error"]
    )
    if refusals:
        screen.line(
            "Refused: " + ", ".join(f"{count} × {what}" for what, count in refusals.items())
        )


def result(
    screen: Screen,
    wanted: Request,
    end: End,
    truth: Truth,
    lookers: dict[Place, Looker],
    crashes: int,
    memory: int | None,
) -> None:
    screen.title(
        f"{end.status} after {end.seconds:.1f} s, "
        f"calls of the function: {end.calls}, killed: {crashes}"
    )
    told = {
        (t["AccountId"], t["Region"]): t for t in end.reply.get("Result", {}).get("Targets", [])
    }
    said(screen, end.reply)
    rows = []
    for place in lookers if told or end.image_ids or wanted.kind in ("Copy", "Share") else ():
        target = told.get(place, {})
        took = truth[place].finished_after
        ready = f"{took:.1f} s" if took else ""
        rows.append(
            [
                *place,
                target.get("Status", end.status),
                end.image_ids.get(place, ""),
                key_id(target.get("KmsKeyArn", ""), screen),
                ready,
            ]
        )
    if rows:
        screen.table(
            ["Account", "Region", "Status", "AMI", "Under key", "Ready after"],
            rows,
            right=("Ready after",),
        )
    if memory:
        screen.line(f"The function's process had {memory / 2**20:.1f} MiB of memory at its peak.")
    for place, target in told.items():
        if "Reason" in target:
            screen.line(
                f"{place[0]} {place[1]}: {target['Reason']}\n    Remedy: {target.get('Remedy', '')}"
            )
    if "Reason" in end.reply:
        screen.line(f"Reason: {end.reply['Reason']}")
    if "errorMessage" in end.reply:
        screen.line(f"The function said: {end.reply['errorMessage']}")


def said(screen: Screen, reply: dict[str, Any]) -> None:
    """Prints the parts of a reply that only some events have."""
    findings = reply.get("Findings", [])
    if findings:
        rows = [
            [f["Level"], f["Check"], f.get("AccountId", ""), f["Region"], f["Reason"]]
            for f in findings
        ]
        screen.table(["Level", "Check", "Account", "Region", "Reason"], rows)
    for line in reply.get("Plan", []):
        screen.line(line)
    documents = reply.get("Policies", [])
    if documents:
        screen.table(
            ["Policies for"],
            [
                [", ".join(str(v) for v in document.values() if isinstance(v, str))]
                for document in documents
            ],
        )
    for word in ("Why", "Closed", "Alive", "Verified", "Woken"):
        if word in reply:
            screen.line(f"{word}: {reply[word]}")


def seen_by_cli(screen: Screen, lookers: dict[Place, Looker]) -> None:
    if not lookers:
        return
    screen.title("What each account sees now, by the AWS CLI")
    words = [
        "ec2",
        "describe-images",
        "--owners",
        "self",
        "--query",
        "Images[].[OwnerId,ImageId,State,Name]",
        "--output",
        "text",
        "--region",
    ]
    for (account, region), looker in lookers.items():
        shown, printed = aws.command_line(looker, [*words, region])
        screen.line(f"{account}$ {shown}\n{printed or '(nothing)'}")


def key_id(arn: str, screen: Screen) -> str:
    """Returns a key's ARN without account and Region, shorter on a narrow terminal."""
    name = arn.rsplit("/", 1)[-1]
    return name if screen.console.width >= WIDE else name[:8] + "…" * (len(name) > 8)
