"""The scripts around tests and documents do what their first lines say."""

import re
import subprocess

import pytest

from .pages import ROOT, links


def run(script, *arguments, **settings):
    return subprocess.run(
        [ROOT / "scripts" / script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        **settings,
    )


@pytest.fixture
def program(tmp_path):
    """Prints what a test program prints, and ends as its first argument says."""
    path = tmp_path / "deps" / "program"
    path.parent.mkdir()
    path.write_text(
        '#!/bin/sh\necho "test a::slow ... ok <2.000s>"\necho "test a::quick ... ok '
        '<0.010s>"\necho "$@"\nexit $1\n'
    )
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("code", [0, 101])
def test_a_timed_program_ends_as_it_ends_alone(program, tmp_path, code):
    times = tmp_path / "times"
    done = run(
        "timed", program, str(code), env={"PATH": "/usr/bin:/bin", "AMIFERRY_TIMES": str(times)}
    )
    assert done.returncode == code
    assert "--report-time" in done.stdout
    slowest = run("slowest", "show", times).stdout.splitlines()
    assert [line for line in slowest if "a::" in line] == ["2.000 a::slow", "0.010 a::quick"]


def test_a_program_that_is_no_test_is_run_as_it_is(program):
    elsewhere = program.parent.parent / "program"
    program.rename(elsewhere)
    assert "--report-time" not in run("timed", elsewhere, "0").stdout


def test_the_watch_runs_the_unit_tests_of_a_crate(tmp_path):
    cargo = tmp_path / "cargo"
    cargo.write_text('#!/bin/sh\necho "$@"\n')
    cargo.chmod(0o755)
    done = run(
        "watch",
        "amiferry-sandbox",
        "kms",
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "AMIFERRY_WATCH": "once"},
    )
    assert done.stdout == "test --locked --package amiferry-sandbox --lib --quiet -- kms\n"


def test_every_link_of_the_contents_of_the_book_leads_to_a_page_of_it(tmp_path):
    assert run("book", tmp_path / "book").returncode == 0
    contents = tmp_path / "book" / "src" / "SUMMARY.md"
    assert len(links(contents)) == len(links(ROOT / "docs" / "SUMMARY.md"))
    assert not [link for link in links(contents) if not (contents.parent / link).is_file()]
    chapters = [contents.parent / link for link in links(contents)]
    files = [(page, link.partition("#")[0]) for page in chapters for link in links(page)]
    broken = {
        (page.name, link) for page, link in files if link and not (page.parent / link).exists()
    }
    # A folder has no page in a book, so no link leads to one.
    assert not [file for page, file in files if file and not (page.parent / file).is_file()]


def test_the_names_of_tests_become_a_page_with_a_section_for_each_module(tmp_path):
    for name in ("scripts", "docs"):
        (tmp_path / name).mkdir()
    script = tmp_path / "scripts" / "behaviour"
    script.write_text((ROOT / "scripts" / "behaviour").read_text())
    page = tmp_path / "docs" / "behaviour.md"
    page.write_text((ROOT / "docs" / "behaviour.md").read_text())
    listed = "share::a_share_ends: test\nshare::it_begins: test\n\n2 tests, 0 benchmarks\n"
    done = subprocess.run(
        ["python3", script], input=listed, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"^## `share`\n\n- a share ends\n- it begins\n", page.read_text(), re.MULTILINE
    )
    assert (
        subprocess.run(
            ["python3", script], input="", text=True, capture_output=True, check=False
        ).returncode
        != 0
    )


def test_wrap_fills_paragraphs_and_leaves_tables_and_code(tmp_path):
    page = tmp_path / "page.md"
    kept = "| " + "cell " * 30 + "|\n\n```sh\n" + "word " * 30 + "\n```\n"
    page.write_text(f"- {'word ' * 18}`one piece of code` {'word ' * 10}\n\n{kept}")
    assert run("wrap", page).returncode == 0
    text = page.read_text()
    assert text.endswith(kept)
    lines = text.removesuffix(kept).splitlines()
    assert [len(line) <= 100 for line in lines] == [True] * len(lines)
    assert lines[0].startswith("- word") and lines[1].startswith("  `one piece of code` word")


@pytest.mark.parametrize(
    ("version", "first"), [("0.2.0", "- released"), ("9.9.9", "- not released yet")]
)
def test_release_notes_are_those_of_the_version_or_of_what_is_not_released(
    tmp_path, version, first
):
    (tmp_path / "scripts").mkdir()
    script = tmp_path / "scripts" / "release-notes"
    script.write_text((ROOT / "scripts" / "release-notes").read_text())
    changelog = "# Changelog\n\n## [Unreleased]\n\n- not released yet\n\n## [0.2.0]\n\n- released\n"
    (tmp_path / "CHANGELOG.md").write_text(changelog)
    done = subprocess.run(["bash", script, version], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == first
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n")
    done = subprocess.run(
        ["bash", script, version], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"nothing about {version}" in done.stderr
