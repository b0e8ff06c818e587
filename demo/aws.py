"""Looks at the sandbox through boto3 and the AWS CLI, with credentials of an account."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import subprocess
import sys
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from . import processes
from .world import Identity


def forget_own_settings() -> None:
    """Keeps the reader's own AWS profile, Region and credentials out of the demo."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= {
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@dataclasses.dataclass(frozen=True)
class Looker:
    """One account in one Region, as one identity sees it."""

    endpoint: str
    identity: Identity
    region: str

    @functools.cached_property
    def ec2(self) -> Any:
        return self._client("ec2")

    @functools.cached_property
    def kms(self) -> Any:
        return self._client("kms")

    def _client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id=self.identity.access_key_id,
            aws_secret_access_key=self.identity.secret_access_key,
            config=Config(retries={"mode": "standard", "max_attempts": 5}),
        )

    def images(self) -> list[dict[str, Any]]:
        pages = self.ec2.get_paginator("describe_images").paginate(Owners=["self"])
        return [image for page in pages for image in page["Images"]]

    def image(self, image_id: str) -> dict[str, Any] | None:
        """Returns an image by its ID, of any owner, or nothing if it is not visible."""
        if not image_id:
            return None
        try:
            found = self.ec2.describe_images(ImageIds=[image_id], IncludeDisabled=True)["Images"]
        except ClientError as error:
            if error.response["Error"]["Code"].startswith("InvalidAMIID"):
                return None
            raise
        return found[0] if found else None

    def snapshots(self) -> list[dict[str, Any]]:
        pages = self.ec2.get_paginator("describe_snapshots").paginate(OwnerIds=["self"])
        return [snapshot for page in pages for snapshot in page["Snapshots"]]

    def snapshot(self, snapshot_id: str) -> dict[str, Any] | None:
        """Returns a snapshot by its ID, or nothing if it is gone or not visible."""
        if not snapshot_id:
            return None
        try:
            return next(
                iter(self.ec2.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"]), None
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "InvalidSnapshot.NotFound":
                return None
            raise

    def sharing(self, image_id: str) -> dict[str, Any]:
        """Returns everything that could stay open at the source, to compare with a later value."""
        image = self.image(image_id)
        if image is None:
            return {}
        found: dict[str, Any] = {
            "launch permissions": self.ec2.describe_image_attribute(
                ImageId=image_id, Attribute="launchPermission"
            )["LaunchPermissions"],
            "tags of the image": image.get("Tags", []),
        }
        keys = set()
        for snapshot_id in snapshot_ids(image):
            snapshot = self.snapshot(snapshot_id)
            if snapshot is None:
                continue
            permission = self.ec2.describe_snapshot_attribute(
                SnapshotId=snapshot_id, Attribute="createVolumePermission"
            )
            found[f"permissions of {snapshot_id}"] = permission["CreateVolumePermissions"]
            found[f"tags of {snapshot_id}"] = snapshot.get("Tags", [])
            if "KmsKeyId" in snapshot:
                keys.add(snapshot["KmsKeyId"])
        for key in sorted(keys):
            grants = self.kms.get_paginator("list_grants").paginate(KeyId=key)
            found[f"grants on {key}"] = [grant for page in grants for grant in page["Grants"]]
        return found


def gib(looker: Looker, image: dict[str, Any]) -> int:
    """Returns the size of all snapshots of an image."""
    found = [looker.snapshot(snapshot) for snapshot in snapshot_ids(image)]
    return sum(snapshot["VolumeSize"] for snapshot in found if snapshot)


def snapshot_ids(image: dict[str, Any]) -> list[str]:
    mappings = image.get("BlockDeviceMappings", [])
    return [
        mapping["Ebs"]["SnapshotId"]
        for mapping in mappings
        if "SnapshotId" in mapping.get("Ebs", {})
    ]


def tags(thing: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in thing.get("Tags", [])}


def command_line(looker: Looker, words: list[str]) -> tuple[str, str]:
    """Runs the AWS CLI, and returns the command as a person would type it and what it printed."""
    environment = processes.clean_environment(
        AWS_ACCESS_KEY_ID=looker.identity.access_key_id,
        AWS_SECRET_ACCESS_KEY=looker.identity.secret_access_key,
        AWS_REGION=looker.region,
        AWS_ENDPOINT_URL=looker.endpoint,
        AWS_CONFIG_FILE="/dev/null",
        AWS_PAGER="",
    )
    program = pathlib.Path(sys.executable).with_name("aws")
    done = subprocess.run(
        [program, *words], env=environment, capture_output=True, text=True, check=False
    )
    shown = " ".join(
        ["aws", *(f"'{word}'" if set(word) & set(" []{}`|") else word for word in words)]
    )
    return shown, (done.stdout if done.returncode == 0 else done.stderr).strip()
