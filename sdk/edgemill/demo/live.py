"""The live table of a line: what came last, and the account so far. Nothing is drawn where nobody watches."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from edgemill.demo.line import Fate, Part

_STYLES = {
    Fate.ESCAPE: "bold red",
    Fate.OVERKILL: "yellow",
    Fate.RIGHTLY_REJECTED: "cyan",
    Fate.RIGHTLY_PASSED: "green",
}
_ROWS = 12


@contextmanager
def live_table(total: int) -> Iterator[Callable[[Part], None]]:
    """A table on stderr while parts run; yields what to tell of each part."""
    last: deque[Part] = deque(maxlen=_ROWS)
    counts: Counter[Fate] = Counter()
    with Live(console=Console(stderr=True), refresh_per_second=10, transient=True) as live:

        def seen(part: Part) -> None:
            last.append(part)
            counts[part.fate] += 1
            live.update(Group(_account(counts, total), _parts(last)))

        yield seen


def _account(counts: Counter[Fate], total: int) -> str:
    done = ", ".join(f"{counts[fate]} {fate.value}" for fate in Fate)
    return f"part {counts.total()} of {total}: {done}"


def _parts(last: deque[Part]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("part", "expected", "read", "verdict", "ms", "reason"):
        table.add_column(title)
    for part in last:
        said = part.verdict
        table.add_row(
            part.sample.id,
            part.sample.context.get("expected", ""),
            str(said.reading.get("text", "")),
            said.decision.value,
            f"{part.milliseconds:.0f}",
            "; ".join(said.reasons),
            style=_STYLES[part.fate],
        )
    return table
