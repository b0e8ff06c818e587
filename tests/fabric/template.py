"""template.yaml as CloudFormation gets it: packaged and transformed as `sam deploy` would,
offline."""

import copy
import io
import json
import logging
import os
import pathlib
import zipfile
from types import SimpleNamespace

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

logging.getLogger("samtranslator").setLevel(logging.ERROR)

ROOT = pathlib.Path(__file__).parent.parent.parent
STACK = ROOT / "template.yaml"
TARGET_ROLE = ROOT / "templates" / "target-role.yaml"
CONFIG_RULES = ROOT / "templates" / "config-rules.yaml"
MACHINE = ROOT / "statemachine" / "distribute.asl.json"


def read(file):
    return yaml_parse(file.read_text())


def zipped(binary):
    """A function's package. Level 1: the whole suite waits for it."""
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        info = zipfile.ZipInfo("bootstrap")
        info.external_attr = 0o755 << 16
        info.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(info, pathlib.Path(binary).read_bytes())
    return package.getvalue()


def transformed(template, code, definition, region, settings):
    """Plain CloudFormation. `code` and `definition` are where function and machine lie: {"Bucket",
    "Key"}. `settings` go into the function's environment beside the template's own."""
    template = copy.deepcopy(template)
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = code
            resource["Properties"]["Environment"]["Variables"].update(settings)
        if resource["Type"] == "AWS::Serverless::StateMachine":
            resource["Properties"]["DefinitionUri"] = definition
    os.environ["AWS_DEFAULT_REGION"] = region  # samtranslator asks boto3 for it
    return json.loads(json.dumps(transform(template, {}, SimpleNamespace(load=dict))))
