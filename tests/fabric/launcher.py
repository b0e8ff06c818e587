"""ministack with its gaps closed: run in place of `python -m ministack`.

ministack plays Lambda, Step Functions, EventBridge, CloudFormation, IAM, S3, SNS, SQS, SSM and
CloudWatch Logs. Where it does otherwise than AWS in a point on which this project depends, a patch
below does as AWS. A patch is our own statement about AWS, so a test that leans on one proves less;
it names the patch by its number.

| patch | AWS does |
|---|---|
| 1  | puts events of source `aws.*`; here the test is AWS |
| 2  | carries out Lambda, SNS, EventBridge and SDK tasks as the machine's role may |
| 3  | honours TimeoutSecondsPath and MaxConcurrencyPath |
| 4  | runs nothing of an ended execution; refuses states and results of more than 256 KiB |
| 5  | leaves an ended execution as it ended |
| 6  | answers StartExecution as the first time while an execution of that name and input runs |
| 7  | sends Delete for a custom resource whose Create failed |
| 8  | refuses an answer with a Content-Type, and one of more than 4,096 bytes |
| 9  | writes the results of a Map with a ResultWriter into S3 |
| 10 | asks the role's policies before a Map starts children, reads items and writes results |
| 11 | judges SendTaskSuccess by the machine that waits, GetParametersByPath by the path |
| 12 | is reached over TLS, which a bucket policy may ask for |
| 13 | carries events to another account's bus, with the permissions of the target's role |
| 14 | names a role's session to `aws:PrincipalArn` by the role's ARN |
| 15 | tells policies the source of an event that is put (`events:source`) |
| 16 | hands CloudTrail's read-only events only to rules whose state asks for them |
| 17 | takes indices of arrays in the paths of an input transformer |

SFN_WAIT_SCALE shortens Wait states and retries, but not the time that a task token is waited for.

Every call that was judged by a role's policies is written to the file in AMIFERRY_FABRIC_LEDGER,
one JSON object a line, in the shape of the sandbox's ledger; so is every answer to CloudFormation,
and how large states were.
"""

import contextvars
import datetime
import functools
import hashlib
import inspect
import json
import os
import threading
from types import SimpleNamespace

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from ministack import app
from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import eventbridge, lambda_svc, sts
from ministack.services import stepfunctions as sf
from ministack.services.cloudformation import custom_resource

assert app._version() == "1.5.33", "check every patch against this ministack first"

LIMIT = 256 * 1024
LARGEST_ANSWER = 4096
Failed = sf._ExecutionError

# --------------------------------------------------------------------------------------- the ledger

_ledger = open(os.environ["AMIFERRY_FABRIC_LEDGER"], "a", buffering=1)
_writing = threading.Lock()
_judged = contextvars.ContextVar("judged", default=None)


def note(kind, **values):
    at = datetime.datetime.now(datetime.UTC).isoformat()
    with _writing:
        _ledger.write(json.dumps({"kind": kind, "at": at} | values) + "\n")


plain_evaluate, plain_enforce = iam_evaluator.evaluate, iam_evaluator.enforce


def evaluate(context, *policies):
    result = plain_evaluate(context, *policies)
    _judged.set((context, result))
    return result


def enforce(access_key_id, iam_action, service, region, resource_arn="*", service_context=None):
    _judged.set(None)
    denied = plain_enforce(
        access_key_id,
        iam_action,
        service,
        region,
        resource_arn=resource_arn,
        service_context=service_context,
    )
    if _judged.get() is not None:  # the account itself is not judged by policies
        context, result = _judged.get()
        note(
            "call",
            service=service,
            operation=iam_action.partition(":")[2],
            action=iam_action,
            account=context.principal_account,
            region=region,
            principal=context.principal_arn,
            resource=resource_arn,
            params={},
            sid=result.matched_sid,
            outcome="error" if denied else "ok",
            error="AccessDenied" if denied else None,
        )
    return denied


iam_evaluator.evaluate, iam_evaluator.enforce = evaluate, enforce

# ---------------------------------------- 14., 15. who a session is to a condition, what it puts

plain_condition_key = iam_evaluator._resolve_condition_key
_source = contextvars.ContextVar("source", default=None)


def condition_key(key, context):
    if key.lower() == "events:source":
        return _source.get()
    value = plain_condition_key(key, context)
    if key.lower() != "aws:principalarn" or ":assumed-role/" not in str(value):
        return value
    account, role = value.split(":")[4], value.split("/")[1]
    return f"arn:aws:iam::{account}:role/{role}"


iam_evaluator._resolve_condition_key = condition_key

# ------------------------------------------------------------------------------- 12. the front door

plain_pin = app.pin_request_origin
app.pin_request_origin = lambda address, secure: plain_pin(address, True)

# --------------------------------------------------------------------------- 1. events of AWS's own

eventbridge._put_events.__defaults__ = (True,)

# ----------------------------------------------------------------------------- 2. tasks have a role

_role = contextvars.ContextVar("role", default=None)
_machine = contextvars.ContextVar("machine", default=None)
_machines_of_tokens = {}


def credentials(role):
    """A session of `role`, known to ministack."""
    secret = hashlib.sha256(role.encode()).hexdigest()
    key, name, account = f"ASIA{secret[:16].upper()}", role.rsplit("/", 1)[-1], role.split(":")[4]
    session = {
        "Arn": f"arn:aws:sts::{account}:assumed-role/{name}/states",
        "UserId": f"{name}:states",
    }
    sts.register_session(key, session | {"SecretAccessKey": secret, "SessionToken": secret})
    return {"aws_access_key_id": key, "aws_secret_access_key": secret, "aws_session_token": secret}


_making = threading.Lock()
_session = boto3.session.Session()


@functools.cache
def client_of(service, region, role):
    return _session.client(
        service,
        region_name=region,
        endpoint_url=os.environ["AWS_ENDPOINT_URL"],
        config=Config(
            retries={"total_max_attempts": 1},
            read_timeout=910,
            max_pool_connections=100,
            s3={"addressing_style": "path"},
        ),
        **credentials(role),
    )


def client(service, role):
    with _making:
        return client_of(service, get_region(), role)


def task(resource, data):
    """Carries out a task by calling the service as the machine's role, and names a refusal as Step
    Functions does (a guess for SDK integrations: nobody may catch them by name)."""
    parts = resource.replace(".waitForTaskToken", "").split(":")
    service, action = (parts[6], parts[7]) if parts[5] == "aws-sdk" else (parts[5], parts[6])
    calling = client(service, _role.get())
    method = next(
        name
        for name, operation in calling.meta.method_to_api_mapping.items()
        if operation.lower() == action.lower()
    )
    shape = calling.meta.service_model.operation_model(
        calling.meta.method_to_api_mapping[method]
    ).input_shape
    arguments = dict(data)
    for name, value in data.items():
        kind = shape.members[name].type_name
        if kind == "blob":
            arguments[name] = json.dumps(value).encode()
        elif kind == "string" and not isinstance(value, str):
            arguments[name] = json.dumps(value)
    if "Entries" in arguments:
        arguments["Entries"] = [
            entry | {"Detail": json.dumps(entry["Detail"])} for entry in data["Entries"]
        ]
    try:
        answer = getattr(calling, method)(**arguments)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        prefix = {"sns": "SNS", "lambda": "Lambda"}.get(service, service.capitalize())
        raise Failed(
            f"{prefix}.{code if code.endswith('Exception') else code + 'Exception'}", str(error)
        ) from error
    answer.pop("ResponseMetadata", None)
    if service != "lambda":
        return json.loads(json.dumps(answer, default=str))
    body = answer["Payload"].read()
    payload = json.loads(body) if body else None
    if answer.get("FunctionError"):
        raise Failed(payload.get("errorType", "Lambda.Unknown"), json.dumps(payload))
    return {"StatusCode": answer["StatusCode"], "Payload": payload, "ExecutedVersion": "$LATEST"}


plain_invoke = sf._invoke_resource
OURS = (
    "arn:aws:states:::lambda:invoke",
    "arn:aws:states:::sns:publish",
    "arn:aws:states:::events:putEvents",
    "arn:aws:states:::aws-sdk:",
)
sf._invoke_resource = lambda resource, data: (
    task(resource, data) if resource.startswith(OURS) else plain_invoke(resource, data)
)
sf._invoke_aws_sdk_integration = task  # what the callback pattern calls

plain_callback = sf._invoke_with_callback


def with_callback(resource, data, token, state):
    _machines_of_tokens[token] = _machine.get()
    return plain_callback(resource, data, token, state)


sf._invoke_with_callback = with_callback

# ---------------------------------------------------------------- 3., 4. what surrounds every state


def resolved(state, raw, context):
    state = dict(state)
    for name in ("TimeoutSeconds", "MaxConcurrency"):
        if f"{name}Path" in state:
            state[name] = sf._resolve_path_or_ctx(
                state[f"{name}Path"], sf._apply_input_path(state, raw, context), context
            )
    return state


_largest = {}


def fits(value, execution, state):
    size = len(json.dumps(value, separators=(",", ":")).encode())
    if size > _largest.get((execution, state), 0):
        _largest[execution, state] = size
        note("size", execution=execution, state=state, bytes=size)
    if size > LIMIT:
        raise Failed(
            "States.DataLimitExceeded",
            "the state/task returned a result larger than the service's limit",
        )
    return value


def surround(name):
    plain = getattr(sf, name)
    has_execution = "execution" in inspect.signature(plain).parameters

    @functools.wraps(plain)
    def state(definition, raw, *rest):
        context = rest[-1]
        parent = sf._executions.get(context["Execution"]["Id"])
        if parent["status"] != "RUNNING":
            raise Failed("States.Aborted", "the execution has ended")
        running = rest[0] if has_execution else parent
        _role.set(sf._state_machines[parent["stateMachineArn"]]["roleArn"])
        _machine.set(running["stateMachineArn"])
        where = context["Execution"]["Id"], context["State"]["Name"]
        output, following = plain(resolved(definition, raw, context), fits(raw, *where), *rest)
        return fits(output, *where), following

    setattr(sf, name, state)


for name in ("_execute_task", "_execute_pass", "_execute_wait", "_execute_choice", "_execute_map"):
    surround(name)

# ------------------------------------------------------------------- 5. an ended execution is ended

plain_fail = sf._fail_execution


def fail(execution, error, cause):
    if execution["status"] == "RUNNING":
        plain_fail(execution, error, cause)


sf._fail_execution = fail

# ---------------------------------------------------------------------------- 6. the same execution

plain_start = sf._start_execution


def start(data):
    given = data.get("input", "{}")
    if len(given.encode()) > LIMIT:
        return sf.error_response_json("InvalidExecutionInput", "input is too long", 400)
    machine = sf._resolve_state_machine_arn(data.get("stateMachineArn", ""))
    if machine and data.get("name"):
        name = sf._state_machines[machine]["name"]
        there = sf._executions.get(
            f"arn:aws:states:{get_region()}:{get_account_id()}:execution:{name}:{data['name']}"
        )
        if there and there["status"] == "RUNNING" and there["input"] == given:
            return sf.json_response(
                {"executionArn": there["executionArn"], "startDate": there["startDate"]}
            )
    return plain_start(data)


sf._start_execution = start

# ------------------------------------------------------------------ 7., 8. CloudFormation's answers

plain_custom, plain_deliver, plain_shortcuts = (
    custom_resource.invoke_custom_resource,
    custom_resource.deliver_response,
    app._handle_post_body_shortcuts,
)
_answered = {}


async def shortcuts(method, path, headers, body, query, request_id):
    if method != "PUT" or not path.startswith("/_ministack/cfn-response/"):
        return await plain_shortcuts(method, path, headers, body, query, request_id)
    kind = headers.get("content-type")
    note(
        "answer", path=path, content_type=kind, bytes=len(body), body=body.decode(errors="replace")
    )
    if kind:
        return 403, {}, b"<Error><Code>SignatureDoesNotMatch</Code></Error>"
    if len(body) > LARGEST_ANSWER:
        body = json.dumps(
            json.loads(body)
            | {"Status": "FAILED", "Reason": "Response object is too long.", "Data": {}}
        ).encode()
    return await plain_shortcuts(method, path, headers, body, query, request_id)


def deliver(token, answer):
    _answered[answer.get("StackId"), answer.get("LogicalResourceId")] = answer.get(
        "PhysicalResourceId"
    )
    return plain_deliver(token, answer)


def custom(
    request_type,
    logical_id,
    props,
    stack_name,
    stack_id,
    resource_type,
    physical_id=None,
    old_props=None,
):
    call = functools.partial(
        plain_custom,
        logical_id=logical_id,
        props=props,
        stack_name=stack_name,
        stack_id=stack_id,
        resource_type=resource_type,
    )
    try:
        return call(request_type, physical_id=physical_id, old_props=old_props)
    except (RuntimeError, TimeoutError):
        if request_type == "Create":
            digest = hashlib.sha256(stack_id.encode()).hexdigest()[:12].upper()
            unanswered = f"{stack_name}-{logical_id}-{digest}"
            try:
                call("Delete", physical_id=_answered.get((stack_id, logical_id)) or unanswered)
            except (RuntimeError, TimeoutError) as error:
                note("rollback", stack=stack_name, resource=logical_id, error=str(error))
        raise


app._handle_post_body_shortcuts = shortcuts
custom_resource.deliver_response = deliver
custom_resource.invoke_custom_resource = custom

# ----------------------------------------------------------------- 9., 10. what Step Functions does


def must_be_allowed(role, action, resource, error):
    key = credentials(role)["aws_access_key_id"]
    denied = iam_evaluator.enforce(
        key, action, action.partition(":")[0], get_region(), resource_arn=resource
    )
    if denied:
        raise Failed(error, f"{role} is not authorized to perform {action} on {resource}")


def object_arn(where):
    return f"arn:aws:s3:::{where['Bucket']}/{where['Key']}"


plain_read, plain_distributed = sf._read_map_items, sf._run_distributed_map


def read(reader, effective, context):
    where = sf._resolve_params_obj(reader.get("Parameters") or {}, effective, context)
    must_be_allowed(_role.get(), "s3:GetObject", object_arn(where), "States.ItemReaderFailed")
    return plain_read(reader, effective, context)


def distributed(state, raw, effective, iterator, execution, context):
    must_be_allowed(
        _role.get(), "states:StartExecution", execution["stateMachineArn"], "States.Runtime"
    )
    writer = state.get("ResultWriter")
    if not writer:
        return plain_distributed(state, raw, effective, iterator, execution, context)
    before = set(sf._map_runs)
    whole = {
        k: v for k, v in state.items() if k not in ("ResultPath", "OutputPath", "ResultSelector")
    }
    _, following = plain_distributed(whole, raw, effective, iterator, execution, context)
    [run] = [
        run
        for arn, run in sf._map_runs.items()
        if arn not in before and run["executionArn"] == execution["executionArn"]
    ]
    where = sf._resolve_params_obj(writer["Parameters"], effective, context)
    details = written(run, where)
    answer = {"MapRunArn": run["mapRunArn"], "ResultWriterDetails": details}
    output = sf._apply_result_path(state, raw, sf._apply_result_selector(state, answer))
    return sf._apply_output_path(state, output, context), following


def written(run, where):
    """As AWS lays it out: a manifest, and a file for each outcome there is."""
    folder = f"{where['Prefix'].strip('/')}/{run['mapRunArn'].rsplit(':', 1)[-1]}"
    children = [
        child for child in sf._executions.values() if child.get("mapRunArn") == run["mapRunArn"]
    ]
    files = {"FAILED": [], "PENDING": [], "SUCCEEDED": []}

    def put(name, value):
        body = json.dumps(value).encode()
        place = {"Bucket": where["Bucket"], "Key": f"{folder}/{name}"}
        must_be_allowed(_role.get(), "s3:PutObject", object_arn(place), "States.ResultWriterFailed")
        client("s3", _role.get()).put_object(Body=body, **place)
        return {"Key": place["Key"], "Size": len(body)}

    for outcome in ("FAILED", "SUCCEEDED"):
        shown = [
            {
                "ExecutionArn": child["executionArn"],
                "Input": child["input"],
                "InputDetails": {"Included": True},
                "Name": child["name"],
                "StartDate": child["startDate"],
                "StateMachineArn": child["stateMachineArn"],
                "Status": child["status"],
                "StopDate": child["stopDate"],
                "RedriveCount": 0,
                "RedriveStatus": "NOT_REDRIVABLE" if outcome == "SUCCEEDED" else "REDRIVABLE",
            }
            | (
                {"Output": child["output"], "OutputDetails": {"Included": True}}
                if outcome == "SUCCEEDED"
                else {"Error": child.get("error"), "Cause": child.get("cause")}
            )
            for child in children
            if child["status"] == outcome
        ]
        if shown:
            files[outcome].append(put(f"{outcome}_0.json", shown))
    manifest = {
        "DestinationBucket": where["Bucket"],
        "MapRunArn": run["mapRunArn"],
        "ResultFiles": files,
    }
    return {"Bucket": where["Bucket"], "Key": put("manifest.json", manifest)["Key"]}


sf._read_map_items, sf._run_distributed_map = read, distributed

# ------------------------------------------------------ 11. who waits for a token, whose parameters

plain_resource = iam_actions.extract_resource_arn


def resource_of(service, method, path, headers, body, query, region, account):
    operation = headers.get("x-amz-target", "").rpartition(".")[2]
    if service == "states" and operation.startswith("SendTask"):
        return _machines_of_tokens.get(json.loads(body or b"{}").get("taskToken"), "*")
    if service == "events" and operation == "PutEvents":
        _source.set(json.loads(body)["Entries"][0]["Source"])
    if service == "ssm" and operation == "GetParametersByPath":
        return f"arn:aws:ssm:{region}:{account}:parameter{json.loads(body)['Path']}"
    return plain_resource(service, method, path, headers, body, query, region, account)


iam_actions.extract_resource_arn = resource_of

# ------------------------------------------------------------------------ 13. another account's bus

plain_bus = eventbridge._dispatch_to_event_bus


def to_bus(spec, event, rule, path, payload=None):
    if (spec.account_id, spec.region) == (get_account_id(), get_region()):
        plain_bus(spec, event, rule, path, payload)
        return
    bus = f"arn:aws:events:{spec.region}:{spec.account_id}:{spec.resource}"
    key = eventbridge._rule_key(rule["Name"], rule.get("EventBusName", "default"))
    [target] = [target for target in eventbridge._targets[key] if target["Arn"] == bus]
    must_be_allowed(target["RoleArn"], "events:PutEvents", bus, "refused")
    with request_scope(spec.account_id, spec.region):
        eventbridge._dispatch_event(event | {"EventBusName": spec.resource.partition("/")[2]})


eventbridge._dispatch_to_event_bus = to_bus

# ---------------------------------------------------------------- 16. which rules get which events

READ_ONLY_TOO = "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"


def dispatch(event, view=None):
    view = view or eventbridge._pattern_event_view(event)
    detail = event["Detail"]
    detail = json.loads(detail) if isinstance(detail, str) else detail
    read_only = event["DetailType"] == "AWS API Call via CloudTrail" and detail.get("readOnly")
    states = {READ_ONLY_TOO} if read_only else {READ_ONLY_TOO, "ENABLED"}
    bus = event.get("EventBusName", "default")
    for key, rule in list(eventbridge._rules.items()):
        if (
            rule.get("EventBusName", "default") == bus
            and rule.get("State") in states
            and rule.get("EventPattern")
            and key not in event.get("_DispatchPath", [])
            and eventbridge._matches_pattern_view(rule["EventPattern"], view, f"rule {key}")
        ):
            for target in eventbridge._targets.get(key, []):
                eventbridge._invoke_target(target, event, rule, view)


eventbridge._dispatch_event = dispatch

# ------------------------------------------------------------------------- 17. indices in a path

plain_transformer = eventbridge._apply_input_transformer


def with_indices(value):
    """The value with each element of an array beside it too, as `array[0]`."""
    if not isinstance(value, dict):
        return value
    elements = {
        f"{name}[{n}]": with_indices(element)
        for name, array in value.items()
        if isinstance(array, list)
        for n, element in enumerate(array)
    }
    return elements | {name: with_indices(member) for name, member in value.items()}


def transformed(transformer, rule, view):
    event = with_indices(view.event_with_detail())
    seen = SimpleNamespace(event_with_detail=lambda: event, envelope=view.envelope)
    return plain_transformer(transformer, rule, seen)


eventbridge._apply_input_transformer = transformed

if __name__ == "__main__":
    app.main()
