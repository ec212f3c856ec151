"""Requests from a table of numbers, in the order of its lines, each once."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator
from pathlib import Path

from edgemill_agent.sources.base import Arrival, Source
from edgemill_core.errors import InputError
from edgemill_core.row_table import Row, read_table

_LOOK_S = 0.2


class RowsSource(Source):
    """Follows a CSV file that grows by lines. The first column names the request and rises, as ISO dates do."""

    def parts(self) -> Iterator[Arrival | None]:
        """Requests behind the last one taken; one with a field that is no number comes with its fault."""
        path, once, seen = Path(self.settings["rows"]), bool(self.settings.get("once")), (-1, -1)
        while True:
            try:
                now = path.stat()
                if (now.st_mtime_ns, now.st_size) != seen:
                    seen = (now.st_mtime_ns, now.st_size)
                    yield from self._new(path, growing=not once)
            except (OSError, UnicodeDecodeError, csv.Error) as error:
                raise _unusable(
                    path, "names in the first line, the first column names the request", str(error)
                ) from error
            if once:
                return
            yield None
            time.sleep(_LOOK_S)

    def _new(self, path: Path, growing: bool) -> Iterator[Arrival]:
        before = ""
        for row in read_table(path, growing):  # all of it before the first request: half a table must not be answered
            if row.item <= before:
                got = f"line {row.line}: {row.item!r} after {before!r}"
                raise _unusable(path, "names that rise from line to line", got)
            before = row.item
        for row in read_table(path, growing):
            if row.item > self.after:
                self.after = row.item
                yield _arrival(row)


def _unusable(path: Path, expected: str, got: str) -> InputError:
    return InputError(
        f"the source's table {path} cannot be read",
        expected=f"a CSV file in UTF-8: {expected}",
        got=got,
        fix="mend `rows:` under the station's `source:`, or the file",
    )


def _arrival(row: Row) -> Arrival:
    if row.fault:
        return Arrival(row.item, fault=row.fault)
    return Arrival(row.item, fields=row.fields)
