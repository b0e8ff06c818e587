"""Step Functions, as far as starting and describing an execution needs it."""

from clients import refused
from names import HOME, PRODUCER

MACHINE = f"arn:aws:states:{HOME}:{PRODUCER}:stateMachine:amiferry"


def test_an_execution_is_started_once_and_described(sandbox):
    machine = sandbox.producer.client("stepfunctions", HOME)
    begun = machine.start_execution(stateMachineArn=MACHINE, name="once", input='{"Open": {}}')
    assert begun["executionArn"] == MACHINE.replace("stateMachine", "execution") + ":once"
    again = machine.start_execution(stateMachineArn=MACHINE, name="once", input='{"Open": {}}')
    assert again["executionArn"] == begun["executionArn"]
    with refused("ExecutionAlreadyExists"):
        machine.start_execution(stateMachineArn=MACHINE, name="once", input="{}")
    found = machine.describe_execution(executionArn=begun["executionArn"])
    assert (found["status"], found["name"], found["input"]) == ("RUNNING", "once", '{"Open": {}}')
    assert found["stateMachineArn"] == MACHINE and "stopDate" not in found


def test_an_invalid_execution_is_refused(sandbox):
    machine = sandbox.producer.client("stepfunctions", HOME)
    with refused("ExecutionDoesNotExist"):
        machine.describe_execution(
            executionArn=MACHINE.replace("stateMachine", "execution") + ":never"
        )
    with refused("InvalidArn"):
        machine.describe_execution(executionArn=MACHINE)
    with refused("StateMachineDoesNotExist"):
        machine.start_execution(stateMachineArn=MACHINE.replace(PRODUCER, "222222222222"))
    with refused("AccessDeniedException", "states:StartExecution"):
        sandbox.reader.client("stepfunctions", HOME).start_execution(stateMachineArn=MACHINE)
    with refused("NotImplemented"):
        machine.list_executions(stateMachineArn=MACHINE)
