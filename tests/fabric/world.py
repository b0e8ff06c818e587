"""The sandbox's world: its accounts, the images of the tests, and the roles from the templates."""

import dataclasses
import hashlib
import json

SOURCE = "111111111111"
HOME = "us-west-2"
SOURCE_KEYS = f"arn:aws:kms:{HOME}:{SOURCE}:key/*"
KEY_ID = "22222222-aaaa-bbbb-cccc-000000000002"
#: The access key of a person who administers the source account in the sandbox.
ADMINISTRATOR = "AKIAADMINISTRATOR000"
ORGANIZATION = "o-amiferry01"
ROOT = "r-amif"
UNIT = "ou-amif-targets01"

#: Account → Region it is served in.
TARGETS = {"222222222222": HOME, "333333333333": HOME, "444444444444": "us-east-1"}
#: The key is disabled, so that it fails at once.
BROKEN = "555555555555"
#: Auto Scaling launches here; no other scenario has copies under its key.
LAUNCHING = "777777777777"
#: With the others as many as AllowedAccountIds holds.
MANY = [str(600_000_000_000 + n) for n in range(1, 246)]

#: A copy takes 2.56 s of AWS for each GiB, and 5 s more: here no time, 5 s, a minute, 11 minutes.
SPEED = 60
INSTANT, SOON, WHILE, NEVER = 1, 120, 1400, 16000

#: Each scenario has images of its own, each under a key of its own, with snapshots of these sizes
#: in GiB.
IMAGES = {
    "three": (INSTANT, SOON),
    "whole": (INSTANT, SOON),
    "many": (INSTANT,),
    "partly": (INSTANT,),
    "failing": (INSTANT,),
    "unit": (INSTANT,),
    "organization": (INSTANT,),
    "stopped": (NEVER,),
    "child": (NEVER,),
    "map": (INSTANT,),
    "unconcluded": (INSTANT,),
    "running": (NEVER,),
    "killed": (SOON,),
    "life": (INSTANT,),
    "life-2": (INSTANT,),
    "retained": (INSTANT,),
    "retagged": (INSTANT,),
    "refused": (INSTANT,),
    "twice": (INSTANT,),
    "later": (SOON,),
    "template": (INSTANT,),
    "alone": (SOON,),
    "event": (INSTANT,),
    "untagged": (INSTANT,),
    "copied": (INSTANT,),
    "woken": (WHILE,),
    "lost": (WHILE,),
    "launching": (INSTANT,),
    "policy": (SOON,),
    "managed": (INSTANT, SOON),
    "shared": (INSTANT,),
    "shared-many": (INSTANT,),
    "shared-event": (INSTANT,),
    "shared-many-event": (INSTANT,),
    "stuck": (INSTANT,),
    "watched": (NEVER,),
}
TAGS = {
    "untagged": {},
    "copied": {
        "amiferry:distribute": "true",
        "amiferry:source-image": "ami-0123456789abcdef0",
        "amiferry:run": "0123456789abcdef",
    },
}


#: Attributes that only DescribeImageAttribute returns.
UEFI = {"three": 'boot_mode = "uefi"\nuefi_data = "QU1aTlVFRkkQAAAAAAAAAHRlc3Q="'}
#: Encrypted with aws/ebs, which nobody can share.
MANAGED = {"managed"}
#: EBS gives up half-way.
FAILING = {"failing": '[50, "Internal error"]'}


def allowed():
    """AllowedAccountIds of the stack."""
    return [*TARGETS, BROKEN, LAUNCHING, *MANY]


def number(what, name):
    return hashlib.sha256(f"{what}/{name}".encode()).hexdigest()[:17]


def image_id(name):
    return f"ami-{number('image', name)}"


def key_id(name):
    digits = number("key", name)
    return f"{digits[:8]}-aaaa-bbbb-cccc-000{digits[8:]}"


def key_arn(name):
    return SOURCE_KEYS.replace("*", key_id(name))


def snapshot_ids(name):
    return [f"snap-{number('snapshot', f'{name}/{n}')}" for n in range(len(IMAGES[name]))]


@dataclasses.dataclass(frozen=True)
class Role:
    """A role as CloudFormation made it: policies are JSON texts."""

    name: str
    trust: str
    policies: tuple[str, ...]
    credentials: dict | None = None

    def of_account(self, old, new):
        return Role(
            self.name,
            self.trust.replace(old, new),
            tuple(policy.replace(old, new) for policy in self.policies),
        )


def text(function, targets):
    """The world file. `targets` is account → role."""
    lines = [
        f"speed = {float(SPEED)}",
        "copy_mib_per_second = 400.0",
        "copy_start_seconds = 5.0",
        "",
        "[organization]",
        f'id = "{ORGANIZATION}"',
        f'management_account = "{SOURCE}"',
        f'root = "{ROOT}"',
        "[[organization.unit]]",
        f'id = "{UNIT}"',
        'name = "targets"',
        *account(
            SOURCE,
            [function],
            [(HOME, key_id(name), f"alias/{name}", "Enabled") for name in IMAGES],
        ),
    ]
    for name, sizes in IMAGES.items():
        lines += image(name, sizes)
    for target, role in targets.items():
        regions = {HOME, TARGETS.get(target, HOME)}
        state = "Disabled" if target == BROKEN else "Enabled"
        parent = UNIT if target in TARGETS else None
        lines += account(
            target,
            [role],
            [(region, KEY_ID, "alias/amis", state) for region in sorted(regions)],
            parent,
        )
    return "\n".join(lines) + "\n"


def account(account_id, roles, keys, parent=None):
    yield from ("", "[[account]]", f'id = "{account_id}"')
    if parent:
        yield f'parent = "{parent}"'
    for role in roles:
        yield from (
            "[[account.role]]",
            f'name = "{role.name}"',
            f"trust_policy = '''{role.trust}'''",
        )
        quoted = ", ".join(f"'''{policy}'''" for policy in role.policies)
        yield f"policies = [{quoted}]"
        if role.credentials:
            yield from (
                "[[account.access_key]]",
                f'principal = "arn:aws:iam::{account_id}:role/{role.name}"',
            )
            yield from (f'{key} = "{value}"' for key, value in role.credentials.items())
    if account_id == SOURCE:
        everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": everything})
        yield from (
            "[[account.user]]",
            'name = "administrator"',
            f"policies = ['{policy}']",
            "[[account.access_key]]",
            f'principal = "arn:aws:iam::{account_id}:user/administrator"',
            f'id = "{ADMINISTRATOR}"',
            'secret = "test"',
        )
    for region, key_id, alias, state in keys:
        yield from (
            "[[account.key]]",
            f'region = "{region}"',
            f'id = "{key_id}"',
            f'aliases = ["{alias}"]',
            f'state = "{state}"',
        )


def image(name, sizes):
    for snapshot_id, size in zip(snapshot_ids(name), sizes, strict=True):
        yield from (
            "[[account.snapshot]]",
            f'region = "{HOME}"',
            f'id = "{snapshot_id}"',
            f"size = {size}",
            f'key = "{"alias/aws/ebs" if name in MANAGED else key_arn(name)}"',
        )
        if name in FAILING:
            yield f"copies_fail_at = {FAILING[name]}"
    tags = {"Name": name} | TAGS.get(name, {"amiferry:distribute": "true"})
    yield from (
        "[[account.image]]",
        f'region = "{HOME}"',
        f'id = "{image_id(name)}"',
        f'name = "golden-{name}"',
    )
    yield from (
        'architecture = "x86_64"',
        'virtualization_type = "hvm"',
        'root_device_name = "/dev/xvda"',
        "ena_support = true",
    )
    yield UEFI.get(name, "")
    pairs = ", ".join(f"{json.dumps(key)} = {json.dumps(value)}" for key, value in tags.items())
    yield f"tags = {{ {pairs} }}"
    for n, (snapshot_id, size) in enumerate(zip(snapshot_ids(name), sizes, strict=True)):
        device = "/dev/xvda" if n == 0 else f"/dev/sd{chr(ord('f') + n)}"
        yield "[[account.image.mapping]]"
        yield f'device_name = "{device}"'
        yield (
            f'ebs = {{ snapshot_id = "{snapshot_id}", volume_size = {size}, '
            'volume_type = "gp3", delete_on_termination = true }'
        )
