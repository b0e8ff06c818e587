"""The sandbox's world: who there is, which images the tests use, and the roles as the templates made them."""

import dataclasses
import hashlib
import json

SOURCE = "111111111111"
HOME = "us-west-2"
SOURCE_KEY_ID = "11111111-aaaa-bbbb-cccc-000000000001"
SOURCE_KEY = f"arn:aws:kms:{HOME}:{SOURCE}:key/{SOURCE_KEY_ID}"
KEY_ID = "22222222-aaaa-bbbb-cccc-000000000002"
ORGANIZATION = "o-amiferry01"
ROOT = "r-amif"
UNIT = "ou-amif-targets01"

#: Account → Region it is served in.
TARGETS = {"222222222222": HOME, "333333333333": HOME, "444444444444": "us-east-1"}
#: Its key is disabled, so that it fails at once.
BROKEN = "555555555555"
MANY = [str(600_000_000_000 + n) for n in range(1, 301)]

#: What a copy takes is its size: a GiB 2.6 s of AWS, and each 5 s more.
SPEED = 60
INSTANT, SOON, NEVER = 1, 400, 16000

#: Each test has an image of its own, with snapshots of these sizes in GiB.
IMAGES = {
    "three": (INSTANT, SOON),
    "many": (INSTANT,),
    "partly": (INSTANT,),
    "stopped": (NEVER,),
    "child": (NEVER,),
    "map": (NEVER,),
    "killed": (SOON,),
    "stack": (INSTANT,),
    "stack-2": (INSTANT,),
    "refused": (INSTANT,),
    "twice": (INSTANT,),
    "later": (SOON,),
    "template": (INSTANT,),
    "event": (INSTANT,),
    "untagged": (INSTANT,),
    "woken": (SOON,),
    "lost": (SOON,),
    "swept": (NEVER,),
    "running": (NEVER,),
    "shared": (INSTANT,),
    "shared-many": (INSTANT,),
    "unit": (INSTANT,),
    "direct": (INSTANT,),
}


def number(what, name):
    return hashlib.sha256(f"{what}/{name}".encode()).hexdigest()[:17]


def image_id(name):
    return f"ami-{number('image', name)}"


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
        return Role(self.name, self.trust.replace(old, new), tuple(policy.replace(old, new) for policy in self.policies))


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
        *account(SOURCE, [function], [(HOME, SOURCE_KEY_ID, "alias/shared-ami-key", "Enabled")]),
    ]
    for name, sizes in IMAGES.items():
        lines += image(name, sizes)
    for target, role in targets.items():
        regions = {HOME, TARGETS.get(target, HOME)}
        state = "Disabled" if target == BROKEN else "Enabled"
        parent = UNIT if target in TARGETS else None
        lines += account(target, [role], [(region, KEY_ID, "alias/amis", state) for region in sorted(regions)], parent)
    return "\n".join(lines) + "\n"


def account(account_id, roles, keys, parent=None):
    yield from ("", "[[account]]", f'id = "{account_id}"')
    if parent:
        yield f'parent = "{parent}"'
    for role in roles:
        yield from ("[[account.role]]", f'name = "{role.name}"', f"trust_policy = '''{role.trust}'''")
        quoted = ", ".join(f"'''{policy}'''" for policy in role.policies)
        yield f"policies = [{quoted}]"
        if role.credentials:
            yield from ("[[account.access_key]]", f'principal = "arn:aws:iam::{account_id}:role/{role.name}"')
            yield from (f'{key} = "{value}"' for key, value in role.credentials.items())
    for region, key_id, alias, state in keys:
        yield from ("[[account.key]]", f'region = "{region}"', f'id = "{key_id}"', f'aliases = ["{alias}"]', f'state = "{state}"')


def image(name, sizes):
    for snapshot_id, size in zip(snapshot_ids(name), sizes, strict=True):
        yield from ("[[account.snapshot]]", f'region = "{HOME}"', f'id = "{snapshot_id}"', f"size = {size}", f'key = "{SOURCE_KEY}"')
    tags = {"Name": name} | ({} if name == "untagged" else {"amiferry:distribute": "true"})
    yield from ("[[account.image]]", f'region = "{HOME}"', f'id = "{image_id(name)}"', f'name = "golden-{name}"')
    yield from ('architecture = "x86_64"', 'virtualization_type = "hvm"', 'root_device_name = "/dev/xvda"', "ena_support = true")
    pairs = ", ".join(f"{json.dumps(key)} = {json.dumps(value)}" for key, value in tags.items())
    yield f"tags = {{ {pairs} }}"
    for n, (snapshot_id, size) in enumerate(zip(snapshot_ids(name), sizes, strict=True)):
        device = "/dev/xvda" if n == 0 else f"/dev/sd{chr(ord('f') + n)}"
        yield "[[account.image.mapping]]"
        yield f'device_name = "{device}"'
        yield f'ebs = {{ snapshot_id = "{snapshot_id}", volume_size = {size}, volume_type = "gp3", delete_on_termination = true }}'
