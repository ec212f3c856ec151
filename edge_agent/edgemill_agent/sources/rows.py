"""Requests from a table of numbers, in the order of its lines, each once."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator
from pathlib import Path

from edgemill_agent.sources.base import Arrival, Source
from edgemill_core.errors import InputError
from edgemill_core.row_table import OUTCOME, Row, read_table

_LOOK_S = 0.2


class RowsSource(Source):
    """Follows a CSV file that grows by lines. The first column names the request and rises, as ISO dates do."""

    def parts(self) -> Iterator[Arrival | None]:
        """Requests behind the last one taken; one with a field that is no number comes with its fault."""
        path = Path(self.settings["rows"])
        while True:
            try:
                for row in read_table(path):
                    if row.item > self.after:
                        self.after = row.item
                        yield _arrival(row)
            except (OSError, UnicodeDecodeError, csv.Error) as error:
                raise InputError(
                    f"the source's table {path} cannot be read",
                    expected="a CSV file in UTF-8: names in the first line, the first column names the request",
                    got=str(error),
                    fix="mend `rows:` under the station's `source:`, or the file",
                ) from error
            if self.settings.get("once"):
                return
            yield None
            time.sleep(_LOOK_S)


def _arrival(row: Row) -> Arrival:
    if row.fault:
        return Arrival(row.item, fault=row.fault)
    return Arrival(row.item, fields={name: value for name, value in row.fields.items() if name != OUTCOME})
