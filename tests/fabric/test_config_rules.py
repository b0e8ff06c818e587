"""templates/config-rules.yaml. ministack makes no AWS Config rules from templates, so the test puts
them by the API, whose model botocore checks; the rest is deployed. Nothing here runs the rules."""

import json
import re

import pytest

from . import template, world
from .fabric import client, until

GUARDRAILS = template.ROOT / "docs" / "guardrails.md"
NAMES = {name: f"config-{name}" for name in ("PublicSnapshots", "SnapshotBlock", "PublicKeys")}


def rules():
    resources = template.read(template.CONFIG_RULES)["Resources"]
    return {
        name: resource["Properties"]
        for name, resource in resources.items()
        if resource["Type"] == "AWS::Config::ConfigRule"
    }


def test_the_page_lists_each_rule():
    text = GUARDRAILS.read_text().partition("## AWS Config rules\n")[2].partition("\n## ")[0]
    shown = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    assert shown == {rule["Source"]["SourceIdentifier"] for rule in rules().values()}


def with_names(part):
    """The template with each rule's name in the place of a reference to it."""
    if isinstance(part, dict):
        if part.get("Ref") in NAMES:
            return NAMES[part["Ref"]]
        return {key: with_names(value) for key, value in part.items()}
    return [with_names(value) for value in part] if isinstance(part, list) else part


def test_aws_config_takes_each_rule(fabric):
    config = client(fabric.url, "config")
    shape = config.meta.service_model.shape_for
    frequency = template.read(template.CONFIG_RULES)["Parameters"]["Frequency"]
    assert set(frequency["AllowedValues"]) == set(shape("MaximumExecutionFrequency").enum)
    for name, rule in rules().items():
        if "MaximumExecutionFrequency" in rule:
            rule = rule | {"MaximumExecutionFrequency": frequency["Default"]}
        config.put_config_rule(ConfigRule=rule | {"ConfigRuleName": NAMES[name]})
    there = {rule["ConfigRuleName"]: rule for rule in config.describe_config_rules()["ConfigRules"]}
    assert set(there) == set(NAMES.values())
    periodic = there.pop(NAMES["PublicSnapshots"])
    assert periodic["MaximumExecutionFrequency"] == "TwentyFour_Hours"
    for rule in there.values():
        [kind] = rule["Scope"]["ComplianceResourceTypes"]
        assert kind in shape("ResourceType").enum
        assert "MaximumExecutionFrequency" not in rule, "it is evaluated at each change"


def test_aws_config_records_neither_images_nor_snapshots(fabric):
    """So says its model. Where it no longer does, docs/guardrails.md is out of date."""
    types = client(fabric.url, "config").meta.service_model.shape_for("ResourceType").enum
    ours = [kind for kind in types if re.search("EC2::(Image|Snapshot|.*Ami)", kind)]
    assert ours == ["AWS::EC2::SnapshotBlockPublicAccess"]


def evaluated(number, rule, verdict, **more):
    """The event of an evaluation, as AWS Config sends it."""
    detail = {
        "messageType": "ComplianceChangeNotification",
        "configRuleName": rule,
        "resourceType": "AWS::KMS::Key",
        "resourceId": f"key-{number}",
        "awsAccountId": world.SOURCE,
        "awsRegion": world.HOME,
        "newEvaluationResult": {"complianceType": verdict, "annotation": "The policy is public."},
    }
    return {
        "source": "aws.config",
        "detail-type": "Config Rules Compliance Change",
        "account": world.SOURCE,
        "region": world.HOME,
        "resources": [],
        "detail": detail | more,
    }


@pytest.fixture
def deployed(fabric):
    body = template.read(template.CONFIG_RULES)
    body["Resources"] = {
        name: with_names(resource)
        for name, resource in body["Resources"].items()
        if name not in NAMES
    }
    assert fabric.create("config", body, KeyPolicies="true") == "CREATE_COMPLETE"
    yield fabric.outputs("config")["TopicArn"]
    fabric.delete("config")


def test_the_topic_is_told_when_a_resource_stops_complying(fabric, deployed):
    """Leans on patch 1: the test is AWS Config."""
    queue, arn = fabric._queue("compliance", "sns.amazonaws.com", deployed)
    fabric.topics.subscribe(TopicArn=deployed, Protocol="sqs", Endpoint=arn)
    key, other = NAMES["PublicKeys"], "somebody-elses-rule"
    fabric.put_event(evaluated(0, key, "COMPLIANT"))
    fabric.put_event(evaluated(1, other, "NON_COMPLIANT"))
    fabric.put_event(evaluated(2, key, "NON_COMPLIANT", messageType="ConfigRulesEvaluationStarted"))
    fabric.put_event(evaluated(3, key, "NON_COMPLIANT"))
    fabric.put_event(evaluated(4, NAMES["PublicSnapshots"], "NON_COMPLIANT"))
    found = []

    def both():
        found.extend(json.loads(json.dumps(body["Message"])) for body in fabric._received(queue))
        return len(found) >= 2

    until(both, 20)
    assert len(found) == 2, found
    [about_key] = [message for message in found if "key-3" in message]
    assert f"AWS::KMS::Key key-3 in {world.SOURCE} {world.HOME} does not comply with {key}." in (
        about_key
    )
    assert "The policy is public." in about_key
    assert any("key-4" in message for message in found)
