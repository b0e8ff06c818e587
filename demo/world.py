"""The accounts, keys and images of the sandbox's world, read from the same file."""

from __future__ import annotations

import dataclasses
import pathlib
import tomllib
from typing import Any

MIB_PER_GIB = 1024


@dataclasses.dataclass(frozen=True)
class Identity:
    """An access key and the principal it belongs to."""

    account: str
    access_key_id: str
    secret_access_key: str
    principal: str
    source_function: str | None = None
    """The ARN of the Lambda function whose environment has the key."""


@dataclasses.dataclass(frozen=True)
class Image:
    owner: str
    region: str
    tags: dict[str, str]
    mib: int
    """MiB in the largest of its snapshots, which takes longest to copy."""


@dataclasses.dataclass(frozen=True)
class Key:
    region: str
    name: str
    """The key's alias, or its ID if it has none."""


@dataclasses.dataclass(frozen=True)
class Account:
    id: str
    is_member: bool
    """Whether the account belongs to the organization."""
    parent: str | None
    state: str
    roles: frozenset[str]
    keys: tuple[Key, ...]
    bucket: str | None


@dataclasses.dataclass(frozen=True)
class World:
    file: pathlib.Path
    speed: float
    copy_mib_per_second: float
    copy_start_seconds: float
    identities: tuple[Identity, ...]
    images: dict[str, Image]
    """Images by ID."""
    accounts_in_file: tuple[Account, ...]
    organization: str | None
    management_account: str | None
    parents: dict[str, str]
    """The ID of the unit or root above each organizational unit."""

    @property
    def owners(self) -> dict[str, str]:
        """Returns the account of each image."""
        return {image_id: image.owner for image_id, image in self.images.items()}

    @property
    def settings(self) -> dict[str, str]:
        """Returns settings that allow every account of the world, and its organization."""
        accounts = ",".join(account.id for account in self.accounts_in_file)
        settings = {"AMIFERRY_ALLOW_SHARE": "true", "AMIFERRY_ALLOWED_ACCOUNTS": accounts}
        return settings | (
            {"AMIFERRY_ALLOWED_ORGANIZATION": self.organization} if self.organization else {}
        )

    @property
    def accounts(self) -> set[str]:
        """Returns the accounts in which an identity can act."""
        return {identity.account for identity in self.identities}

    def bucket(self, account: str) -> str | None:
        return next((each.bucket for each in self.accounts_in_file if each.id == account), None)

    def home(self, image_id: str) -> str:
        """Returns the function's account: the image's, one with a function's key, or the first."""
        functions = [identity.account for identity in self.identities if identity.source_function]
        return self.owners.get(image_id) or next(iter(functions), self.identities[0].account)

    def function(self, account: str) -> Identity:
        """Returns the function's identity: the first access key of a function, or of a role."""
        own = [identity for identity in self.identities if identity.account == account]
        return next(
            (identity for identity in own if identity.source_function),
            self._first(account, ":role/"),
        )

    def reader(self, account: str) -> Identity:
        """Returns the identity to look with: the account's first access key of a user."""
        return self._first(account, ":user/")

    def copy_seconds(self, image_id: str, speed: float) -> float:
        """Returns the seconds of the longest copy of an image."""
        image = self.images.get(image_id)
        moving = image.mib / self.copy_mib_per_second if image else 0
        return (self.copy_start_seconds + moving) / speed

    def members(self, audience: list[str], role: str) -> list[str]:
        """Returns the active accounts; the management account only if it has the role."""
        found = []
        for account in self.accounts_in_file:
            above = [self.organization, *self._above(account.parent)] if account.is_member else []
            left_out = account.id == self.management_account and role not in account.roles
            if account.state == "ACTIVE" and not left_out and set(audience) & set(above):
                found.append(account.id)
        return found

    def _above(self, unit: str | None) -> list[str]:
        above: list[str] = []
        while unit and unit not in above:
            above.append(unit)
            unit = self.parents.get(unit)
        return above

    def _first(self, account: str, kind: str) -> Identity:
        own = [identity for identity in self.identities if identity.account == account]
        if not own:
            raise SystemExit(
                f"{self.file}: account {account} has no [[account.access_key]], "
                "so nobody can act in it"
            )
        return next((identity for identity in own if kind in identity.principal), own[0])


def read(file: pathlib.Path) -> World:
    try:
        content = tomllib.loads(file.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise SystemExit(f"{file}: {error}") from error
    accounts = content.get("account", [])
    if not any(account.get("access_key") for account in accounts):
        raise SystemExit(
            f"{file}: no account has an [[account.access_key]], so nobody can act in it"
        )
    organization = content.get("organization", {})
    root = organization.get("root")
    stored = {
        s["id"]: s.get("stored_mib", s["size"] * MIB_PER_GIB)
        for account in accounts
        for s in account.get("snapshot", [])
    }
    return World(
        file=file,
        speed=float(content.get("speed", 1.0)),
        copy_mib_per_second=float(content.get("copy_mib_per_second", 250.0)),
        copy_start_seconds=float(content.get("copy_start_seconds", 5.0)),
        identities=tuple(
            Identity(
                account["id"],
                key["id"],
                key["secret"],
                key["principal"],
                key.get("source_function"),
            )
            for account in accounts
            for key in account.get("access_key", [])
        ),
        images={
            image["id"]: _image(account, image, stored)
            for account in accounts
            for image in account.get("image", [])
        },
        accounts_in_file=tuple(_account(account, organization) for account in accounts),
        organization=organization.get("id")
        or next(
            (account["organization"] for account in accounts if "organization" in account), None
        ),
        management_account=organization.get("management_account"),
        parents={unit["id"]: unit.get("parent", root) for unit in organization.get("unit", [])},
    )


def _account(account: dict[str, Any], organization: dict[str, Any]) -> Account:
    manages = account["id"] == organization.get("management_account")
    return Account(
        id=account["id"],
        is_member=manages or "parent" in account or "organization" in account,
        parent=account.get("parent", organization.get("root")),
        state=account.get("state", "ACTIVE"),
        roles=frozenset(role["name"] for role in account.get("role", [])),
        keys=tuple(
            Key(key["region"], next(iter(key.get("aliases", [])), key["id"]))
            for key in account.get("key", [])
        ),
        bucket=next((bucket["name"] for bucket in account.get("bucket", [])), None),
    )


def _image(account: dict[str, Any], image: dict[str, Any], stored: dict[str, int]) -> Image:
    snapshots = [
        mapping["ebs"].get("snapshot_id")
        for mapping in image.get("mapping", [])
        if "ebs" in mapping
    ]
    mib = max((stored.get(snapshot, 0) for snapshot in snapshots), default=0)
    return Image(account["id"], image["region"], image.get("tags", {}), mib)


def with_latency(
    file: pathlib.Path, seconds: float, speed: float, folder: pathlib.Path
) -> pathlib.Path:
    """Copies the world, with `seconds` of real time for each call unless it names a latency."""
    text = file.read_text()
    if "latency_seconds" in tomllib.loads(text):
        return file
    copy = folder / file.name
    # Keys of the file itself come before its first table.
    copy.write_text(f"latency_seconds = {seconds * speed}\n{text}")
    return copy
