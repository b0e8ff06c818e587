"""`scripts/prose` finds lines that are too wide, comments that name nothing, and bad subjects."""

import os
import subprocess

import pytest

from .pages import ROOT

WIDE = "word " * 21


def prose(folder, *arguments):
    done = subprocess.run(
        [ROOT / "scripts" / "prose", *arguments],
        cwd=folder,
        # No repository around the folder is taken for its own.
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.splitlines()


def faults(folder, name, text):
    """The numbers of the lines of one file that have a fault."""
    (folder / name).write_text(text)
    code, lines = prose(folder, name)
    assert (code == 1) == bool(lines)
    return [int(line.split(":")[1]) for line in lines]


@pytest.mark.parametrize("name", ["a.rs", "a.py", "a.yaml", "a.toml", "a.md", "a.sh", "Makefile"])
def test_a_line_of_more_than_a_hundred_columns_is_a_fault(tmp_path, name):
    assert faults(tmp_path, name, f"#\n# {'x' * 98}\n# {'x ' * 49}x\n") == [3]


@pytest.mark.parametrize(
    "name, text",
    [
        ("a.py", f"# https://docs.aws.amazon.com/{'x' * 90}\n"),
        ("a.md", f"| {WIDE} |\n"),
        ("a.md", f"<!-- seen by tests: copying -->\n{WIDE}\n<!-- end -->\n"),
        ("a.md", f"```json event\n{WIDE}\n```\n"),
        ("a.yaml", f"  - !Sub arn:{'x' * 100}\n"),
        ("a.yaml", f"    AllowedPattern: ^({'x ' * 50})$\n"),
        ("Cargo.lock", WIDE),
        ("a.patch", WIDE),
        ("a.json", WIDE),
    ],
)
def test_a_line_that_cannot_be_broken_may_be_wider(tmp_path, name, text):
    assert faults(tmp_path, name, text) == []


def test_a_page_is_read_on_behind_what_commands_wrote_into_it(tmp_path):
    page = f"<!-- seen by tests: a -->\n{WIDE}\n<!-- end -->\n```sh\n{WIDE}\n```\n{WIDE}\n"
    assert faults(tmp_path, "a.md", page) == [5, 7]


@pytest.mark.parametrize(
    "words",
    [
        "What a run remembers.",
        "Who may open.",
        "Whoever comes later waits.",
        "It is closed.",
        "That the source is closed is certain.",
        "Those of the run.",
        "These are kept.",
        "This is written twice.",
        "One that has ended.",
        "These, and others.",
    ],
)
def test_a_comment_that_opens_with_a_pronoun_for_something_unnamed_is_a_fault(tmp_path, words):
    assert faults(tmp_path, "a.rs", f"// {words}\nfn a() {{}}\n") == [1]


@pytest.mark.parametrize(
    "name, text",
    [
        ("a.rs", "/// It ends.\npub fn a() {}\n"),
        ("a.rs", "//! It ends.\n"),
        ("a.rs", "let a = 1; // It ends.\n"),
        ("a.py", "# It ends.\n"),
        ("a.py", 'a = 1\n\n\ndef b():\n    """It ends."""\n'),
        ("a.py", 'a = 1\n"""It ends."""\n'),
        ("a.yaml", "a: 1 # It ends.\n"),
        ("a.toml", "# It ends.\n"),
        ("Makefile", "a: ## It ends.\n"),
        ("script", "#!/bin/sh\n# It ends.\n"),
        ("script", "#!/usr/bin/env python3\n# It ends.\n"),
    ],
)
def test_comments_of_every_language_are_read(tmp_path, name, text):
    line = next(number for number, line in enumerate(text.split("\n"), 1) if "It" in line)
    assert faults(tmp_path, name, text) == [line]


@pytest.mark.parametrize("words", ["These calls wait.", "This run waits.", "One look is enough."])
def test_a_pronoun_with_its_noun_is_none(tmp_path, words):
    assert faults(tmp_path, "a.rs", f"// {words}\n") == []


def test_each_paragraph_of_a_comment_is_an_opening_and_a_line_within_is_none(tmp_path):
    text = (
        "/// A run.\n/// It within a line is bound to the line above.\n///\n/// It opens again.\n"
    )
    assert faults(tmp_path, "a.rs", text) == [4]
    assert faults(tmp_path, "a.py", 'def a():\n    """A run.\n\n    It opens.\n    """\n') == [4]


def test_a_string_is_no_comment(tmp_path):
    assert faults(tmp_path, "a.py", 'a = """\n# What is this\n"""\n') == []


def test_folders_are_read_as_git_lists_them_or_whole(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("kept.md", "ignored.md"):
        (folder / name).write_text(f"{WIDE}\n")
    assert [line.split(":")[0] for line in prose(tmp_path, "folder")[1]] == [
        "folder/ignored.md",
        "folder/kept.md",
    ]
    git(tmp_path, "init", "--quiet")
    (tmp_path / ".gitignore").write_text("ignored.md\n")
    assert [line.split(":")[0] for line in prose(tmp_path, "folder")[1]] == ["folder/kept.md"]


# ---------------------------------------------------------------------------------------- commits


def git(folder, *arguments):
    named = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    return subprocess.run(
        ["git", *named, *arguments], cwd=folder, capture_output=True, text=True, check=True
    ).stdout


@pytest.fixture
def repository(tmp_path):
    git(tmp_path, "init", "--quiet", "--initial-branch=work")
    return tmp_path


def commit(folder, subject):
    git(folder, "commit", "--quiet", "--allow-empty", "--message", subject)


@pytest.mark.parametrize(
    "subject",
    [
        "Close " + "x" * 67,
        "Close the source.",
        "Closed the source",
        "Closing the source",
        "Closes the source",
        "The source is closed",
        "close the source",
        "docs: describe closing",
    ],
)
def test_a_subject_that_is_no_short_imperative_is_a_fault(repository, subject):
    commit(repository, subject)
    code, lines = prose(repository, "--commits")
    assert code == 1
    assert [line.endswith(subject) for line in lines] == [True]


def test_short_imperatives_are_no_faults(repository):
    for subject in ("Close " + "x" * 66, "Pass the deadline on", "Need no lock", "Bring Zig"):
        commit(repository, subject)
    assert prose(repository, "--commits") == (0, [])


def test_only_commits_since_the_branch_of_the_origin_are_read(repository):
    commit(repository, "Old and wrong.")
    git(repository, "update-ref", "refs/remotes/origin/main", "HEAD")
    commit(repository, "New and wrong.")
    _, lines = prose(repository, "--commits")
    assert [line.endswith("New and wrong.") for line in lines] == [True]


def test_without_that_branch_the_last_twenty_are_read(repository):
    for number in range(25):
        commit(repository, f"Wrong {number}.")
    _, lines = prose(repository, "--commits")
    assert len(lines) == 20


def test_a_shallow_clone_is_read_as_far_as_it_goes(repository):
    for number in range(5):
        commit(repository, f"Wrong {number}.")
    clone = repository / "clone"
    git(repository, "clone", "--quiet", "--depth", "2", f"file://{repository}", str(clone))
    assert len(prose(clone, "--commits")[1]) == 2


def test_a_tree_without_git_passes_and_says_so(tmp_path):
    code, lines = prose(tmp_path, "--commits")
    assert code == 0
    assert "no Git repository" in lines[0]
