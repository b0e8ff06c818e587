"""Who there is in the sandbox's world: read from the same file the sandbox reads."""

from __future__ import annotations

import dataclasses
import pathlib
import tomllib


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
class World:
    file: pathlib.Path
    speed: float
    identities: tuple[Identity, ...]
    owners: dict[str, str]
    """Image ID → account."""
    account_ids: tuple[str, ...]
    organization: str | None

    @property
    def settings(self) -> dict[str, str]:
        """Settings of the function under which each account of the world, and its organization, may be given anything."""
        settings = {"AMIFERRY_ALLOW_SHARE": "true", "AMIFERRY_ALLOWED_ACCOUNTS": ",".join(self.account_ids)}
        return settings | ({"AMIFERRY_ALLOWED_ORGANIZATION": self.organization} if self.organization else {})

    @property
    def accounts(self) -> set[str]:
        return {identity.account for identity in self.identities}

    def function(self, account: str) -> Identity:
        """The identity the function runs under: the account's first access key of a function, or else of a role."""
        own = [identity for identity in self.identities if identity.account == account]
        return next((identity for identity in own if identity.source_function), self._first(account, ":role/"))

    def reader(self, account: str) -> Identity:
        """The identity to look with: the account's first access key that belongs to a user."""
        return self._first(account, ":user/")

    def _first(self, account: str, kind: str) -> Identity:
        own = [identity for identity in self.identities if identity.account == account]
        return next((identity for identity in own if kind in identity.principal), own[0])


def read(file: pathlib.Path) -> World:
    try:
        content = tomllib.loads(file.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise SystemExit(f"{file}: {error}") from error
    accounts = content.get("account", [])
    if not any(account.get("access_key") for account in accounts):
        raise SystemExit(f"{file}: no account has an access_key, so nobody can act in it")
    return World(
        file=file,
        speed=float(content.get("speed", 1.0)),
        identities=tuple(
            Identity(account["id"], key["id"], key["secret"], key["principal"], key.get("source_function"))
            for account in accounts
            for key in account.get("access_key", [])
        ),
        owners={image["id"]: account["id"] for account in accounts for image in account.get("image", [])},
        account_ids=tuple(account["id"] for account in accounts),
        organization=content.get("organization", {}).get("id")
        or next((account["organization"] for account in accounts if "organization" in account), None),
    )


def with_latency(file: pathlib.Path, seconds: float, speed: float, folder: pathlib.Path) -> pathlib.Path:
    """A copy of the world in which every call takes `seconds` of real time, unless it says itself how long they take."""
    text = file.read_text()
    if "latency_seconds" in tomllib.loads(text):
        return file
    copy = folder / file.name
    # Keys of the file itself come before its first table.
    copy.write_text(f"latency_seconds = {seconds * speed}\n{text}")
    return copy
