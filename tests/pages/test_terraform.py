"""The page of the Terraform modules names their variables and outputs, and parameters that the
templates have. `make lint` checks the modules themselves."""

import re

import pytest

from .pages import ROOT, section

PAGE = ROOT / "docs" / "terraform.md"
TEMPLATES = {
    "## The stack": ("terraform", "template.yaml"),
    "## A target": ("terraform/target-role", "templates/target-role.yaml"),
}


def named(module, kind):
    files = sorted((ROOT / module).glob("*.tf"))
    return {
        name
        for file in files
        for name in re.findall(rf'^{kind} "(\w+)"', file.read_text(), re.MULTILINE)
    }


@pytest.mark.parametrize("heading", TEMPLATES)
def test_the_page_names_each_variable_and_output(heading):
    module, _ = TEMPLATES[heading]
    text = section(PAGE, heading)
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == named(module, "variable")
    [outputs] = re.findall(r"^Outputs: ([^.]+?)(?:\.|, each)", text, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", outputs)) == named(module, "output")


def test_the_example_gives_variables_and_parameters_that_exist():
    example = PAGE.read_text().split("```hcl terraform\n")[1].split("```")[0]
    modules = re.findall(r'^module "\w+" \{\n(.*?)^\}', example, re.MULTILINE | re.DOTALL)
    assert len(modules) == 2
    for text, (folder, template) in zip(modules, TEMPLATES.values(), strict=True):
        assert f'"./amiferry/{folder}"' in text
        given = set(re.findall(r"^  (\w+) +=", text, re.MULTILINE)) - {"source", "providers"}
        assert given <= named(folder, "variable")
        [parameters] = re.findall(r"parameters = \{\n(.*?)\n  \}", text, re.DOTALL)
        for name in re.findall(r"^ +(\w+) +=", parameters, re.MULTILINE):
            assert f"\n  {name}:\n" in (ROOT / template).read_text(), name
