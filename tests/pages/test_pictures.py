"""The pictures of the pages have the words of what they show. `make pictures` draws them anew."""

import json
import re
from xml.etree import ElementTree

import yaml

from .pages import ROOT

PICTURES = ROOT / "docs" / "pictures"
#: Words of the picture that are not the dashboard's: the scales, the states and the remark.
OTHER = r"[\d.]+|\d\d:\d\d|OK|Sample data"


class Template(yaml.SafeLoader):
    """Reads a template, whose functions do not matter here."""


Template.add_multi_constructor("!", lambda loader, _, node: node.value)


def words(picture):
    """The texts of a picture, in the order in which they are drawn."""
    tree = ElementTree.parse(PICTURES / picture)
    texts = tree.iter("{http://www.w3.org/2000/svg}text")
    return ["".join(text.itertext()).strip() for text in texts]


def dashboard():
    template = yaml.load((ROOT / "template.yaml").read_text(), Template)
    body = template["Resources"]["Board"]["Properties"]["DashboardBody"]
    return json.loads(body)["widgets"]


def shown_metrics(widget):
    """The label of each line: the name, with its statistic where it has one of its own."""
    name = None
    for line in widget["properties"]["metrics"]:
        name = line[1] if isinstance(line[1], str) else name
        own = line[-1].get("stat") if isinstance(line[-1], dict) else None
        yield f"{name} {own}" if own else name


def test_the_picture_of_the_dashboard_shows_each_widget_alarm_and_metric_and_no_other():
    expected = [widget["properties"]["title"] for widget in dashboard()]
    for widget in dashboard():
        if widget["type"] == "alarm":
            arns = widget["properties"]["alarms"]
            expected += [re.fullmatch(r"\$\{(\w+)\.Arn\}", arn)[1] for arn in arns]
        else:
            expected += shown_metrics(widget)
    found = words("dashboard.svg")
    assert "Sample data" in found
    assert sorted(word for word in found if not re.fullmatch(OTHER, word)) == sorted(expected)


def test_the_picture_of_a_notice_shows_its_text():
    text = (PICTURES / "notice.txt").read_text()
    assert " ".join(words("notice.svg")).split() == text.split()


def test_the_picture_of_scale_shows_the_figures():
    rows = json.loads((ROOT / "bench" / "figures.json").read_text())["scale"]
    found = words("scale.svg")
    for row in rows:
        assert f"{row['targets']} × {row['snapshots']} {row['driver']}" in found
        assert str(row["wall_over_critical_path"]) in found
        assert str(row["calls_per_target"]) in found


def test_the_picture_of_a_run_shows_its_targets():
    run = json.loads((ROOT / "bench" / "figures.json").read_text())["chart"]
    found = words("chart.svg")
    assert len(run["rows"]) == run["targets"] + 1
    for row in run["rows"]:
        assert row["name"] in found


def test_each_picture_is_on_a_page():
    pages = [(ROOT / "docs" / f"{name}.md").read_text() for name in ("operations", "performance")]
    drawn = {f"pictures/{file.name}" for file in PICTURES.glob("*.svg")}
    assert drawn == set(re.findall(r"!\[[^]]+\]\((pictures/[^)]+)\)", "".join(pages)))
