"""The dashboard, as CloudFormation fills it in."""

import itertools
import json
import re

from . import template
from .fabric import STACK, client


def widgets(fabric):
    cloudwatch = client(fabric.url, "cloudwatch")
    body = cloudwatch.get_dashboard(DashboardName=STACK)["DashboardBody"]
    return json.loads(body)["widgets"]


def metrics(widget):
    """The (namespace, name, value of the dimension) of each line, with `.` and `...` resolved."""
    before = []
    for line in widget["properties"]["metrics"]:
        words = [word for word in line if isinstance(word, str)]
        words = before if words == ["..."] else words
        before = [
            former if word == "." else word
            for word, former in itertools.zip_longest(words, before or words)
        ]
        yield before[0], before[1], before[3]


def test_the_dashboard_shows_every_alarm(fabric):
    [shown] = [w["properties"]["alarms"] for w in widgets(fabric) if w["type"] == "alarm"]
    resources = template.read(template.STACK)["Resources"]
    made = fabric.resources()
    alarms = {
        made[name] for name, of in resources.items() if of["Type"] == "AWS::CloudWatch::Alarm"
    }
    assert {arn.rpartition(":alarm:")[2] for arn in shown} == alarms
    assert len(shown) == len(alarms)


def test_the_dashboard_shows_every_metric_of_the_function(fabric):
    shown = [m for w in widgets(fabric) if w["type"] == "metric" for m in metrics(w)]
    ours = {name for namespace, name, value in shown if (namespace, value) == ("amiferry", STACK)}
    operations = (template.ROOT / "docs" / "operations.md").read_text()
    table = operations.partition("## Metrics\n")[2].partition("\n## ")[0]
    rows = [row for row in table.splitlines() if row.startswith("| `")]
    assert ours == {name for row in rows for name in re.findall("`(\\w+)`", row)}
    machine = {value for namespace, _, value in shown if namespace == "AWS/States"}
    assert machine == {fabric.machine_arn}


def test_the_widgets_of_the_dashboard_do_not_overlap(fabric):
    cells = [
        (x, y)
        for widget in widgets(fabric)
        for x in range(widget["x"], widget["x"] + widget["width"])
        for y in range(widget["y"], widget["y"] + widget["height"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
