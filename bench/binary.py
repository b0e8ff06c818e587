"""Chooses the `bootstrap` to measure: the release one of `make build`, or that of dev."""

from __future__ import annotations

import pathlib
import zipfile


def choose(
    release: pathlib.Path, dev: pathlib.Path, sources: pathlib.Path, folder: pathlib.Path
) -> tuple[pathlib.Path, str]:
    """Returns the program and its description. `release` is the folder that `make build` fills."""
    program, archive = release / "bootstrap", release / "bootstrap.zip"
    made = next((file for file in (program, archive) if file.is_file()), None)
    if made is None:
        return dev, "dev build (`make build` makes a release one)"
    if made == archive:
        with zipfile.ZipFile(archive) as content:
            program = pathlib.Path(content.extract("bootstrap", folder))
        program.chmod(0o755)
    newest = max(file.stat().st_mtime for file in sources.rglob("*.rs"))
    stale = ", OLDER than src/: `make build` renews it" if made.stat().st_mtime < newest else ""
    return program, f"release build, {program.stat().st_size:,} bytes{stale}"
