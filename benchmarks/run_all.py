"""Run every benchmark and draw one picture report, ``bench-out/report.html``."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from html import escape
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

HERE = Path(__file__).parent
ALL = (
    *(
        "startup",
        "judge",
        "agent",
        "throughput",
        "deadline",
        "swaps",
        "shadowing",
        "rtsp",
        "outage",
        "soak",
        "calibration",
        "quantization",
        "precisions",
        "converters",
        "fallback",
        "search",
        "runtimes",
        "leaks",
        "rebuild",
        "updates",
    ),
    *("install", "demo", "clone"),
)
OUT = HERE.parent / "bench-out"


def run(name: str) -> dict[str, Any]:
    print(f"{name} …", file=sys.stderr, flush=True)
    done = subprocess.run([sys.executable, HERE / f"{name}.py", "--json"], check=True, capture_output=True, text=True)
    (OUT / f"{name}.json").write_text(done.stdout)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _share(ours: float, sign: str, limit: float) -> float:
    if sign == "≥":
        return limit / ours if ours else float("inf")
    return ours / limit if limit else ours


def picture(rows: list[dict[str, Any]]) -> str:
    """How much of each bar is used up, as a bar chart; 1 is the bar itself."""
    limits = [(row, *row["bar"].split()[:2]) for row in rows if row["bar"]]
    used = [(row, _share(row["ours"], sign, float(limit))) for row, sign, limit in limits]
    figure = Figure(figsize=(9, 0.32 * len(used) + 1))
    axes = figure.subplots()
    labels = [f"{row['case']}: {row['figure']}" for row, _ in used]
    colours = ["#2a7f62" if row["holds"] else "#c8102e" for row, _ in used]
    axes.barh(labels, [share for _, share in used], color=colours)
    axes.axvline(1, color="black", linewidth=1)
    axes.invert_yaxis()
    axes.set_xlabel("share of the bar used (left of the line holds)")
    axes.tick_params(labelsize=7)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, bbox_inches="tight")
    return base64.b64encode(buffer.getvalue()).decode()


def table(rows: list[dict[str, Any]]) -> str:
    columns = ("case", "figure", "ours", "unit", "reference", "ratio", "bar", "holds", "runs")
    head = "".join(f"<th>{column}</th>" for column in columns)

    def cells(row: dict[str, Any]) -> str:
        return "".join(f"<td>{escape(str(row[c])) if row[c] is not None else ''}</td>" for c in columns)

    body = "".join(f"<tr>{cells(row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def main() -> None:
    OUT.mkdir(exist_ok=True)
    found = [run(name) for name in ALL]
    rows = [row for one in found for row in one["rows"]]
    style = "body{font:15px sans-serif;margin:2em}td,th{padding:.2em .8em;text-align:left;border-bottom:1px solid #ddd}"
    machine = escape(json.dumps(found[0]["environment"]))
    page = (
        f"<!doctype html><meta charset=utf-8><title>Edgemill benchmarks</title><style>{style}</style>"
        f"<h1>Edgemill benchmarks</h1><p>{machine}</p>"
        f'<img alt="share of each bar used" src="data:image/png;base64,{picture(rows)}">{table(rows)}'
    )
    (OUT / "report.html").write_text(page)
    print(OUT / "report.html")


if __name__ == "__main__":
    main()
