"""Prints the figures: a column for each number of targets, and the last against the first."""

from __future__ import annotations

from collections.abc import Callable

from .measure import Figures


def show(runs: list[Figures]) -> str:
    first, last = runs[0], runs[-1]
    rows = [
        [
            "targets",
            *(str(run.targets) for run in runs),
            f"{last.targets}/{first.targets}" if len(runs) > 1 else "",
        ]
    ]

    def row(name: str, of: Callable[[Figures], float], form: str, ratio: bool = False) -> None:
        compared = f"{of(last) / of(first):.2f}" if ratio and len(runs) > 1 and of(first) else ""
        rows.append([name, *(format(of(run), form) for run in runs), compared])

    def state(name: str, of: Callable[[Figures], float], form: str) -> None:
        """A run that ended in its first invocation has no `State` to measure."""
        measured = all(run.largest_state for run in runs)
        compared = f"{of(last) / of(first):.2f}" if measured and len(runs) > 1 else ""
        rows.append(
            [
                name,
                *(format(of(run), form) if run.largest_state else "none" for run in runs),
                compared,
            ]
        )

    row("wall time, s", lambda run: run.wall, ".1f", True)
    row("  of it inside invocations, s", lambda run: run.inside, ".1f", True)
    row("longest invocation, s", lambda run: run.longest, ".1f", True)
    row("invocations", lambda run: run.invocations, "d", True)
    row("process start to first answer, ms", lambda run: run.cold * 1000, ".0f")
    row("  the same when warm, ms", lambda run: run.warm * 1000, ".0f")
    row("peak memory of the function, MiB", lambda run: run.memory / 2**20, ".1f", True)
    row("processor time of the function, s", lambda run: run.processor, ".2f", True)
    row("  of the sandbox, s", lambda run: run.sandbox_processor, ".2f", True)
    state("largest State, bytes", lambda run: run.largest_state, ",d")
    state("  per target", lambda run: run.largest_state / run.targets, ".0f")
    # A resumed target looks again, so calls compare only between runs of about as many invocations.
    row("AWS calls", lambda run: run.operations.total(), ",d")
    row("  per target", lambda run: run.operations.total() / run.targets, ".2f", True)
    row("  refused by AWS", lambda run: run.errors.total(), ",d")
    names = sorted({name for run in runs for name in run.operations})
    for name in names:
        row(
            f"  {name} per target",
            lambda run, name=name: run.operations[name] / run.targets,
            ".2f",
            True,
        )
    return aligned(rows)


def aligned(rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for name, *cells in rows:
        lines.append(
            "  ".join(
                [
                    name.ljust(widths[0]),
                    *(cell.rjust(width) for cell, width in zip(cells, widths[1:])),
                ]
            ).rstrip()
        )
    return "\n".join(lines)
