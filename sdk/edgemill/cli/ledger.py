"""``edgemill ledger``: look into a ledger, check it, take it along, and receive it at the other end."""

from __future__ import annotations

import json as jsonlib
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgemill.cli.output import print_json, print_line
from edgemill_agent.ledger import LedgerView
from edgemill_core.errors import InputError
from edgemill_core.evidence_table import TABLE
from edgemill_link.broker_settings import broker_at

if TYPE_CHECKING:
    from edgemill_agent.evidence_list import Listed


def stats(state: Path, json: bool) -> None:
    """Counts of one ledger."""
    view = LedgerView.open(state)
    position, _ = view.last()
    account = view.account()
    restored = [segment.begin for segment in view.segments()[1:]]
    found = {
        "ledger": view.id,
        "records": position,
        "acknowledged": view.acknowledged(),
        "verdicts": account.delivered,
        "declared_lost": account.lost,
        "void_numbers": account.void,
        "stations": account.stations,
        "trimmed_up_to": view.first()[0],
        "restored_behind": restored,
        "held_bytes": view.held(),
    }
    if json:
        print_json(found)
        return
    print_line(f"{position} records, {found['acknowledged']} of them acknowledged by the consumer")
    print_line(f"{account.delivered} verdicts, {account.lost} declared lost, {account.void} numbers void")
    for name, count in account.stations.items():
        print_line(f"  {name}: {count} verdicts")
    if found["trimmed_up_to"]:
        print_line(f"records up to {found['trimmed_up_to']} were trimmed; a signed anchor stands for them")
    for place in restored:
        print_line(f"restored behind record {place}: what the lost box recorded after its backup only the consumer has")
    for kind, held in view.held().items():
        print_line(f"  {kind}: {held:,} bytes of payloads{' and frames' if kind == 'evidence' else ''}")


def evidence(state: Path, station: str, last: int, export: Path | None, json: bool) -> None:
    """Parts whose frames were to be kept; the newest ``last`` of them, all if that is 0."""
    from edgemill_agent.evidence_list import list_evidence

    view = LedgerView.open(state)
    found = list_evidence(view, station)
    shown = found[-last:] if last else found
    if export is not None:
        _export_evidence(view, shown, export, json)
    elif json:
        print_json({"parts": len(found), "evidence": [one.as_dict() for one in shown]})
    else:
        _print_evidence(state, found, shown)


def _export_evidence(view: LedgerView, shown: Sequence[Listed], folder: Path, json: bool) -> None:
    from edgemill_agent.evidence_export import export_evidence

    parts = export_evidence(view, shown, folder)
    if json:
        print_json({"folder": str(folder), "parts": parts})
        return
    print_line(f"{parts} parts in {folder / TABLE}")
    print_line("write 1 or 0 under good there, or a class, and name the folder in a recipe: {evidence: FOLDER}")


def _print_evidence(state: Path, found: Sequence[Listed], shown: Sequence[Listed]) -> None:
    for one in shown:
        where = f"{one.file} ({one.bytes:,} bytes)" if one.file else f"{one.state}: {one.why}"
        said = f"{one.decision or '-'}{' (late)' if one.late else ''}"
        print_line(f"{one.number:>8}  {one.station}  {said:<10} {where}  {'; '.join(one.reasons)}".rstrip())
    kept = [one for one in found if one.file]
    print_line(f"{len(kept)} of {len(found)} frames are here, {sum(one.bytes for one in kept):,} bytes")
    if kept:
        print_line(f"judge one again: edgemill run BUNDLE {state} --evidence {kept[-1].number}")


def verify(state: Path, json: bool) -> None:
    """Exit code 1, and the place, if anything was altered."""
    view = LedgerView.open(state)
    fault = view.verify()
    position, link = view.last()
    if json:
        print_json(
            {"whole": fault is None, "records": position, "link": link}
            | ({} if fault is None else {"position": fault.position, "what": fault.what})
        )
    elif fault is None:
        print_line(f"whole: {position} records, the last link is {link}")
    else:
        print_line(f"NOT whole: record {fault.position}: {fault.what}")
    if fault is not None:
        sys.exit(1)


def export(state: Path, out: Path, after: int) -> None:
    """One JSON object a line, in the order of the chain."""
    view = LedgerView.open(state)
    try:
        with out.open("w", encoding="utf-8") as file:
            count = 0
            for record in view.records(after):
                file.write(jsonlib.dumps(record.as_dict(), ensure_ascii=False) + "\n")
                count += 1
    except OSError as error:
        raise InputError(
            f"{out} cannot be written", expected="a file on a disk with room", got=str(error), fix="name another file"
        ) from error
    print_line(f"{count} records in {out}")


def consume(broker: str, store: Path, idle_s: float | None, json: bool) -> None:
    """Until SIGTERM or Ctrl-C, or until nothing came for ``idle_s``."""
    from edgemill_link.consumer import Consumer
    from edgemill_link.consumer_store import ConsumerStore

    settings = broker_at(broker)
    kept = ConsumerStore(store)
    consumer = Consumer(kept, settings, lambda words: print(words, file=sys.stderr, flush=True))  # noqa: T201
    over: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _: over.append(got))
    last = time.monotonic()
    while not over and (idle_s is None or time.monotonic() - last < idle_s):
        if consumer.step():
            last = time.monotonic()
    consumer.stop()
    accounts = kept.accounts()
    kept.close()
    if json:
        print_json({"ledgers": [{"device": d, "ledger": i, **a.as_dict()} for (d, i), a in accounts.items()]})
        return
    for (device, _), account in accounts.items():
        print_line(f"{device}: {account.delivered} verdicts, {account.lost} declared lost, {account.void} numbers void")
