"""Tests of the words that `make deploy` and the documented examples hand to CloudFormation."""

import json
import os
import re
import shutil
import struct
import subprocess
import zipfile

import pytest

from pages import shell

from . import template, world

ROOT = template.ROOT
SAM = ROOT / ".tools" / "sam" / "bin" / "python"
MAKE = ["make", "--no-print-directory", "-C", ROOT]
READ_BY_SAM = """
import json, sys
from samcli.cli.types import CfnParameterOverridesType
print(json.dumps(CfnParameterOverridesType().convert((f"file://{sys.argv[1]}",), None, None)))
"""


def run(*command, **settings):
    return subprocess.run(command, capture_output=True, text=True, check=False, **settings)


def handed_over(folder, words):
    """Returns the parameters that sam reads from `make deploy` with these words."""
    file = folder / "parameters.yaml"
    done = run(*MAKE, "parameters", f"PARAMETERS_FILE={file}", *words)
    assert done.returncode == 0, done.stderr
    return json.loads(run(SAM, "-c", READ_BY_SAM, file).stdout)


@pytest.mark.parametrize(
    "value",
    [
        "012345678901,222222222222",
        "rate(30 minutes)",
        '{"Targets": [{"AccountId": "012345678901"}], "Tags": {"Note": "a \\"b\\" \\\\"}}',
        '"quoted"',
        "it\\ is",
        "",
    ],
)
def test_a_parameter_arrives_as_it_was_quoted_for_the_shell(tmp_path, value):
    quoted = "'" + value.replace("'", "'\\''") + "'"
    found = handed_over(tmp_path, [f"PARAMETERS=Request={quoted} KmsKeyAlias=golden"])
    assert found == {"Architecture": "arm64", "Request": value, "KmsKeyAlias": "golden"}


def test_a_value_that_was_not_quoted_is_refused(tmp_path):
    done = run(
        *MAKE,
        "parameters",
        f"PARAMETERS_FILE={tmp_path}/parameters.yaml",
        "PARAMETERS=SweepSchedule=rate 30",
    )
    assert done.returncode != 0
    assert "'30' is no Name=value" in done.stderr


@pytest.fixture
def checkout(tmp_path):
    """As much of the project as `make deploy` takes, with something in the place of the built
    program."""
    for name in ("Makefile", "template.yaml", "statemachine", "scripts"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    (tmp_path / ".tools").symlink_to(ROOT / ".tools")
    program = tmp_path / ".aws-sam" / "lambda" / "bootstrap" / "bootstrap"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh")
    return tmp_path


@pytest.mark.alone
def test_deploying_again_without_changes_succeeds(fabric, checkout):
    account = {
        "AWS_ACCESS_KEY_ID": "888888888888",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": world.HOME,
    }
    settings = os.environ | account | {"AWS_ENDPOINT_URL": fabric.url}
    parameters = (
        "PARAMETERS=CreateKmsKey=true AllowedAccountIds=012345678901 SweepSchedule='rate(30 "
        "minutes)'"
    )
    deploy = ["make", "-o", "package", "-o", ".tools/sam/ready", "deploy", parameters]
    first, again = (run(*deploy, cwd=checkout, env=settings) for _ in range(2))
    assert first.returncode == 0, first.stderr
    assert "Successfully created/updated stack - amiferry" in first.stdout
    assert again.returncode == 0, again.stderr
    assert "No changes to deploy" in again.stdout


def test_the_deployed_build_is_what_the_lock_file_says_for_the_glibc_of_lambda():
    recipe = run(*MAKE, "-n", "deploy", "ARCHITECTURE=arm64").stdout
    build = next(line for line in recipe.replace("\\\n", "").splitlines() if "lambda build" in line)
    assert " --locked " in build
    assert " --target aarch64-unknown-linux-gnu.2.34 " in build
    [folder] = re.findall(r"--lambda-dir (\S+)", build)
    function = template.read(template.STACK)["Resources"]["Function"]
    assert function["Properties"]["CodeUri"] == f"{folder}/bootstrap/"
    assert function["Metadata"] == {"SkipBuild": True}
    assert f"scripts/check-bootstrap {folder}/bootstrap/bootstrap arm64 2.34" in recipe


def program(machine, *versions):
    """As much of an ELF program as tells what it needs."""
    names = b"".join(b"\0" + version for version in versions) + b"\0"
    return b"\x7fELF" + bytes(14) + struct.pack("<H", machine) + names


@pytest.mark.parametrize(
    "content, said",
    [
        (program(183, b"GLIBC_2.2.5", b"GLIBC_2.34", b"GLIBC_2.17"), ""),
        (program(183), ""),
        (program(183, b"GLIBC_2.4", b"GLIBC_2.39"), "needs glibc 2.39"),
        (program(62, b"GLIBC_2.34"), "is for x86_64, and the stack for arm64"),
        (b"#!/bin/sh\n", "is no ELF program"),
    ],
)
def test_a_program_that_would_not_start_in_lambda_is_not_deployed(tmp_path, content, said):
    bare, packed = tmp_path / "bootstrap", tmp_path / "bootstrap.zip"
    bare.write_bytes(content)
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("bootstrap", content)
    for file in (bare, packed):
        done = run(ROOT / "scripts" / "check-bootstrap", file, "arm64", "2.34")
        assert said in done.stderr
        assert (done.returncode == 0) == (said == "")


# ------------------------------------------------------------------------------------- the examples


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """The commands of the documentation's pages, each as the words that a shell makes of it."""
    pages = (ROOT / "README.md", ROOT / "docs" / "deploy.md")
    return [
        words for page in pages for words in shell.played(page, tmp_path_factory.mktemp("page"))
    ]


def examples(played, *command):
    found = [words for words in played if words[: len(command)] == list(command)]
    assert found, command
    return found


def of_stack_set(words):
    """`ParameterKey=…,ParameterValue=…` as the AWS CLI reads it."""
    pairs = (
        re.fullmatch("ParameterKey=([^,]+),ParameterValue=([^,]+)", word)
        for word in after(words, "--parameters")
    )
    return {pair[1]: pair[2] for pair in pairs}


def after(words, option):
    rest = words[words.index(option) + 1 :]
    stop = next((n for n, word in enumerate(rest) if word.startswith("--")), len(rest))
    return rest[:stop]


def takes(file, given):
    parameters = template.read(file)["Parameters"]
    for name, value in given.items():
        assert name in parameters
        allowed = parameters[name]
        assert re.fullmatch(allowed.get("AllowedPattern", ".*"), value), (name, value)
        assert value in allowed.get("AllowedValues", [value]), (name, value)
    return True


def test_the_examples_of_make_deploy_give_parameters_that_the_template_takes(tmp_path, played):
    seen = {}
    for words in examples(played, "make", "deploy"):
        given = handed_over(tmp_path, words[2:])
        assert takes(template.STACK, given)
        seen |= {name: [*seen.get(name, []), value] for name, value in given.items()}
    assert "rate(30 minutes)" in seen["SweepSchedule"], "a value with a blank"
    assert any(value.startswith("0") for value in seen["AllowedAccountIds"]), (
        "an ID that is none as a number"
    )


def test_the_examples_of_the_targets_give_parameters_that_the_template_takes(played):
    for words in examples(played, "aws", "cloudformation", "deploy"):
        assert takes(
            template.TARGET_ROLE,
            dict(word.split("=", 1) for word in after(words, "--parameter-overrides")),
        )
    for words in examples(played, "aws", "cloudformation", "create-stack-set"):
        assert takes(template.TARGET_ROLE, of_stack_set(words))


def test_an_example_of_an_update_keeps_every_parameter_that_was_given(played):
    """CloudFormation takes the default for a parameter that is not named."""
    for update in examples(played, "aws", "cloudformation", "update-stack-set"):
        kept = {
            f"ParameterKey={name},UsePreviousValue=true"
            for name in of_stack_set(
                examples(played, "aws", "cloudformation", "create-stack-set")[0]
            )
        }
        assert set(after(update, "--parameters")) == kept


@pytest.mark.parametrize("command", ["create-stack-instances", "update-stack-set"])
def test_the_examples_of_stack_sets_say_how_many_accounts_may_fail(played, command):
    """Otherwise the first account that fails stops all that follow it, one by one."""
    for words in examples(played, "aws", "cloudformation", command):
        preferences = " ".join(after(words, "--operation-preferences"))
        assert "FailureTolerancePercentage=" in preferences
        assert "MaxConcurrentPercentage=" in preferences
        assert "RegionConcurrencyType=PARALLEL" in preferences


def test_account_ids_in_examples_are_no_numbers():
    """YAML and JSON would take the zeros off that an ID may begin with."""
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for block in re.findall(r"```(?:json|yaml)[^\n]*\n(.*?)```", page.read_text(), re.DOTALL):
            bare = re.findall(r"(?<![\w\":/.-])\d{12}(?![\w\":/.-])", block)
            assert not bare, (page, bare)
