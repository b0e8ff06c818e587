"""Every alarm of the stack, seen to fire in the bad situation and to stay quiet in the good one.

The definitions are those of the deployed alarms; alarms.py judges them. The data is the function's
own, from its log, or ministack's, or counts what happened there. Only a time-out is made up: an
execution may last for a year, and ministack knows no time-outs of machines.
"""

import contextlib
import json
import time

import pytest
from botocore.exceptions import ClientError

from . import alarms, template, world
from .conftest import LONGEST
from .fabric import STACK, client, until
from .scenario import scenario
from .test_distribute import distribute

DAY = 86400


@contextlib.contextmanager
def nobody_revokes(fabric, name):
    """Denies the function to take back grants on the key of image `name`."""
    kms = client(fabric.sandbox_url, "kms", world.ADMINISTRATOR)
    where = {"KeyId": world.key_arn(name), "PolicyName": "default"}
    before = kms.get_key_policy(**where)["Policy"]
    policy = json.loads(before)
    policy["Statement"].append(
        {
            "Effect": "Deny",
            "Principal": {"AWS": f"arn:aws:iam::{world.SOURCE}:role/{STACK}"},
            "Action": "kms:RevokeGrant",
            "Resource": "*",
        }
    )
    fabric.unrevokable.add(world.key_arn(name))
    kms.put_key_policy(**where, Policy=json.dumps(policy))
    yield
    kms.put_key_policy(**where, Policy=before)


def stuck(fabric):
    """A run that cannot clean up, and the same run once it can."""
    with nobody_revokes(fabric, "stuck"):
        cannot = fabric.ended(fabric.start(distribute("stuck", ["222222222222"])))
    return cannot, fabric.ended(fabric.start(distribute("stuck", ["222222222222"])))


def lines(fabric, **facts):
    """The lines of the log in the embedded format that have these facts."""
    found = [line for line in fabric.log('"_aws"') if line.startswith("{")]
    return [line for line in found if json.loads(line).items() >= facts.items()]


def swept(fabric):
    """The data that a sweep adds, and whether it failed."""
    before = len(lines(fabric, Sweeps=1))
    reply = fabric.invoke(fabric.example("sweep"))
    added = until(lambda: lines(fabric, Sweeps=1)[before:], 20)
    return alarms.embedded(added), "errorType" in reply


def runs(fabric, execution):
    """The data of the run of an execution."""
    name = execution["executionArn"].rpartition(":")[2]
    [(_, message)] = fabric.notices(f"execution {name}")
    run = message.partition("\nRun ")[2].partition(",")[0]
    status = message.split()[1].strip(":")
    return alarms.embedded(until(lambda: lines(fabric, RunId=run, Status=status), 20))


def age_openings(fabric, name, seconds):
    """Lets what the ledger says of image `name` look as if it were that old."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - seconds))
    for resource in (*world.snapshot_ids(name), world.key_arn(name)):
        where = {"Bucket": fabric.bucket, "Key": f"openings/{resource}.json"}
        try:
            record = json.loads(fabric.s3.get_object(**where)["Body"].read())
        except fabric.s3.exceptions.NoSuchKey:
            continue
        for entry in (*record["Holders"].values(), *record["Closing"].values()):
            entry["Since"] = at
        fabric.s3.put_object(**where, Body=json.dumps(record).encode())


def finishing(fabric, name, failing):
    """The data of a sweep that fails, or not, over the closing of image `name`. A sweep finishes
    only what another process began 15 minutes ago, as the event of the execution's end made one."""
    age_openings(fabric, name, 1200)
    data, failed = swept(fabric)
    return data if failed == failing and (failing or not fabric.opened(name)) else None


def counted(fabric, metric):
    """The data that ministack itself has counted for the function."""
    shown = client(fabric.url, "cloudwatch").get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName=metric,
        Dimensions=[{"Name": "FunctionName", "Value": STACK}],
        StartTime=time.time() - 3600,
        EndTime=time.time() + 60,
        Period=60,
        Statistics=["Sum"],
    )["Datapoints"]
    points = [(point["Timestamp"].timestamp(), point["Sum"]) for point in shown]
    return {alarms.key("AWS/Lambda", metric, FunctionName=STACK): points}


def throttled(fabric):
    fabric.functions.put_function_concurrency(FunctionName=STACK, ReservedConcurrentExecutions=0)
    try:
        fabric.invoke(fabric.example("sweep"))
    except ClientError as error:
        assert error.response["Error"]["Code"] == "TooManyRequestsException"
    finally:
        fabric.functions.delete_function_concurrency(FunctionName=STACK)


def dropped(fabric):
    """An event on which the function fails in every attempt; Lambda counts it once, then."""
    attempts = (
        1
        + fabric.functions.get_function_event_invoke_config(
            FunctionName=STACK, Qualifier="$LATEST"
        )["MaximumRetryAttempts"]
    )
    said = "InvalidRequest: event: must be"
    before = fabric.output().count(said)
    fabric.invoke({"Nobody": "takes this"}, asynchronously=True)
    until(lambda: fabric.output().count(said) >= before + attempts)
    found = alarms.key("AWS/Lambda", "AsyncEventsDropped", FunctionName=STACK)
    return {found: [(time.time(), 1)]}


def dead_letters(fabric, queue):
    """The length of the queue now, as SQS counts it."""
    attributes = fabric.queues.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])
    name = attributes["Attributes"]["QueueArn"].rpartition(":")[2]
    count = int(attributes["Attributes"]["ApproximateNumberOfMessages"])
    found = alarms.key("AWS/SQS", "ApproximateNumberOfMessagesVisible", QueueName=name)
    return {found: [(time.time(), count)]}


@pytest.fixture(scope="module")
def played(fabric, scenarios):
    """The data in the good and in the bad situation, by alarm."""
    # The sweeps below would close what other tests have left open to look at it.
    for future in scenarios.values():
        future.exception(LONGEST)
    cannot, again = scenarios[stuck].result()
    found = {
        "ExecutionsFailedAlarm": (alarms.of_executions([again]), alarms.of_executions([cannot])),
        "RunsStuckAlarm": (runs(fabric, again), runs(fabric, cannot)),
    }
    open_one = fabric.start(distribute("watched", ["222222222222"]))
    until(lambda: fabric.snapshots("watched", "222222222222"))
    before, _ = swept(fabric)
    age_openings(fabric, "watched", 2 * DAY)
    after, _ = swept(fabric)
    found["OpenTooLongAlarm"] = before, after

    with nobody_revokes(fabric, "watched"):
        fabric.machines.stop_execution(executionArn=open_one)
        aborted = fabric.ended(open_one)
        cannot_close = until(lambda: finishing(fabric, "watched", failing=True), every=0.5)
    closed = until(lambda: finishing(fabric, "watched", failing=False), every=0.5)
    assert fabric.opened("watched") == {}
    found["ExecutionsAbortedAlarm"] = (
        alarms.of_executions([again]),
        alarms.of_executions([aborted]),
    )
    found["ClosingsStuckAlarm"] = closed, cannot_close
    found["NoSweepAlarm"] = closed, {}
    found["ExecutionsTimedOutAlarm"] = (
        alarms.of_executions([again, cannot, aborted]),
        alarms.of_executions([again | {"status": "TIMED_OUT"}]),
    )

    quiet = counted(fabric, "Throttles")
    throttled(fabric)
    found["ThrottlesAlarm"] = quiet, counted(fabric, "Throttles")
    found["EventsDroppedAlarm"] = {}, dropped(fabric)

    queue = fabric.outputs()["DeadLettersUrl"]
    empty = dead_letters(fabric, queue)
    # ministack's EventBridge loses what it cannot deliver, so the event is put there by hand.
    fabric.queues.send_message(QueueUrl=queue, MessageBody=json.dumps(fabric.example("sweep")))
    found["DeadLettersAlarm"] = empty, dead_letters(fabric, queue)
    fabric.queues.purge_queue(QueueUrl=queue)
    return found


def deployed_alarms(fabric):
    """The alarms as CloudWatch shows them, by their names in the template."""
    shown = client(fabric.url, "cloudwatch").describe_alarms()["MetricAlarms"]
    by_name = {alarm["AlarmName"]: alarm for alarm in shown}
    resources = template.read(template.STACK)["Resources"]
    made = fabric.resources()
    return {
        name: by_name[made[name]]
        for name, resource in resources.items()
        if resource["Type"] == "AWS::CloudWatch::Alarm"
    }


ALARMS = [
    name
    for name, resource in template.read(template.STACK)["Resources"].items()
    if resource["Type"] == "AWS::CloudWatch::Alarm"
]


@pytest.mark.alone
@scenario(stuck)
@pytest.mark.parametrize("name", ALARMS)
def test_each_alarm_fires_in_the_bad_situation_only_and_tells_the_topic(fabric, played, name):
    alarm = deployed_alarms(fabric)[name]
    good, bad = played[name]
    now = time.time()
    assert alarms.judged(alarm, good, now) == "OK"
    assert alarms.judged(alarm, bad, now) == "ALARM"
    cloudwatch = client(fabric.url, "cloudwatch")
    for state in ("OK", "ALARM"):
        cloudwatch.set_alarm_state(
            AlarmName=alarm["AlarmName"], StateValue=state, StateReason="The test judged it."
        )
    [(subject, message)] = fabric.notices(f'"{alarm["AlarmName"]}"')
    assert subject.startswith("ALARM: ")
    assert json.loads(message)["NewStateValue"] == "ALARM"


@pytest.mark.alone
@scenario(stuck)
def test_a_sweep_keeps_its_alarm_quiet_for_a_day(fabric, played):
    alarm = deployed_alarms(fabric)["NoSweepAlarm"]
    good, _ = played["NoSweepAlarm"]
    now = time.time()
    assert alarms.judged(alarm, good, now + DAY - 3600) == "OK"
    assert alarms.judged(alarm, good, now + DAY + 1) == "ALARM"


@pytest.mark.alone
@scenario(stuck)
def test_another_machine_or_function_fires_no_alarm(fabric, played):
    for name, alarm in deployed_alarms(fabric).items():
        others = {
            (namespace, metric, tuple((dimension, f"{value}-2") for dimension, value in of)): points
            for (namespace, metric, of), points in played[name][1].items()
        }
        expected = "ALARM" if name == "NoSweepAlarm" else "OK"
        assert alarms.judged(alarm, others, time.time()) == expected, name


# ------------------------------------------------------------------------------------- the judge

ALARM = {
    "Namespace": "n",
    "MetricName": "m",
    "Dimensions": [{"Name": "d", "Value": "v"}],
    "Statistic": "Average",
    "Period": 60,
    "EvaluationPeriods": 3,
    "DatapointsToAlarm": 2,
    "Threshold": 5,
    "ComparisonOperator": "GreaterThanOrEqualToThreshold",
    "TreatMissingData": "missing",
    "StateValue": "OK",
}


@pytest.mark.parametrize(
    "points, changes, state",
    [
        ([], {}, "INSUFFICIENT_DATA"),
        ([], {"TreatMissingData": "ignore"}, "OK"),
        ([], {"TreatMissingData": "breaching"}, "ALARM"),
        ([], {"TreatMissingData": "notBreaching"}, "OK"),
        ([(990, 5)], {}, "OK"),
        ([(990, 5), (930, 5)], {}, "ALARM"),
        ([(990, 5), (930, 4)], {}, "OK"),
        ([(990, 5), (930, 4), (920, 6)], {}, "ALARM"),
        ([(990, 5), (930, 4), (920, 6)], {"Statistic": "Minimum"}, "OK"),
        ([(990, 5), (930, 5)], {"DatapointsToAlarm": 3}, "OK"),
        ([(990, 5), (930, 5)], {"ComparisonOperator": "GreaterThanThreshold"}, "OK"),
        ([(990, 5), (700, 5)], {}, "OK"),
        ([(990, 5), (930, 5)], {"Dimensions": []}, "INSUFFICIENT_DATA"),
    ],
)
def test_the_judge_of_alarms_follows_the_guide(points, changes, state):
    data = {alarms.key("n", "m", d="v"): points}
    assert alarms.judged(ALARM | changes, data, 1000) == state
