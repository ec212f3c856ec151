"""What the command prints: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edgemill_core.errors import EdgemillError


def print_json(value: object) -> None:
    """One JSON object on stdout."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


def print_line(text: str = "") -> None:
    """A line on stdout."""
    sys.stdout.write(text + "\n")


def print_error(error: EdgemillError) -> None:
    """The message, on stderr."""
    sys.stderr.write(f"edgemill: {error}\n")


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """A spinner with the present step, on stderr; plain lines where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda text: print(f"  {text}", file=sys.stderr, flush=True)  # noqa: T201
        return
    from rich.console import Console

    with Console(stderr=True).status("starting") as status:
        yield lambda text: status.update(text)
