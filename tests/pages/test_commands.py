"""Runs every command of the documents, or gives its words to the program that would read them."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile

import pytest
from awscli.clidriver import create_clidriver
from botocore.awsrequest import AWSResponse

from . import pages, shell
from .pages import PAGES, ROOT

#: Commands of the AWS CLI that are no operation of a service, by their options only.
CUSTOM = {("cloudformation", "deploy"), ("s3", "cp"), ("s3", "ls")}
WITH_COMMANDS = [page for page in PAGES if "```sh" in page.read_text()]


@pytest.fixture
def folder(tmp_path):
    """The files and variables that the commands need."""
    for name in ("events", "templates"):
        (tmp_path / name).symlink_to(ROOT / name)
    archive = tmp_path / "target" / "lambda" / "bootstrap" / "bootstrap.zip"
    archive.parent.mkdir(parents=True)
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("bootstrap", "")
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=pages.name)
def test_every_block_says_what_it_needs(page):
    assert all(word in ("aws", "make", "demo", "cli") for word, _ in shell.blocks(page))
    assert page.read_text().count("```sh") == len(list(shell.blocks(page)))


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=pages.name)
def test_every_block_is_a_script(page):
    for _, text in shell.blocks(page):
        done = subprocess.run(
            ["bash", "-n"], input=text, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (text, done.stderr)


def test_the_ends_of_a_pipe_write_beside_each_other(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "```sh aws\nfor i in $(seq 100); do aws s3 ls 'a\nb' | jq -r 'c\nd'; done\n```\n"
    )
    words = sorted(shell.played(page, tmp_path))
    assert words == [["aws", "s3", "ls", "a\nb"]] * 100 + [["jq", "-r", "c\nd"]] * 100


def the_cli_takes(words, folder, monkeypatch, capsys):
    """Has the AWS CLI make the request of a command, which its models of AWS's services check, and
    send nothing."""
    service, command, *rest = words[1:]
    driver = create_clidriver()
    table = driver.create_help_command().command_table[service]
    # Commands of the CLI's own have a table as a property, those of a service make it.
    commands = (
        table.subcommand_table if hasattr(table, "subcommand_table") else table._get_command_table()
    )  # noqa: SLF001
    known = {*commands[command].arg_table, *driver._get_cli_data()["options"]}  # noqa: SLF001
    options = {word.removeprefix("--").partition("=")[0] for word in rest if word.startswith("--")}
    # The parser itself would take the beginning of an option for the option.
    assert options <= known, (words, options - known)
    # A sentence may name a command without its options.
    if (service, command) in CUSTOM or not rest:
        return
    monkeypatch.chdir(folder)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "example")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    sent = []

    def instead_of_sending(model, **_):
        sent.append(model.name)
        return AWSResponse("https://example.invalid", 200, {}, None), {}

    driver.session.register("before-call", instead_of_sending)
    assert driver.main([service, command, *rest]) == 0, (words, capsys.readouterr().err)
    assert sent, words


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=pages.name)
def test_aws_knows_every_command_and_option(page, folder, monkeypatch, capsys):
    for words in shell.played(page, folder):
        if words[0] == "aws":
            the_cli_takes(words, folder, monkeypatch, capsys)


def within_sentences():
    for page in PAGES:
        text = "\n".join(line for _, line in pages.prose(page))
        for command in re.findall(r"`(aws [^`]+)`", text):
            yield page, shlex.split(command)


@pytest.mark.parametrize(
    "page, words",
    list(within_sentences()),
    ids=lambda value: pages.name(value) if hasattr(value, "stem") else " ".join(value[:3]),
)
def test_aws_knows_every_command_within_a_sentence(page, words, folder, monkeypatch, capsys):
    the_cli_takes(words, folder, monkeypatch, capsys)


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=pages.name)
def test_every_filter_of_jq_is_one(page, folder):
    assert shutil.which("jq"), "jq is missing; on Debian: apt-get install jq"
    for words in shell.played(page, folder):
        if words[0] == "jq":
            filters = [
                word
                for word in words[1:]
                if not word.startswith("-") and not word.endswith(".json")
            ] or ["."]
            done = subprocess.run(
                ["jq", filters[0]], input="", capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, (words, done.stderr)


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=pages.name)
def test_make_has_every_target_and_cargo_every_test(page, folder):
    for words in shell.played(page, folder):
        if words[0] == "make":
            target = [word for word in words[1:] if "=" not in word]
            done = subprocess.run(
                ["make", "-n", "-C", ROOT, *target], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, (words, done.stderr)
        if words[0] == "cargo":
            [filter_] = [word for word in words[2:] if re.fullmatch(r"[a-z_:]+", word)][-1:]
            sources = [*(ROOT / "src").rglob("*.rs"), *(ROOT / "tests").rglob("*.rs")]
            name = filter_.split("::")[0]
            assert any(
                source.stem == name or f"fn {name}" in source.read_text() for source in sources
            ), words


def demos():
    for page in WITH_COMMANDS:
        for word, text in shell.blocks(page):
            if word == "demo":
                yield from re.findall(r"^make demo ARGS='([^'\n]*)'$", text, re.MULTILINE)


def test_every_block_of_the_demo_is_run():
    lines = [
        line
        for page in WITH_COMMANDS
        for word, text in shell.blocks(page)
        if word == "demo"
        for line in text.splitlines()
    ]
    assert lines
    assert len(lines) == len(list(demos()))


@pytest.mark.skipif(
    "AMIFERRY_BOOTSTRAP_BIN" not in os.environ, reason="`make test` builds the programs"
)
@pytest.mark.parametrize("arguments", sorted(set(demos())))
def test_the_demos_of_the_documents_succeed(arguments):
    command = [sys.executable, "-m", "demo", "--speed", "500", "--no-kill", *arguments.split()]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
