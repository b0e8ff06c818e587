"""Shows a live table on a terminal, and plain lines elsewhere."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from .truth import Place, Target, Truth

MOST_BARS = 3


class Screen:
    def __init__(self) -> None:
        self.console = Console(highlight=False)
        if not self.console.is_terminal:
            # A pipe or a log has no width.
            self.console = Console(highlight=False, width=160)
        self._began = time.monotonic()
        self._live: Live | None = None
        self._drawn = 0.0
        self._said: dict[Place, tuple[str, int, bool]] = {}
        self._said_of_source = ""

    def title(self, text: str) -> None:
        self.console.print(f"\n[bold]{escape(text)}[/bold]")

    def line(self, text: str) -> None:
        self.console.print(escape(text))

    def say(self, text: str) -> None:
        """Prints a line about an event of this moment."""
        self.console.print(f"[dim]{time.monotonic() - self._began:5.1f} s[/dim]  {escape(text)}")

    def table(self, columns: list[str], rows: list[list[str]], right: tuple[str, ...] = ()) -> None:
        gap = 2 if self.console.width >= 100 else 1
        table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
        for column in columns:
            table.add_column(
                column, justify="right" if column in right else "left", overflow="fold"
            )
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        self.console.print(table)

    def verdict(self, good: bool, text: str, detail: str = "") -> None:
        mark = "[green]ok[/green]  " if good else "[red bold]FAIL[/red bold]"
        self.console.print(f"{mark} {escape(text)}" + (f": {escape(detail)}" if detail else ""))

    def start(self, live: bool = True) -> None:
        """With `live`, a terminal shows a moving table; everything else gets lines."""
        self._began = time.monotonic()
        if live and self.console.is_terminal:
            self._live = Live(console=self.console, refresh_per_second=8, transient=True)
            self._live.start()

    def stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def progress(self, state: dict[str, Any] | None, truth: Truth, places: list[Place]) -> None:
        """Draws the present state; cheap enough to be called all the time."""
        now = time.monotonic()
        if now - self._drawn < 0.1:
            return
        self._drawn = now
        told = {(t["AccountId"], t["Region"]): t for t in (state or {}).get("Targets", [])}
        if self._live is not None:
            self._live.update(self._picture(told, truth, places))
        else:
            self._changes(told, truth, places)

    def _picture(
        self, told: dict[Place, dict[str, Any]], truth: Truth, places: list[Place]
    ) -> Table:
        table = Table(
            box=None,
            pad_edge=False,
            padding=(0, 2, 0, 0),
            header_style="bold",
            caption_justify="left",
        )
        for column in ("Account", "Region", "Function says", "There is"):
            table.add_column(column)
        for place in places:
            there = truth[place]
            table.add_row(
                *place, last_word(told.get(place)), there.image_id or bars(there.progress)
            )
        table.caption = f"At the source, {truth.source}" if truth.source else None
        return table

    def _changes(
        self, told: dict[Place, dict[str, Any]], truth: Truth, places: list[Place]
    ) -> None:
        """Prints a line for each quarter of the way, each new phase and each new image."""
        if truth.source and truth.source != self._said_of_source:
            self._said_of_source = truth.source
            self.say(f"At the source, {truth.source}")
        for place in places:
            there = truth[place]
            word = last_word(told.get(place))
            quarter = sum(there.progress) // 25 // max(len(there.progress), 1)
            now = (word, quarter, there.image_id is not None)
            if there.progress and now != self._said.get(place):
                self._said[place] = now
                self.say(
                    f"{place[0]} {place[1]}  {describe(there)}"
                    + (f"  (function: {word})" if word else "")
                )


def describe(there: Target) -> str:
    copies = "copies " + ", ".join(f"{percent}%" for percent in there.progress)
    return f"{copies}  {there.image_id}" if there.image_id else copies


def last_word(target: dict[str, Any] | None) -> str:
    """Returns a target's part of the function's last `State`."""
    if target is None:
        return ""
    phase, progress = target["Phase"], target.get("Work", {}).get("Progress")
    if isinstance(phase, dict):
        return next(iter(phase))
    return phase + (f" {progress}%" if progress and phase == "Copying" else "")


def bars(progress: tuple[int, ...]) -> str:
    """Returns a bar for each copy, or one for all if there are many."""
    if len(progress) > MOST_BARS:
        return f"{bar(sum(progress) // len(progress))}  over {len(progress)} copies"
    return "  ".join(bar(percent) for percent in progress)


def bar(percent: int, width: int = 10) -> str:
    full = percent * width // 100
    return f"{'█' * full}{'░' * (width - full)} {percent:3d}%"
