"""Checks every answer against botocore's service model.

botocore's own parser skips unknown elements, so a misspelt element would look like an absent one.
This check reads the raw answer before botocore does. It fails on any element, value or error
document that is not in the model.
"""

import json
import re
from xml.etree import ElementTree

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
NAMESPACES = {
    "ec2": "http://ec2.amazonaws.com/doc/2016-11-15/",
    "s3": "http://s3.amazonaws.com/doc/2006-03-01/",
    "iam": "https://iam.amazonaws.com/doc/2010-05-08/",
    "sts": "https://sts.amazonaws.com/doc/2011-06-15/",
}


def check(operation_model, response_dict, **_):
    """Handles botocore's `before-parse` event."""
    protocol = operation_model.service_model.resolved_protocol
    if protocol == "rest-json":
        return  # Lambda's Invoke: the answer is the function's own.
    body = response_dict["body"]
    if hasattr(body, "read"):
        body = b""  # An object on its way, which the client reads later.
    body = body if isinstance(body, bytes) else body.encode()
    failed = response_dict["status_code"] >= 300
    at = f"{operation_model.service_model.service_name}.{operation_model.name}"
    if protocol == "json":
        _json_document(operation_model, response_dict, body, failed, at)
    elif protocol == "rest-xml":
        _rest_xml(operation_model, response_dict, body, failed, at)
    elif failed:
        _xml_error(protocol, ElementTree.fromstring(body), at)
    else:
        _xml_document(protocol, operation_model, ElementTree.fromstring(body), at)


def _json_document(operation_model, response_dict, body, failed, at):
    document = json.loads(body) if body else {}
    assert response_dict["headers"].get("x-amzn-requestid"), f"{at}: no request ID"
    assert response_dict["headers"]["content-type"].startswith("application/x-amz-json-"), at
    if failed:
        assert re.fullmatch(r"[A-Za-z.#0-9]+", document["__type"]), f"{at}: {document}"
        known = {shape.name: set(shape.members) for shape in operation_model.error_shapes}
        more = known.get(document["__type"], set())
        assert set(document) <= {"__type", "message", "Message"} | more, f"{at}: {document}"
    elif operation_model.output_shape is None:
        assert document == {}, f"{at}: {document}"
    else:
        _json_value(operation_model.output_shape, document, at)


def _json_value(shape, value, at):
    if shape.type_name == "structure":
        for name, member in value.items():
            assert name in shape.members, f"{at}: the model knows no {name}"
            _json_value(shape.members[name], member, f"{at}.{name}")
    elif shape.type_name == "list":
        for index, item in enumerate(value):
            _json_value(shape.member, item, f"{at}[{index}]")
    elif shape.type_name == "map":
        for key, item in value.items():
            _json_value(shape.value, item, f"{at}.{key}")
    else:
        kinds = {
            "string": str,
            "boolean": bool,
            "integer": int,
            "long": int,
            "timestamp": (int, float),
        }
        assert isinstance(value, kinds[shape.type_name]), f"{at}: {value!r} is no {shape.type_name}"
        _enum(shape, value, at)


def _xml_error(protocol, root, at):
    if protocol == "ec2":
        assert _tag(root) == "Response" and [_tag(child) for child in root] == [
            "Errors",
            "RequestID",
        ], at
        [error] = root[0]
        assert [_tag(child) for child in error] == ["Code", "Message"], at
    else:
        assert _tag(root) == "ErrorResponse" and [_tag(child) for child in root] == [
            "Error",
            "RequestId",
        ], at
        assert {_tag(child) for child in root[0]} == {"Type", "Code", "Message"}, at
    assert root[1].text, f"{at}: no request ID"


#: The elements of an error of S3 beside its code and message.
S3_DETAILS = {
    *("BucketName", "Bucket", "Key", "Endpoint", "Region"),
    *("Condition", "Header", "HeadersNotSigned"),
}


def _rest_xml(operation_model, response_dict, body, failed, at):
    headers = {name.lower(): value for name, value in response_dict["headers"].items()}
    assert headers.get("x-amz-request-id"), f"{at}: no request ID"
    if failed:
        if body:
            root = ElementTree.fromstring(body)
            assert _tag(root) == "Error", f"{at}: {root.tag}"
            names = [_tag(child) for child in root]
            outer = names[:2] + names[-2:]
            assert outer == ["Code", "Message", "RequestId", "HostId"], f"{at}: {names}"
            assert set(names[2:-2]) <= S3_DETAILS, f"{at}: {names}"
        return
    shape = operation_model.output_shape
    in_headers = {
        member.serialization["name"].lower(): member
        for member in shape.members.values()
        if member.serialization.get("location") == "header"
    }
    for name, value in headers.items():
        known = name in in_headers or name in ("x-amz-request-id", "x-amz-id-2")
        assert known or not name.startswith("x-amz"), f"{at}: the model knows no header {name}"
        if name in in_headers:
            _enum(in_headers[name], value, f"{at}.{name}")
    if shape.serialization.get("payload") or not body:
        return
    root = ElementTree.fromstring(body)
    # The model names the root for some operations only.
    assert root.tag == f"{{{NAMESPACES['s3']}}}ListBucketResult", f"{at}: {root.tag}"
    _xml_members(shape, list(root), at)


def _xml_document(protocol, operation_model, root, at):
    namespace = NAMESPACES[operation_model.service_model.service_name]
    assert root.tag == f"{{{namespace}}}{operation_model.name}Response", f"{at}: {root.tag}"
    content = list(root)
    if protocol == "ec2":
        [request_id] = [child for child in content if _tag(child) == "requestId"]
        content.remove(request_id)
        assert request_id.text, f"{at}: no request ID"
    else:
        result, metadata = content
        assert _tag(result) == operation_model.output_shape.serialization["resultWrapper"], at
        assert [_tag(child) for child in metadata] == ["RequestId"] and metadata[0].text, at
        content = list(result)
    if operation_model.output_shape is None:
        # EC2 says `<return>true</return>` where the model has no output.
        assert [(_tag(child), child.text) for child in content] in ([], [("return", "true")]), at
    else:
        _xml_members(operation_model.output_shape, content, at)


def _xml_members(shape, children, at):
    known = {
        member.serialization.get("name", name): member for name, member in shape.members.items()
    }
    seen = set()
    for child in children:
        name = _tag(child)
        assert name in known, f"{at}: the model knows no <{name}>, only {sorted(known)}"
        if known[name].serialization.get("flattened"):
            _xml_value(known[name].member, child, f"{at}.{name}[]")
            continue
        assert name not in seen, f"{at}: <{name}> occurs twice"
        seen.add(name)
        _xml_value(known[name], child, f"{at}.{name}")


def _xml_value(shape, node, at):
    if shape.type_name == "structure":
        _xml_members(shape, list(node), at)
        return
    if shape.type_name == "list":
        for index, item in enumerate(node):
            assert _tag(item) == shape.member.serialization.get("name", "member"), (
                f"{at}: <{_tag(item)}>"
            )
            _xml_value(shape.member, item, f"{at}[{index}]")
        return
    assert len(node) == 0, f"{at}: elements inside a {shape.type_name}"
    text = node.text or ""
    if shape.type_name in ("integer", "long"):
        assert re.fullmatch(r"-?\d+", text), f"{at}: {text!r} is no integer"
    elif shape.type_name == "boolean":
        assert text in ("true", "false"), f"{at}: {text!r} is no boolean"
    elif shape.type_name == "timestamp":
        assert TIMESTAMP.fullmatch(text), f"{at}: {text!r} is no timestamp"
    else:
        assert shape.type_name == "string", f"{at}: unexpected {shape.type_name}"
        _enum(shape, text, at)


def _enum(shape, value, at):
    enum = getattr(shape, "enum", None)
    assert not enum or value in enum, f"{at}: {value!r} is none of {enum}"


def _tag(node):
    return node.tag.rpartition("}")[2]
