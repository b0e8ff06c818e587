"""A world with the demo's producer and any number of its consumers, and their request."""

from __future__ import annotations

import pathlib
import re
import tomllib
from typing import Any

from demo.distribution import Failed

ACCOUNT = "[[account]]\n"
OTHER_REGION = "us-east-1"


def write(
    template: pathlib.Path, targets: int, regions: int, throttling: bool, file: pathlib.Path
) -> dict[str, Any]:
    """Writes the world, and returns the event. Of two Regions, the other has every third target."""
    head, producer, consumer, *_ = template.read_text().split(ACCOUNT)
    given = tomllib.loads(ACCOUNT + consumer)["account"][0]
    image = tomllib.loads(ACCOUNT + producer)["account"][0]["image"][0]
    home, key = given["key"][0]["region"], given["key"][0]
    accounts, wanted = [head, producer], []
    for number in range(1, targets + 1):
        region = OTHER_REGION if regions == 2 and number % 3 == 0 else home
        words = {
            given["id"]: f"{700000000000 + number}",
            key["id"]: f"{number:08d}-2222-4222-8222-222222222222",
            given["access_key"][0]["id"]: f"AKIAREADER{number:010d}",
            f'region = "{home}"': f'region = "{region}"',
            f":{home}:{given['id']}:": f":{region}:{700000000000 + number}:",
        }
        # All words are replaced at once, so that no result is replaced again; longer words first.
        pattern = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
        accounts.append(re.sub(pattern, lambda found: words[found[0]], consumer))
        wanted.append(
            {"AccountId": words[given["id"]], "Region": region, "KmsKeyId": key["aliases"][0]}
        )
    if throttling:
        accounts[0] += "[limits]\nthrottling = true\n\n"
    file.write_text(ACCOUNT.join(accounts))
    if len(tomllib.loads(file.read_text())["account"]) != targets + 1:
        raise Failed(
            f"{template} is not laid out as expected: "
            "a producer, then consumers that differ only in their IDs"
        )
    return {
        "Distribute": {
            "SourceImageId": image["id"],
            "SourceRegion": image["region"],
            "Targets": wanted,
        }
    }
