"""The pages of the documentation, and the parts of them that tests look at."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [*sorted(ROOT.glob("*.md")), *DOCS]
#: Pages that mark a part as theirs: tests and `make chaos` write what stands between.
WRITTEN = re.compile(
    r"<!-- (?:seen by tests: .*?|written by make \w+) -->\n.*?<!-- end -->", re.DOTALL
)
FENCE = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)


def name(page):
    return str(page.relative_to(ROOT))


def prose(page):
    """The lines of a page with their numbers, without code and without what commands write."""
    blank = lambda found: "\n" * found[0].count("\n")  # noqa: E731
    text = FENCE.sub(blank, WRITTEN.sub(blank, page.read_text()))
    return list(enumerate(text.split("\n"), 1))


def headings(page):
    text = FENCE.sub("", page.read_text())
    return re.findall(r"^(#+) (.*)$", text, re.MULTILINE)


def anchors(page):
    """The anchors of a page's headings, as GitHub and mdBook make them."""
    seen, found = {}, set()
    for _, heading in headings(page):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        count = seen.get(anchor, 0)
        seen[anchor] = count + 1
        found.add(f"{anchor}-{count}" if count else anchor)
    return found


def links(page):
    """The targets of a page's links to files and to headings."""
    text = FENCE.sub("", page.read_text())
    text = re.sub(r"`[^`\n]*`", "`code`", text)
    return [
        target
        for target in re.findall(r"\]\(([^)\s]+)\)", text)
        if not target.startswith(("http", "mailto:"))
    ]


def section(page, heading):
    """The text below a heading, up to the next of its level or above."""
    # A comment in a script looks like a heading.
    text = FENCE.sub(lambda found: found[0].replace("\n#", "\n #"), page.read_text())
    level = heading.split(" ", 1)[0]
    found = re.search(
        rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{len(level)}}} |\Z)", text, re.DOTALL | re.MULTILINE
    )
    assert found, f"{name(page)} has no {heading!r}"
    return found[1]
