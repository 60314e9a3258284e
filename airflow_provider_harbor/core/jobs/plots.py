"""Small plots as SVG, for pages: no scripts, in the colours of the page."""

from __future__ import annotations

from collections.abc import Sequence


def plot(
    points: Sequence[int | None],
    *,
    width: int = 124,
    height: int = 40,
    label: str = "",
    is_filled: bool = False,
) -> str:
    """Return numbers as a line; a gap where there is none.

    Args:
        points: At equal steps, the oldest first.
        width: Of the plot, in its own units: it is as wide as its place allows.
        height: Likewise.
        label: What it shows, for those who cannot see it; HTML, escaped already.
        is_filled: Whether the area below the line is shown, too, down to zero.
    """
    known = [point for point in points if point is not None]
    if not known:
        return ""
    # An area shows how much there is; a line alone shows growth, and its bottom is not zero. What
    # never changes is in the middle.
    most, least = max(known), 0 if is_filled else min(known)
    span = (most - least) or 1
    step = width / max(len(points) - 1, 1)
    room = height - 4

    def at(number: int, value: int) -> str:
        y = 2 + room * (most - value) // span if most > least else height // 2
        return f"{round(number * step)} {y}"

    lines = areas = ""
    for begin, values in _stretches(points):
        end = begin + len(values) - 1
        path = "L".join(at(begin + n, value) for n, value in enumerate(values))
        # A point alone is a short line.
        lines += f"M{path}" if len(values) > 1 else f"M{path}m-3 0h6"
        if is_filled:
            areas += f"M{round(begin * step)} {height}L{path}L{round(end * step)} {height}Z"
    area = f'<path class="area" d="{areas}"/>' if areas else ""
    return (
        f'<svg class="plot" viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img" '
        f'aria-label="{label}">{area}<path d="{lines}"/></svg>'
    )


def _stretches(points: Sequence[int | None]) -> list[tuple[int, list[int]]]:
    """Return the stretches without a gap, each with the number of its first point."""
    found: list[tuple[int, list[int]]] = []
    is_open = False
    for number, point in enumerate(points):
        if point is None:
            is_open = False
        elif is_open:
            found[-1][1].append(point)
        else:
            found.append((number, [point]))
            is_open = True
    return found
