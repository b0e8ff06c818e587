"""The shell commands of the documents: what a shell makes of them.

The words behind `sh` in a fence say what a block needs. `aws`: credentials, so the tests play it
with commands that only write down how they were called. `make`: minutes, so the tests ask make what
it would do. `demo`: nothing, so the tests run it. `cli`: the sandbox, on which cli/tests run it.
"""

import re
import subprocess

PLAYED = ("make", "aws", "cargo", "jq")
BLOCK = re.compile(r"^( *)```sh(?: ([a-z]+))?\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


def blocks(page):
    """Pairs of a block's word and its text, without the indentation of a list."""
    for indent, word, text in BLOCK.findall(page.read_text()):
        yield word, re.sub(f"^{indent}", "", text, flags=re.MULTILINE)


def played(page, folder, words=("aws", "make", "demo")):
    """The commands of a page's blocks, each as the words that a shell makes of it, in the order of
    the page.

    A command answers `example`, so that loops over what it lists run once. Commands write down how
    they were called also where their output is caught or goes elsewhere. The two ends of a pipe run
    at the same time, and bash writes line by line: a command stands in one line, so that it is one
    write that no other command cuts in two.
    """
    line = "\"${@//$'\\n'/$'\\v'}\" $'\\f'"
    note = "".join(
        f"{name}() {{ printf '%s\\0' {name} {line} >&3; echo example; }}\n" for name in PLAYED
    )
    script = note + "".join(text for word, text in blocks(page) if word in words)
    done = subprocess.run(
        ["bash", "-eu", "-c", f"exec 3>commands\n{script}"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (page, done.stderr)
    commands = (folder / "commands").read_text().replace("\v", "\n").split("\f\0")
    return [command.split("\0")[:-1] for command in commands if command]
