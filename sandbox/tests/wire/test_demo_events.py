"""The demo plays every event of `events/` to its end, and finds the requested result."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import DEMO_WORLD

ROOT = Path(__file__).parent.parent.parent.parent
EVENTS = sorted((ROOT / "events").glob("*.json"))
IMAGE = "ami-0a1b2c3d4e5f60718"
#: A speed at which no test waits.
FAST = ("--speed", "500", "--no-kill")


def demo(*arguments):
    command = [sys.executable, "-m", "demo", *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=120
    )


def verdicts(done):
    return re.findall(r"^(?:ok  |FAIL) (.*)$", done.stdout, re.MULTILINE)


def good(*arguments):
    """Returns the verdicts of a run in which every verdict is good."""
    done = demo(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return verdicts(done)


def share(**more):
    request = {
        "SourceImageId": IMAGE,
        "SourceRegion": "us-west-2",
        "Mode": "Share",
        "Targets": [{"AccountId": "222222222222"}],
    }
    return {"Distribute": request | more}


def write(path, event):
    path.write_text(json.dumps(event))
    return path


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.stem)
def test_the_demo_plays_an_event_and_finds_its_result(event):
    found = good(*FAST, "--event", event)
    assert any(verdict.startswith("the event ended as") for verdict in found), found
    assert len(found) > 2, found


def test_the_demos_checks_follow_from_the_event(tmp_path):
    share_it, unshare_it = (
        write(tmp_path / "share.json", share()),
        write(tmp_path / "unshare.json", share(Unshare=True)),
    )
    found = good(
        *FAST, "--event", share_it, "--event", ROOT / "events/policies.json", "--event", unshare_it
    )
    endings = [
        number for number, verdict in enumerate(found) if verdict.startswith("the event ended as")
    ]
    shared, looked, closed = (
        found[start:end] for start, end in zip(endings, [*endings[1:], None], strict=True)
    )
    assert "222222222222 sees the source AMI" in shared
    assert "the function asked AWS to change nothing" in looked
    assert any(re.match("source: grants .* as before", verdict) for verdict in closed)


def test_the_demo_fails_on_a_wrong_expectation():
    done = demo(*FAST, "--event", ROOT / "events/policies.json", "--expect", "Failed")
    assert done.returncode == 1 and "FAIL the event ended as Failed: Succeeded" in done.stdout, (
        done.stdout
    )


def test_an_image_that_amiferry_made_is_not_distributed(tmp_path):
    world = tmp_path / "world.toml"
    ours = '"amiferry:run" = "0123456789abcdef"'
    world.write_text(DEMO_WORLD.read_text().replace('"amiferry:distribute" = "true"', ours))
    found = good(*FAST, "--world", world, "--event", ROOT / "events/ami-state-change.json")
    assert "the event ended as Nothing" in found


def test_a_saved_state_is_an_event(tmp_path):
    request = {
        "SourceImageId": IMAGE,
        "SourceRegion": "us-west-2",
        "Targets": [{"AccountId": "222222222222", "KmsKeyId": "alias/amis"}],
    }
    first, state = write(tmp_path / "one.json", {"Distribute": request}), tmp_path / "state.json"
    good("--speed", "100", "--no-kill", "--event", first, "--save-state", state)
    assert json.loads(state.read_text())["State"]["Targets"]
    assert "the event ended as Succeeded" in good(*FAST, "--event", first, "--event", state)


def test_events_are_played_at_once(tmp_path):
    events = [ROOT / f"events/{name}.json" for name in ("preflight", "policies", "sweep")]
    events.append(write(tmp_path / "share.json", share()))
    found = good(*FAST, "--at-once", *(word for event in events for word in ("--event", event)))
    assert sum(verdict.startswith("the event ended as") for verdict in found) == len(events)


def test_another_partition_and_empty_volumes_are_played(tmp_path):
    def there(text):
        for from_, to in (
            ("arn:aws:", "arn:aws-cn:"),
            ("us-west-2", "cn-north-1"),
            ("us-east-1", "cn-northwest-1"),
        ):
            text = text.replace(from_, to)
        return text.replace("ec2.*.amazonaws.com", "ec2.*.amazonaws.com.cn")

    world = re.sub(
        r'(\[\[account\]\]\nid = "\d+")', r'\1\npartition = "aws-cn"', there(DEMO_WORLD.read_text())
    )
    world = re.sub(r"(?m)^(size = \d+)$", r"\1\nstored_mib = 0", world)
    (tmp_path / "world.toml").write_text(world)
    (tmp_path / "event.json").write_text(there((ROOT / "events/ami-state-change.json").read_text()))
    # The demo may be killed, but copies that complete at once leave no time for it.
    found = good("--world", tmp_path / "world.toml", "--event", tmp_path / "event.json")
    assert any("cn-northwest-1 has exactly one new AMI" in verdict for verdict in found)


@pytest.mark.parametrize(
    ("arguments", "accepted"),
    [
        (("--speed", "0"), "a number above 0"),
        (("--timeout", "5"), "a whole number from 15 to 900"),
        (("--expect", "Fine"), "'PartiallySucceeded'"),
        (("--event", "nowhere.json"), "is no file"),
        (("--world", "nowhere.toml"), "is no file"),
        (("--expect", "Failed", "--expect", "Ready"), "once for each --event"),
        (("--what",), "unrecognized arguments: --what"),
        (("--event", "{no_event}"), '{"Distribute": …}, {"Preflight": …}'),
        (("--world", "{no_event}"), "no_event.json"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_bad_options_are_refused_with_the_accepted_forms(tmp_path, arguments, accepted):
    no_event = write(tmp_path / "no_event.json", {"Start": 1})
    done = demo(*(word.replace("{no_event}", str(no_event)) for word in arguments))
    assert (
        done.returncode in (1, 2) and accepted in done.stderr and "Traceback" not in done.stderr
    ), done.stderr
