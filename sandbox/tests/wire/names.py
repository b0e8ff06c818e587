"""The names of `world.toml`."""

HOME, AWAY = "us-east-1", "us-west-2"

PRODUCER, CONSUMER, OUTSIDER = "111111111111", "222222222222", "333333333333"
MANAGEMENT, CLOSING, SLEEPING = "999999999999", "444444444444", "555555555555"

ORGANIZATION, ROOT_ID = "o-wiretests0", "r-wire"
#: The OU Production is inside Workloads.
WORKLOADS, PRODUCTION = "ou-wire-11111111", "ou-wire-22222222"

DISTRIBUTOR = f"arn:aws:iam::{PRODUCER}:role/Distributor"
COPY_ROLE = f"arn:aws:iam::{CONSUMER}:role/AmiCopyRole"
SCALER = (
    f"arn:aws:iam::{CONSUMER}:role/aws-service-role/autoscaling.amazonaws.com/"
    "AWSServiceRoleForAutoScaling"
)
LONG_ROLE = f"arn:aws:iam::{CONSUMER}:role/LongRole"

SOURCE_KEY = f"arn:aws:kms:{HOME}:{PRODUCER}:key/11111111-1111-4111-8111-111111111111"
TARGET_KEY = f"arn:aws:kms:{AWAY}:{CONSUMER}:key/22222222-2222-4222-8222-222222222222"
HOME_TARGET_KEY = f"arn:aws:kms:{HOME}:{CONSUMER}:key/22222222-2222-4222-8222-22222222ea57"
DISABLED_KEY = f"arn:aws:kms:{AWAY}:{CONSUMER}:key/22222222-2222-4222-8222-22222222dead"
MISSING_KEY = f"arn:aws:kms:{AWAY}:{CONSUMER}:key/22222222-2222-4222-8222-2222222200ff"
FOREIGN_KEY = f"arn:aws:kms:{AWAY}:{OUTSIDER}:key/33333333-3333-4333-8333-333333333333"

GOLDEN = "ami-0aaaaaaaaaaaaaaa1"
#: A launch template of the producer.
FLEET = "lt-0aaaaaaaaaaaaaaa1"
GOLDEN_ROOT, GOLDEN_DATA = "snap-0aaaaaaaaaaaaaaa1", "snap-0aaaaaaaaaaaaaaa2"
BULK = "snap-0bbbbbbbbbbbbbbb1"
MANAGED, MANAGED_IMAGE = "snap-0ccccccccccccccc1", "ami-0ccccccccccccccc1"
ARCHIVED = "snap-0ddddddddddddddd1"
PLAIN = "snap-0eeeeeeeeeeeeeee1"

#: Buckets of the producer, at home and away.
LEDGER, LEDGER_AWAY = "amiferry-ledger", "amiferry-ledger-away"

#: The operations of the source key that EC2 uses while it copies.
COPY_OPERATIONS = [
    "DescribeKey",
    "Decrypt",
    "CreateGrant",
    "GenerateDataKeyWithoutPlaintext",
    "ReEncryptFrom",
    "ReEncryptTo",
]
