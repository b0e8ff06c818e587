"""`make demo`, or `python -m demo --help` with the three binaries named in the environment."""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import pathlib
import signal
import sys
import tempfile
import time
from typing import Any

from . import aws, checks, distribution, function, processes, request, sandbox, world
from .aws import Looker
from .distribution import Distribution, End, Kill
from .screen import Place, Screen
from .truth import Truth

ROOT = pathlib.Path(__file__).resolve().parent.parent


def main() -> int:
    arguments = parse_arguments()
    aws.forget_own_settings()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    screen = Screen()
    logs = pathlib.Path(tempfile.mkdtemp(prefix="amiferry-demo-"))
    try:
        good = play(arguments, screen, logs)
    except (processes.Ended, distribution.Failed) as failure:
        screen.stop()
        screen.verdict(False, "The demo came to no end", str(failure))
        good = False
    except KeyboardInterrupt:
        screen.stop()
        screen.line("Interrupted; everything that was started is stopped.")
        return 130
    if not good:
        for log in sorted(logs.glob("*.log")):
            screen.title(f"The end of {log}")
            screen.line(processes.tail(log))
    return 0 if good else 1


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo", description="Copy an encrypted AMI into other accounts, on the sandbox.")
    parser.add_argument("--world", type=pathlib.Path, default=ROOT / "sandbox/worlds/demo.toml", help="the accounts, keys and images there are")
    parser.add_argument("--event", type=pathlib.Path, default=ROOT / "events/distribute.json", help="what the function is sent")
    parser.add_argument("--speed", type=float, help="how many times as fast as AWS the sandbox is (default: what the world says)")
    parser.add_argument("--expect", default="Succeeded", metavar="STATUS", help="the status the run must end with (default: %(default)s)")
    parser.add_argument("--no-kill", action="store_true", help="leave the function alone")
    parser.add_argument("--stay", action="store_true", help="keep the sandbox running afterwards, to look around with the AWS CLI")
    arguments = parser.parse_args()
    for name in ("sandbox", "bootstrap", "rie"):
        variable = f"AMIFERRY_{name.upper()}_BIN"
        binary = pathlib.Path(os.environ.get(variable, ""))
        if not binary.is_file():
            parser.error(f"{variable} must name a program; `make demo` sets it")
        setattr(arguments, f"{name}_bin", binary.resolve())
    return arguments


def play(arguments: argparse.Namespace, screen: Screen, logs: pathlib.Path) -> bool:
    there = world.read(arguments.world)
    event = request.read_event(arguments.event)
    wanted = request.wanted(event)
    owner = there.owners.get(wanted.image_id)
    if owner is None:
        raise SystemExit(f"{arguments.event}: {wanted.image_id} is not an image of {arguments.world}")
    speed = arguments.speed or there.speed

    with contextlib.ExitStack() as stack:
        box = stack.enter_context(sandbox.running(arguments.sandbox_bin, arguments.world, arguments.speed, logs / "sandbox.log"))
        producer = Looker(box.url, there.reader(owner), wanted.region)
        lookers = {place: Looker(box.url, there.reader(place[0]), place[1]) for place in wanted.targets}
        source = producer.image(wanted.image_id)
        if source is None:
            raise SystemExit(f"{arguments.event}: {wanted.image_id} is not to be seen in {wanted.region}")
        show_source(screen, producer, source, wanted, speed)
        before = producer.sharing(wanted.image_id)
        truth = Truth(lookers)
        calls_before = len(box.ledger())

        lambda_ = stack.enter_context(
            function.running(
                arguments.rie_bin, arguments.bootstrap_bin, box.url, request.FUNCTION_REGION, there.function(owner), logs / "function.log"
            )
        )
        kills = [] if arguments.no_kill else accidents(box, truth, len(aws.snapshot_ids(source)) * len(wanted.targets))
        screen.title(f"Sending {relative(arguments.event)} to the function")
        screen.start()
        run = Distribution(lambda_, box, kills, screen.say, lambda state: screen.progress(state, truth, list(wanted.targets)))
        try:
            with truth:
                end = run.run(event)
        finally:
            screen.stop()

        strangers = {there.reader(account).principal for account, _ in wanted.targets}
        calls = [call for call in box.ledger()[calls_before:] if call["principal"] not in strangers]
        show_calls(screen, calls)
        show_result(screen, end, truth, lookers, run.crashes)
        findings = look(screen, arguments, end, kills, wanted, source, before, producer, lookers, truth)
        good = all(finding.good for finding in findings)
        screen.line("")
        screen.line(f"{len(findings)} checks, {sum(not finding.good for finding in findings)} failed. Logs: {logs}")
        if arguments.stay:
            stay(screen, box.url, there)
        return good


def accidents(box: sandbox.Sandbox, truth: Truth, copies: int) -> list[Kill]:
    """Twice: while copies are being started, which nobody remembers then, and when half of the copying is done."""

    def started() -> int:
        return sum(call["operation"] == "CopySnapshot" for call in box.ledger())

    half = max(copies // 2, 1)
    return [
        Kill(f"{half} of {copies} copies had been asked for", lambda: started() >= half),
        Kill("half of the copying was done", lambda: truth.percent(copies) >= 50),
    ]


def show_source(screen: Screen, producer: Looker, source: dict[str, Any], wanted: request.Request, speed: float) -> None:
    screen.title(f"The AMI: {source['ImageId']} \"{source['Name']}\" of account {source['OwnerId']} in {wanted.region}")
    rows = []
    for mapping in source["BlockDeviceMappings"]:
        if "Ebs" in mapping:
            snapshot = producer.ec2.describe_snapshots(SnapshotIds=[mapping["Ebs"]["SnapshotId"]])["Snapshots"][0]
            rows.append([mapping["DeviceName"], f"{mapping['Ebs']['VolumeSize']} GiB {mapping['Ebs']['VolumeType']}",
                         snapshot["SnapshotId"], snapshot.get("KmsKeyId", "not encrypted")])
        else:
            rows.append([mapping["DeviceName"], mapping.get("VirtualName", "no device"), "", ""])
    screen.table(["Device", "Volume", "Snapshot", "Encrypted under"], rows)
    screen.line(f"Wanted in: {', '.join(f'{account} {region}' for account, region in wanted.targets)}")
    screen.line(f"The sandbox copies {speed:g} times as fast as the AWS it models; the function runs in real time.")


def show_calls(screen: Screen, calls: list[dict[str, Any]]) -> None:
    screen.title(f"The {len(calls)} calls the function made")
    accounts = sorted({call["account"] or "unknown" for call in calls})
    counts = collections.Counter((f"{call['service']}:{call['operation']}", call["account"] or "unknown") for call in calls)
    operations = list(dict.fromkeys(operation for operation, _ in counts))
    rows = [[operation, *(str(counts.get((operation, account), "")) for account in accounts)] for operation in operations]
    screen.table(["Operation", *(f"as {account}" for account in accounts)], rows, right=tuple(f"as {account}" for account in accounts))
    refusals = collections.Counter(f"{call['operation']}: {code}" for call in calls if (code := refusal(call)))
    if refusals:
        screen.line("Refused: " + ", ".join(f"{count} × {what}" for what, count in refusals.items()))


def refusal(call: dict[str, Any]) -> str | None:
    outcome = call.get("outcome")
    return outcome.get("Err") if isinstance(outcome, dict) else None


def show_result(screen: Screen, end: End, truth: Truth, lookers: dict[Place, Looker], crashes: int) -> None:
    screen.title(f"{end.status} after {end.seconds:.1f} s, {end.calls} calls of the function, {crashes} of them killed")
    told = {(t["AccountId"], t["Region"]): t for t in end.reply.get("Result", {}).get("Targets", [])}
    rows = []
    for place in lookers:
        target = told.get(place, {})
        took = truth[place].finished_after
        rows.append([*place, target.get("Status", end.status), end.image_ids.get(place, ""), target.get("KmsKeyArn", ""), f"{took:.1f} s" if took else ""])
    screen.table(["Account", "Region", "Status", "AMI", "Encrypted under", "Ready after"], rows, right=("Ready after",))
    for place, target in told.items():
        if "Reason" in target:
            screen.line(f"{place[0]} {place[1]}: {target['Reason']}\n    Remedy: {target.get('Remedy', '')}")
    if "Reason" in end.reply:
        screen.line(f"Reason: {end.reply['Reason']}")


def look(
    screen: Screen,
    arguments: argparse.Namespace,
    end: End,
    kills: list[Kill],
    wanted: request.Request,
    source: dict[str, Any],
    before: dict[str, Any],
    producer: Looker,
    lookers: dict[Place, Looker],
    truth: Truth,
) -> list[checks.Check]:
    screen.title("What each account sees now, by the AWS CLI")
    query = "Images[].[OwnerId,ImageId,State,Name]"
    for place, looker in lookers.items():
        shown, printed = aws.command_line(looker, ["ec2", "describe-images", "--owners", "self", "--region", place[1], "--query", query, "--output", "text"])
        screen.line(f"{place[0]}$ {shown}\n{printed or '(nothing)'}")

    screen.title("Checks, asked through boto3")
    findings = [checks.Check(end.status == arguments.expect, f"the run ended as {arguments.expect}", "" if end.status == arguments.expect else end.status)]
    for kill in kills:
        findings.append(checks.Check(kill.pid is not None, f"the function was killed when {kill.moment}", f"process {kill.pid}" if kill.pid else "no such moment"))
    told = {(t["AccountId"], t["Region"]): t for t in end.reply.get("Result", {}).get("Targets", [])}
    for place, looker in lookers.items():
        image_id = end.image_ids.get(place)
        copy = looker.image(image_id) if image_id else None
        if copy is not None:
            findings += [
                checks.one_image(place, looker, truth.images_before(place), image_id),
                checks.faithful(place, source, copy),
                checks.own_key(place, looker, copy, told.get(place, {}).get("KmsKeyArn")),
            ]
        elif arguments.expect == "Succeeded":
            findings.append(checks.Check(False, f"{place[0]} {place[1]} has an AMI"))
        findings.append(checks.no_orphans(place, looker, truth.snapshots_before(place), copy or {}))
        from_there = Looker(looker.endpoint, looker.identity, wanted.region)
        findings.append(checks.source_out_of_sight(place, from_there, source))
    findings += checks.as_before(before, producer.sharing(wanted.image_id))
    for finding in findings:
        screen.verdict(finding.good, finding.what, finding.detail)
    return findings


def stay(screen: Screen, url: str, there: world.World) -> None:
    screen.title("The sandbox keeps running until Ctrl-C. To look around:")
    screen.line(f"export AWS_ENDPOINT_URL={url}")
    for account in sorted({identity.account for identity in there.identities}):
        reader = there.reader(account)
        screen.line(f"AWS_ACCESS_KEY_ID={reader.access_key_id} AWS_SECRET_ACCESS_KEY={reader.secret_access_key}  # {reader.principal}")
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)


def relative(path: pathlib.Path) -> str:
    path = path.resolve()
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


if __name__ == "__main__":
    sys.exit(main())
