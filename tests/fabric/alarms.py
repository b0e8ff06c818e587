"""Judges CloudWatch's alarms after CloudWatch's guide. ministack's own judge looks neither at
dimensions nor at periods without data.

Data is `{(namespace, metric, dimensions): [(time, value), …]}`: dimensions are a sorted tuple of
pairs, and times are in seconds.
"""

import collections
import json
import operator

COMPARISONS = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
STATISTICS = {
    "Sum": sum,
    "Maximum": max,
    "Minimum": min,
    "SampleCount": len,
    "Average": lambda values: sum(values) / len(values),
}
#: Whether a period without data counts as breaching; None where it does not count.
MISSING = {"breaching": True, "notBreaching": False, "missing": None, "ignore": None}


def key(namespace, metric, **dimensions):
    return namespace, metric, tuple(sorted(dimensions.items()))


def judged(alarm, data, now):
    """Returns the state at `now` of an alarm as DescribeAlarms shows it."""
    assert "Metrics" not in alarm, "math is not judged here"
    dimensions = {each["Name"]: each["Value"] for each in alarm["Dimensions"]}
    points = data.get(key(alarm["Namespace"], alarm["MetricName"], **dimensions), [])
    breaches, count = COMPARISONS[alarm["ComparisonOperator"]], alarm["EvaluationPeriods"]
    verdicts = []
    for n in range(count):
        end = now - n * alarm["Period"]
        values = [value for at, value in points if end - alarm["Period"] < at <= end]
        if values:
            verdicts.append(breaches(STATISTICS[alarm["Statistic"]](values), alarm["Threshold"]))
        else:
            verdicts.append(MISSING[alarm.get("TreatMissingData", "missing")])
    if verdicts.count(True) >= alarm.get("DatapointsToAlarm", count):
        return "ALARM"
    if verdicts.count(None) == count:
        return {"ignore": alarm["StateValue"]}.get(alarm["TreatMissingData"], "INSUFFICIENT_DATA")
    return "OK"


def embedded(lines):
    """The data in lines of a log, as CloudWatch extracts what is in its embedded format."""
    data = collections.defaultdict(list)
    for line in map(json.loads, lines):
        for directive in line["_aws"]["CloudWatchMetrics"]:
            for names in directive["Dimensions"]:
                dimensions = {name: line[name] for name in names}
                for metric in directive["Metrics"]:
                    found = key(directive["Namespace"], metric["Name"], **dimensions)
                    data[found].append((line["_aws"]["Timestamp"] / 1000, line[metric["Name"]]))
    return dict(data)


OUTCOMES = {
    "SUCCEEDED": "ExecutionsSucceeded",
    "FAILED": "ExecutionsFailed",
    "TIMED_OUT": "ExecutionsTimedOut",
    "ABORTED": "ExecutionsAborted",
}


def of_executions(executions):
    """The metrics that Step Functions counts for executions as DescribeExecution shows them."""
    data = collections.defaultdict(list)
    for execution in executions:
        metric, machine = OUTCOMES[execution["status"]], execution["stateMachineArn"]
        found = key("AWS/States", metric, StateMachineArn=machine)
        data[found].append((execution["stopDate"].timestamp(), 1))
    return dict(data)
