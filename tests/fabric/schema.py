"""The published schema of the stack's own events."""

import json

import jsonschema

from .template import ROOT

SCHEMA = json.loads((ROOT / "schemas" / "event.json").read_text())


def validate(event):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(event, SCHEMA)
