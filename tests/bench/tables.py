"""What people read of a benchmark: a table, and requests by kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from tests.bench.copying import Run

_HEAD = (
    "mode", "tool", "seconds", "CPU s", "ms/request", "memory MB", "at source", "at destination",
)  # fmt: skip


def table(runs: Sequence[Run]) -> str:
    """Return all runs as text, those of one way together."""
    lines = []
    for (name, to, rtt_ms), group in groupby(runs, lambda run: (run.workload, run.to, run.rtt_ms)):
        lines += ["", f"{name} to {to}, {rtt_ms:g} ms"]
        lines += _columns([_HEAD, *(_row(run) for run in group)])
    return "\n".join(lines)


def kinds(runs: Sequence[Run]) -> str:
    """Return the requests by kind, of each mode and tool once: distance does not change them."""
    lines = ["", "requests by kind"]
    seen = set()
    for run in runs:
        key = (run.workload, run.to, run.mode, run.tool)
        if key not in seen:
            seen.add(key)
            lines.append(f"  {run.workload} to {run.to}, {run.mode}, {run.tool}")
            lines.append(f"    source       {_listed(run.at_source.items())}")
            if run.at_destination:
                lines.append(f"    destination  {_listed(run.at_destination.items())}")
    return "\n".join(lines)


def _row(run: Run) -> tuple[str, ...]:
    tool = f"{run.tool} ({run.part})" if run.part else run.tool
    last = (run.said.splitlines() or [""])[-1]
    failed = "" if run.code == 0 else f"  FAILED, {run.code}: {last[-120:]}"
    refused = f"  {run.line['refused']} refused" if run.line.get("refused") else ""
    cuts = f"  {run.line['cuts']} cuts" if run.line.get("cuts") else ""
    return (
        run.mode,
        tool,
        f"{run.seconds:.1f}",
        f"{run.cpu_seconds:.2f}",
        f"{run.cpu_ms_per_request:.2f}",
        f"{run.most_memory_bytes / 1e6:.0f}",
        f"{sum(run.at_source.values()):,}",
        f"{sum(run.at_destination.values()):,}{refused}{cuts}{failed}",
    )


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    widths[-1] = len(rows[0][-1])
    return [
        "  " + "  ".join(
            cell.ljust(width) if at < 2 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]  # fmt: skip


def _listed(pairs: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in pairs) or "none"
