"""S3, as boto3 and the AWS CLI use it with the bucket of a ledger."""

import json
import urllib.request

import pytest

from clients import SESSION, refused
from names import AWAY, HOME, LEDGER, LEDGER_AWAY, PRODUCER


@pytest.fixture
def s3(sandbox):
    return sandbox.producer.client("s3", HOME)


def read(s3, key):
    return s3.get_object(Bucket=LEDGER, Key=key)["Body"].read()


def test_an_object_reads_back_as_it_was_written(s3):
    body = bytes(range(256)) * 1000
    written = s3.put_object(Bucket=LEDGER, Key="runs/a b+ü&<x>", Body=body, ContentType="text/x")
    answer = s3.get_object(Bucket=LEDGER, Key="runs/a b+ü&<x>")
    assert answer["Body"].read() == body
    assert (answer["ETag"], answer["ContentType"]) == (written["ETag"], "text/x")
    assert answer["ChecksumCRC32"] == written["ChecksumCRC32"]
    head = s3.head_object(Bucket=LEDGER, Key="runs/a b+ü&<x>")
    assert (head["ETag"], head["ContentLength"]) == (written["ETag"], len(body))
    assert s3.head_bucket(Bucket=LEDGER)["BucketRegion"] == HOME
    s3.delete_object(Bucket=LEDGER, Key="runs/a b+ü&<x>")
    with refused("NoSuchKey"):
        s3.get_object(Bucket=LEDGER, Key="runs/a b+ü&<x>")
    with refused("404"):
        s3.head_object(Bucket=LEDGER, Key="runs/a b+ü&<x>")


def test_a_stream_is_written(s3, tmp_path):
    path = tmp_path / "body"
    path.write_bytes(b"line\n" * 100_000)
    with path.open("rb") as stream:
        s3.put_object(Bucket=LEDGER, Key="stream", Body=stream)
    assert read(s3, "stream") == path.read_bytes()


def test_a_write_and_a_delete_happen_only_on_their_condition(s3):
    with refused("NoSuchKey"):
        s3.put_object(Bucket=LEDGER, Key="a", Body=b"1", IfMatch='"x"')
    etag = s3.put_object(Bucket=LEDGER, Key="a", Body=b"1", IfNoneMatch="*")["ETag"]
    with refused("PreconditionFailed"):
        s3.put_object(Bucket=LEDGER, Key="a", Body=b"2", IfNoneMatch="*")
    other = s3.put_object(Bucket=LEDGER, Key="a", Body=b"2", IfMatch=etag)["ETag"]
    with refused("PreconditionFailed"):
        s3.put_object(Bucket=LEDGER, Key="a", Body=b"3", IfMatch=etag)
    assert s3.put_object(Bucket=LEDGER, Key="a", Body=b"1", IfMatch=other)["ETag"] == etag
    with refused("PreconditionFailed"):
        s3.delete_object(Bucket=LEDGER, Key="a", IfMatch=other)
    s3.delete_object(Bucket=LEDGER, Key="a", IfMatch=etag)
    with refused("NoSuchKey"):
        s3.delete_object(Bucket=LEDGER, Key="a", IfMatch=etag)


def test_a_listing_goes_page_by_page(s3):
    keys = [f"runs/{number:02} +ü" for number in range(7)]
    for key in [*keys, "other"]:
        s3.put_object(Bucket=LEDGER, Key=key, Body=b"1")
    pages = list(
        s3.get_paginator("list_objects_v2").paginate(
            Bucket=LEDGER, Prefix="runs/", PaginationConfig={"PageSize": 3}
        )
    )
    assert [page["KeyCount"] for page in pages] == [3, 3, 1]
    assert [item["Key"] for page in pages for item in page["Contents"]] == keys
    assert pages[0]["Contents"][0]["Size"] == 1
    after = s3.list_objects_v2(Bucket=LEDGER, StartAfter=keys[5])
    assert [item["Key"] for item in after["Contents"]] == [keys[6]]
    assert "Contents" not in s3.list_objects_v2(Bucket=LEDGER, Prefix="nothing")


def test_the_cli_writes_lists_and_reads(sandbox, tmp_path):
    body, copy = tmp_path / "body", tmp_path / "copy"
    body.write_text("content")
    producer, where = sandbox.producer, ("--bucket", LEDGER, "--key", "runs/cli")
    once = ("s3api", "put-object", *where, "--body", str(body), "--if-none-match", "*")
    put = producer.cli(HOME, *once)
    with refused("PreconditionFailed"):
        producer.cli(HOME, *once)
    got = producer.cli(HOME, "s3api", "get-object", *where, str(copy))
    assert (got["ETag"], copy.read_text()) == (put["ETag"], "content")
    listed = producer.cli(HOME, "s3api", "list-objects-v2", "--bucket", LEDGER)
    assert [item["Key"] for item in listed["Contents"]] == ["runs/cli"]
    producer.cli(HOME, "s3api", "delete-object", *where, "--if-match", put["ETag"])
    with refused("NoSuchKey"):
        producer.cli(HOME, "s3api", "get-object", *where, str(copy))


def test_each_s3_operation_needs_its_permission(sandbox):
    with refused("AccessDenied", "s3:GetObject", "because no identity-based policy allows"):
        sandbox.distributor.client("s3", HOME).get_object(Bucket=LEDGER, Key="a")
    with refused("AccessDenied", "Access Denied"):
        sandbox.outsider.client("s3", HOME).get_object(Bucket=LEDGER, Key="a")
    with refused("AccessDenied", "explicit deny in a resource-based policy"):
        sandbox.producer.client("s3", HOME).get_object(Bucket=LEDGER, Key="forbidden/a")
    with refused("NoSuchBucket"):
        sandbox.producer.client("s3", HOME).get_object(Bucket="nowhere", Key="a")
    for key, code in (
        ("AKIANOBODY0000000001", "InvalidAccessKeyId"),
        ("AKIAPRODUCER00000001", "SignatureDoesNotMatch"),
    ):
        with refused(code):
            sandbox.caller(key, "x").client("s3", HOME).get_object(Bucket=LEDGER, Key="a")
    with refused("AccessDenied"):
        owner = {"ExpectedBucketOwner": "333333333333"}
        sandbox.producer.client("s3", HOME).get_object(Bucket=LEDGER, Key="a", **owner)


def test_a_client_of_another_region_is_sent_to_the_bucket(sandbox):
    """boto3 follows the redirect by itself."""
    away = sandbox.producer.client("s3", AWAY)
    away.put_object(Bucket=LEDGER, Key="a", Body=b"1")
    calls = ledger(sandbox)
    assert [(call["region"], call["error"]) for call in calls][0] == (AWAY, "PermanentRedirect")
    assert calls[-1]["region"] == HOME and calls[-1]["outcome"] == "ok"
    assert away.list_objects_v2(Bucket=LEDGER_AWAY)["KeyCount"] == 1


def ledger(sandbox):
    with urllib.request.urlopen(f"{sandbox.url}/_sandbox/ledger", timeout=5) as answer:
        return json.load(answer)


def test_the_inspection_shows_buckets(sandbox, s3):
    s3.put_object(Bucket=LEDGER, Key="a", Body=b"1")
    with urllib.request.urlopen(f"{sandbox.url}/_sandbox/world", timeout=5) as answer:
        [bucket] = json.load(answer)["accounts"][PRODUCER][HOME]["buckets"]
    assert bucket["name"] == LEDGER
    assert [(item["key"], item["body"]) for item in bucket["objects"]] == [("a", "1")]
    [call] = ledger(sandbox)
    assert (call["service"], call["operation"]) == ("s3", "PutObject")
    assert call["params"] == {"Bucket": LEDGER, "Key": "a"}


def test_an_s3_call_that_is_not_modelled_is_refused(s3):
    with refused("NotImplemented"):
        s3.list_buckets()
    with refused("NotImplemented"):
        s3.list_objects_v2(Bucket=LEDGER, Delimiter="/")
    with refused("NotImplemented"):
        s3.put_object(Bucket=LEDGER, Key="a", Body=b"1", Metadata={"a": "1"})
    with refused("NotImplemented"):
        s3.create_multipart_upload(Bucket=LEDGER, Key="a")
    with refused("NotImplemented"):
        s3.get_object(Bucket=LEDGER, Key="a", Range="bytes=0-1")


def test_the_real_endpoint_has_the_bucket_in_its_name():
    real = SESSION.client("s3", region_name=AWAY, aws_access_key_id="a", aws_secret_access_key="b")
    url = real.generate_presigned_url("get_object", {"Bucket": LEDGER, "Key": "a"})
    assert url.startswith(f"https://{LEDGER}.s3.")
