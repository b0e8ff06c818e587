"""Tests of every page: its links lead somewhere, its lines are short, and it agrees with the
code."""

import re

import pytest
import yaml

from . import pages
from .pages import DOCS, PAGES, ROOT

SOURCE = "".join(path.read_text() for path in sorted((ROOT / "src").rglob("*.rs")))
#: One column may be wider in a table, which cannot be wrapped; a paragraph does not belong into
#: one.
WIDEST_CELL = 150


@pytest.mark.parametrize("page", PAGES, ids=pages.name)
def test_every_link_leads_to_a_file_and_a_heading_of_it(page):
    broken = []
    for target in pages.links(page):
        file, _, anchor = target.partition("#")
        to = (page.parent / file).resolve() if file else page
        if not to.exists():
            broken.append(target)
        elif anchor and (to.suffix != ".md" or anchor not in pages.anchors(to)):
            broken.append(target)
    assert not broken


def test_the_book_has_every_page_once():
    summary = ROOT / "docs" / "SUMMARY.md"
    listed = [(summary.parent / link).resolve() for link in pages.links(summary)]
    wanted = [page for page in PAGES if page != summary]
    assert sorted(listed) == sorted(wanted)


def test_every_page_can_be_reached_from_the_readme():
    reached, new = set(), {ROOT / "README.md"}
    while new:
        page = new.pop()
        reached.add(page)
        files = ((page.parent / link.partition("#")[0]).resolve() for link in pages.links(page))
        new |= {file for file in files if file.suffix == ".md" and ROOT in file.parents} - reached
    # The table of contents belongs to the book.
    assert set(DOCS) - {ROOT / "docs" / "SUMMARY.md"} <= reached


@pytest.mark.parametrize("page", PAGES, ids=pages.name)
def test_lines_have_a_hundred_columns_at_most(page):
    written = page.read_text()
    for block in re.findall(r"```sh.*?```", written, re.DOTALL):
        assert max(map(len, block.split("\n"))) <= 100, block
    long = [
        number for number, line in pages.prose(page) if len(line) > 100 and not line.startswith("|")
    ]
    assert not long, f"scripts/wrap {pages.name(page)}"


@pytest.mark.parametrize("page", PAGES, ids=pages.name)
def test_code_stays_on_one_line(page):
    """A search finds code that stands on one line."""
    assert not [number for number, line in pages.prose(page) if line.count("`") % 2]


@pytest.mark.parametrize("page", PAGES, ids=pages.name)
def test_a_cell_of_a_table_holds_no_paragraph(page):
    rows = [(number, line) for number, line in pages.prose(page) if line.startswith("|")]
    cells = ((number, cell.strip()) for number, line in rows for cell in line.strip("|").split("|"))
    assert not [number for number, cell in cells if len(cell) > WIDEST_CELL]


@pytest.mark.parametrize("page", PAGES, ids=pages.name)
def test_words_are_spelled_as_aws_spells_them(page):
    wrong = re.compile(
        r"\b\w*(?:organis|authoris|recognis|colour|behaviour|licence)\w*", re.IGNORECASE
    )
    words = [
        (number, re.sub(r"`[^`]*`|\]\([^)]*\)", "", line)) for number, line in pages.prose(page)
    ]
    assert not [(number, wrong.findall(line)) for number, line in words if wrong.search(line)]


@pytest.mark.parametrize("page", PAGES, ids=pages.name)
def test_no_sentence_opens_with_a_word_for_something_unnamed(page):
    text = "\n".join("" if line.startswith(("#", "|")) else line for _, line in pages.prose(page))
    opening = re.compile(
        r"(?:\A|\n\n|[.:!?]\s+|^\s*(?:-|\d+\.) )\**((?:What|Who|Whoever|Those) \w+ \w+)",
        re.MULTILINE,
    )
    assert not opening.findall(text)


def test_the_readme_is_read_at_sight():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize(
    "form",
    sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml")),
    ids=lambda form: form.stem,
)
def test_a_form_for_reports_has_what_github_asks_for(form):
    content = yaml.safe_load(form.read_text())
    assert {"name", "description", "body"} <= content.keys()
    fields = [item for item in content["body"] if item["type"] != "markdown"]
    assert fields
    assert len({field["id"] for field in fields}) == len(fields)
    assert all(field["attributes"]["label"] for field in fields)


# ------------------------------------------------------------------------------- pages and the code


def test_every_alarm_has_a_section_with_cause_look_and_do():
    template = (ROOT / "template.yaml").read_text()
    alarms = re.findall(r"^  (\w+):\n    Type: AWS::CloudWatch::Alarm$", template, re.MULTILINE)
    assert alarms
    operations = ROOT / "docs" / "operations.md"
    runbook = pages.section(operations, "## Alarms")
    assert sorted(re.findall(r"^### `(\w+)`$", runbook, re.MULTILINE)) == sorted(alarms)
    for alarm in alarms:
        text = pages.section(operations, f"### `{alarm}`")
        assert [text.count(f"**{word}.**") for word in ("Cause", "Look", "Do")] == [1, 1, 1], alarm


def test_every_message_of_the_ledger_is_one_of_the_code():
    text = pages.section(ROOT / "docs" / "troubleshooting.md", "## Messages of the ledger")
    messages = re.findall(r"^### (.*)$", text, re.MULTILINE)
    assert len(messages) > 5
    #: S3's own words.
    of_aws = {"NoSuchBucket", "AccessDenied"}
    for message in messages:
        for code in re.findall(r"`([^`]+)`", message):
            for part in filter(None, re.split(r" ?… ?", code)):
                assert part in of_aws or part in SOURCE, message


def test_every_setting_of_the_function_is_documented():
    table = pages.section(ROOT / "docs" / "operations.md", "## Settings")
    documented = set(re.findall(r"`(AMIFERRY_\w+)`", table))
    assert documented == set(re.findall(r'"(AMIFERRY_[A-Z_]+)"', SOURCE))


@pytest.mark.parametrize(
    "heading, file",
    [
        ("## 1. The targets", "templates/target-role.yaml"),
        ("## 2. The source account", "template.yaml"),
    ],
)
def test_parameters_of_the_deployment_are_the_templates(heading, file):
    text = pages.section(ROOT / "docs" / "deploy.md", heading)
    items = re.findall(r"^- ((?:`\w+`(?:, | \(or )?)+)", text, re.MULTILINE)
    named = {name for item in items for name in re.findall(r"`(\w+)`", item)}
    template = (ROOT / file).read_text()
    parameters = re.search(r"^Parameters:\n(.*?)^\w", template, re.DOTALL | re.MULTILINE)[1]
    known = set(re.findall(r"^  (\w+):$", parameters, re.MULTILINE))
    assert named
    assert named <= known
    if file != "template.yaml":
        assert known <= named


def test_properties_of_resources_in_examples_are_keys_of_requests():
    keys = set(
        re.findall(r"^### `(\w+)`$", (ROOT / "docs" / "requests.md").read_text(), re.MULTILINE)
    )
    keys |= set(
        re.findall(
            r"^- Also named: `(\w+)`$", (ROOT / "docs" / "requests.md").read_text(), re.MULTILINE
        )
    )
    seen = 0
    for page in PAGES:
        for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL):
            for resource in yaml.safe_load(block).values():
                assert resource["Properties"].keys() - {"ServiceToken"} <= keys, page
                seen += 1
    assert seen


#: The pages that name tests of the code, by which a reader can look a claim up.
CITING = ["SECURITY.md", "docs/field.md", "docs/history.md", "docs/reliability.md"]


def named_tests():
    """The path of each test and module, such as `("tests", "behaviour", "field", "before",
    name)`."""
    found = set()
    for root in ("src", "tests/behaviour", "sandbox/src", "sandbox/tests"):
        for path in (ROOT / root).rglob("*.rs"):
            modules = path.relative_to(ROOT).with_suffix("").parts
            attributes = r"#\[(?:tokio::)?test\b[^\]]*\]\s+(?:#\[[^\]]*\]\s+)*"
            names = re.findall(rf"{attributes}(?:async )?fn (\w+)", path.read_text())
            found |= {modules, *((*modules, name) for name in names)}
    return found


def looks_like_a_test(code):
    """Returns whether code is a path of lower-case names, or one name of many words."""
    return re.fullmatch(r"(?:[a-z0-9_]+::)+[a-z0-9_]+|[a-z0-9]+(?:_[a-z0-9]+){3,}", code)


@pytest.mark.parametrize("page", [ROOT / name for name in CITING], ids=pages.name)
def test_every_test_that_a_page_names_exists(page):
    tests, missing = named_tests(), []
    for code in filter(looks_like_a_test, re.findall(r"`([^`\n]+)`", page.read_text())):
        *modules, name = code.split("::")
        if not any(test[-1] == name and set(modules) <= set(test) for test in tests):
            missing.append(code)
    assert not missing


def test_every_fact_of_aws_that_the_sandbox_cites_has_its_section():
    facts = (ROOT / "docs" / "aws-facts.md").read_text()
    sections = tuple(re.findall(r"^## ([\w ]+)", facts, re.MULTILINE))
    cited, unknown = 0, []
    for path in (ROOT / "sandbox" / "src").rglob("*.rs"):
        text = re.sub(r"\n\s*//[/!] ?", " ", path.read_text())
        for words in re.findall(r"aws-facts`?[:,] ([^;\n]+)", text):
            cited += 1
            if not words.startswith(sections):
                unknown.append((path.name, words))
    assert cited > 50
    assert not unknown
