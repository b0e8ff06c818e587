"""The state machine's definition, read as a text."""

import json
import re

from . import template

DEFINITION = json.loads(template.MACHINE.read_text())
STATES = DEFINITION["States"]
TOLD = {"InvalidRequest", "InvalidState", "AccessDenied", "Throttled", "SourceNotFound", "Internal"}


def source():
    return {
        str(file.relative_to(template.ROOT)): file.read_text()
        for file in (template.ROOT / "src").rglob("*.rs")
    }


def calls_of_the_function():
    found = [
        state
        for state in STATES.values()
        if state["Type"] == "Task" and state["Resource"].endswith("lambda:invoke")
    ]
    for name in ("Copy", "Copy many"):
        inner = STATES[name]["ItemProcessor"]["States"].values()
        found += [
            state
            for state in inner
            if state["Type"] == "Task" and state["Resource"].endswith("lambda:invoke")
        ]
    return found


def test_both_maps_do_the_same():
    """State names are unique in a machine, so those of the second end in `(many)`."""
    few, many = (STATES[name]["ItemProcessor"] for name in ("Copy", "Copy many"))
    assert json.loads(json.dumps(many).replace(" (many)", "")) == few
    own = ("Comment", "Label", "ItemsPath", "ItemReader", "ResultWriter", "ItemProcessor")
    assert {k: v for k, v in STATES["Copy"].items() if k not in own} == {
        k: v for k, v in STATES["Copy many"].items() if k not in own
    }


def test_every_way_leads_to_conclude():
    """A state may fail after the source was opened."""
    for name in ("Open", "Open further", "Copy", "Copy many"):
        assert STATES[name]["Catch"] == [
            {"ErrorEquals": ["States.ALL"], "ResultPath": "$.Failed", "Next": "Conclude"}
        ]
    assert "TimeoutSeconds" not in DEFINITION, "a machine that times out concludes nothing"


def test_both_opening_states_are_the_same():
    first, further = dict(STATES["Open"]), dict(STATES["Open further"])
    for state in (first, further):
        del state["Comment"]
    assert further["Parameters"]["Payload"].pop("Last.$") == "$.Last.Reply"
    assert further == first


def test_only_errors_that_may_pass_are_retried():
    for state in calls_of_the_function():
        errors = {error for retry in state["Retry"] for error in retry["ErrorEquals"]}
        assert TOLD & errors == {"Throttled", "Internal"}
        assert {
            "Lambda.TooManyRequestsException",
            "Lambda.ServiceException",
            "Sandbox.Timedout",
            "Runtime.ExitError",
        } <= errors
        assert state["TimeoutSeconds"] > 900, "the longest that a function runs"


def test_error_types_are_the_functions():
    told = re.search(r"fn error_type\(.*?\n    }\n", "".join(source().values()), re.DOTALL)[0]
    assert set(re.findall(r'"(\w+)"', told)) == TOLD


def test_payloads_of_the_machine_are_events_of_the_function():
    event = "".join(text for file, text in source().items() if file.startswith("src/event"))
    for state in calls_of_the_function():
        for key in state["Parameters"]["Payload"]:
            assert f'"{key.removesuffix(".$")}"' in event, key


def test_replies_of_the_function_have_what_the_machine_reads():
    text = "".join(source().values())
    machine = json.dumps(DEFINITION)
    for path in set(re.findall(r"\$\.Last\.Reply\.([A-Za-z.]+)", machine)):
        for key in path.split("."):
            assert f'"{key}"' in text or f"{key}:" in text, key
    for status in set(re.findall(r'"StringEquals": "(\w+)"', machine)):
        assert f'"{status}"' in text, status


def test_the_machine_and_the_function_agree_where_tokens_lie():
    machine = json.dumps(DEFINITION)
    [path] = set(
        re.findall(r"States\.Format\('(/[a-z/]+?)/\$\{StackName\}/\{\}/\{\}/\{\}'", machine)
    )
    assert path == "/amiferry/waiting"
    assert f'"{path}"' in "".join(source().values())
    stack = template.STACK.read_text()
    assert (
        stack.count(f"parameter{path}/${{AWS::StackName}}/*")
        == stack.count(f"parameter{path}")
        == 2
    ), "no stack reads another's"
    assert template.read(template.STACK)["Resources"]["StateMachine"]["Properties"]["Name"] == {
        "Ref": "AWS::StackName"
    }


def test_the_machine_and_the_function_agree_where_plans_lie():
    text = template.STACK.read_text()
    for prefix in ("payloads/", "answers/"):
        assert f'"{prefix}' in "".join(source().values())
    assert "${Bucket.Arn}/payloads/*" in text
    assert "${Bucket.Arn}/results/*" in text
    assert "results/{}" in template.MACHINE.read_text()
    machine_role = json.dumps(template.read(template.STACK)["Resources"]["StateMachineRole"])
    for prefix in ("answers", "runs/", "openings"):
        assert prefix not in machine_role, "ResponseURLs and the ledger are the function's only"


def test_variables_are_the_functions():
    variables = template.read(template.STACK)["Resources"]["Function"]["Properties"]["Environment"][
        "Variables"
    ]
    read = set(re.findall(r'"(AMIFERRY_[A-Z_]+)"', "".join(source().values())))
    for_emulators = {"AMIFERRY_RESPONSE_HOSTS"}
    assert set(variables) == read - for_emulators


def test_substitutions_are_the_templates():
    used = set(re.findall(r"\$\{(\w+)\}", template.MACHINE.read_text()))
    resources = template.read(template.STACK)["Resources"]
    assert used == set(resources["StateMachine"]["Properties"]["DefinitionSubstitutions"])


def test_properties_of_the_stacks_own_resource_are_requests():
    """Each is a key of docs/requests.md; and the parameters keep the source design's names."""
    image = template.read(template.STACK)["Resources"]["Image"]["Properties"]
    page = (template.ROOT / "docs" / "requests.md").read_text()
    for key in set(image) - {"ServiceToken", "ServiceTimeout"}:
        assert f"`{key}`" in page, key
        assert f'"{key}"' in "".join(
            text for file, text in source().items() if file.startswith("src/request")
        ), key
    kept = {
        "TargetAccountIds",
        "TargetKmsKeyIds",
        "TargetRoleName",
        "AmiId",
        "Region",
        "SourceSnapshotId",
        "LambdaTimeout",
    }
    assert kept | {"OrganizationId", "KmsKeyAlias"} <= set(
        template.read(template.STACK)["Parameters"]
    )
    assert "OrchestrationResult" in template.read(template.STACK)["Outputs"]
    target = template.read(template.TARGET_ROLE)
    assert {"SourceAccountId", "RoleName"} <= set(target["Parameters"])
    assert "TargetRoleArn" in target["Outputs"]
    assert template.read(template.STACK)["Parameters"]["KmsKeyAlias"]["Default"] == "shared-ami-key"
