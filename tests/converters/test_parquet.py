"""Rows from Parquet are those that the same table gives as CSV. Without pyarrow nothing here is shown."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgemill_converters.readers import check_disjoint
from edgemill_converters.readers.rows import read_rows
from edgemill_core.errors import DataError
from edgemill_core.samples import Truth


@pytest.fixture
def pyarrow() -> Any:
    return pytest.importorskip("pyarrow", reason="NOT SHOWN: Parquet is not read here, pyarrow is not installed")


def write(pyarrow: Any, path: Path, **columns: list[Any]) -> Path:
    from pyarrow import parquet

    parquet.write_table(pyarrow.table(columns), path)
    return path


def test_parquet_and_csv_of_one_table_are_the_same_rows(pyarrow: Any, tmp_path: Path) -> None:
    numbers, kinds = [0.1, 1e-300, 3.0], ["worn", None, "fine"]
    path = write(
        pyarrow, tmp_path / "t.parquet", row=["a", "b", "c"], x=numbers, on=[True, False, True], outcome=[1, 2, 3]
    )
    (tmp_path / "t.csv").write_text("row,x,on,outcome\na,0.1,1,1\nb,1e-300,0,2\nc,3,1,3\n")
    found, same = read_rows(path), read_rows(tmp_path / "t.csv")
    assert [(o.id, dict(o.fields), o.truth) for o in found] == [(o.id, dict(o.fields), o.truth) for o in same]
    with pytest.raises(DataError, match="share a sample"):
        check_disjoint({"search": found, "judge": same})
    classes = pyarrow.array(kinds).dictionary_encode()
    path = write(pyarrow, tmp_path / "k.parquet", row=[1, 2, 3], x=numbers, kind=classes, good=[True, False, True])
    one, two, _ = read_rows(path, class_name="kind")
    assert (one.id, one.truth, two.truth) == ("1", Truth(good=True, class_name="worn"), Truth(good=False))


def test_only_the_columns_that_are_asked_for_are_read(pyarrow: Any, tmp_path: Path) -> None:
    path = write(pyarrow, tmp_path / "t.pq", code=["L", "M"], id=[7, 8], x=[1.0, 2.0], nested=[[1], [2]])
    found = read_rows(path, item="id", ignore=("code", "nested"))
    assert [(one.id, dict(one.fields), one.truth) for one in found] == [
        ("7", {"x": 1.0}, None),
        ("8", {"x": 2.0}, None),
    ]


@pytest.mark.parametrize(
    ("columns", "part"),
    [
        ({"x": [1.0, None], "outcome": [1, 2]}, "row 2: not a row of the judge"),
        ({"x": [1.0, 2.0], "outcome": [1.0, float("nan")]}, "row 2: not a row of the judge"),
        ({"x": ["a", "b"], "outcome": [1, 2]}, "row 1: not a row of the judge"),
        ({"x": [[1], [2]], "outcome": [1, 2]}, "row 1: not a row of the judge"),
    ],
)
def test_a_cell_that_is_no_number_is_named(pyarrow: Any, tmp_path: Path, columns: dict[str, Any], part: str) -> None:
    path = write(pyarrow, tmp_path / "t.parquet", row=["a", "b"], **columns)
    with pytest.raises(DataError, match=part):
        read_rows(path)


def test_what_is_no_parquet_or_too_much_is_refused(
    pyarrow: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(pyarrow, tmp_path / "t.parquet", row=[str(n) for n in range(500)], x=[0.5 * n for n in range(500)])
    content = path.read_bytes()
    for cut in (0, 3, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:cut])
        with pytest.raises(DataError, match=r"t\.parquet cannot be read"):
            read_rows(path)
    path.write_bytes(content[:50] + bytes(200) + content[250:])
    with pytest.raises(DataError, match=r"t\.parquet"):
        read_rows(path)
    path.write_bytes(content)
    monkeypatch.setattr("edgemill_converters.readers.parquet._MOST_ROWS", 499)
    with pytest.raises(DataError, match=r"(?s)cannot be read.*500 rows"):
        read_rows(path)
    with pytest.raises(DataError, match=r"gone\.parquet cannot be read"):
        read_rows(tmp_path / "gone.parquet")


def test_a_row_that_repeats_a_million_times_does_not_fill_the_memory(pyarrow: Any, tmp_path: Path) -> None:
    from pyarrow import parquet

    same = pyarrow.array([1.0]).take(pyarrow.array([0] * 6_000_000, pyarrow.int32()))
    parquet.write_table(pyarrow.table({"row": same}), tmp_path / "t.parquet")
    assert (tmp_path / "t.parquet").stat().st_size < 100_000
    code = (
        "import sys, resource\nfrom pathlib import Path\nfrom edgemill_converters.readers.rows import read_rows\n"
        "try: read_rows(Path(sys.argv[1]))\nexcept Exception as error: print(error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, 'MB')"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "t.parquet")], capture_output=True, text=True)
    assert "6,000,000 rows" in done.stdout, done.stdout + done.stderr
    assert int(done.stdout.split()[-2]) < 400
