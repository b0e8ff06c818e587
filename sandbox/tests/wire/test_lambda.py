"""Lambda, as far as a function that invokes itself needs it."""

import json
import urllib.request

from clients import refused
from names import HOME

FUNCTION = "amiferry"


def test_an_asynchronous_invocation_is_kept(sandbox):
    function = sandbox.producer.client("lambda", HOME)
    event = {"State": {"Schema": 1}}
    answer = function.invoke(
        FunctionName=FUNCTION, InvocationType="Event", Payload=json.dumps(event)
    )
    assert answer["StatusCode"] == 202
    with urllib.request.urlopen(f"{sandbox.url}/_sandbox/invocations", timeout=5) as invocations:
        [kept] = json.load(invocations)
    assert kept["function_name"] == FUNCTION and json.loads(kept["payload"]) == event


def test_an_invalid_invocation_is_refused(sandbox):
    with refused("AccessDeniedException", "lambda:InvokeFunction"):
        sandbox.reader.client("lambda", HOME).invoke(
            FunctionName=FUNCTION, InvocationType="Event", Payload=b"{}"
        )
    function = sandbox.producer.client("lambda", HOME)
    with refused("NotImplemented"):
        function.invoke(FunctionName=FUNCTION, Payload=b"{}")
    with refused("RequestTooLargeException"):
        function.invoke(
            FunctionName=FUNCTION, InvocationType="Event", Payload=b"x" * (1024 * 1024 + 1)
        )
