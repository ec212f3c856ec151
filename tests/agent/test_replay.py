"""Evidence once more: kept frames of one agent as the source of another."""

from __future__ import annotations

from typing import Any

import pytest
from agent_box import Box, wait_until

from edgemill_core.errors import LedgerError


@pytest.fixture
def again(box: Box) -> Box:
    """A box that replays the frames that a first run kept."""
    box.settings["stations"][0]["evidence"] = {"keep": ["100%"]}
    box.run()
    station = {**box.settings["stations"][0], "source": {"replay": "state", "once": True, "max_frame_bytes": 65536}}
    del station["evidence"]
    (box.folder / "again").mkdir()
    return Box(box.folder / "again", {**box.settings, "stations": [{**station, "source": replayed(box, once=True)}]})


def replayed(box: Box, **more: Any) -> dict[str, Any]:
    return {"replay": str(box.state), "max_frame_bytes": 65536, **more}


def bodies(box: Box) -> list[dict[str, Any]]:
    return [record.payload.content() for record in box.verdicts() if record.payload]


def test_each_kept_frame_comes_once_in_order_with_what_was_known_of_it(box: Box, again: Box) -> None:
    first = box.verdicts()
    again.run()
    assert again.items() == [f"{record.header.number:012d}" for record in first]
    for then, now in zip(bodies(box), bodies(again), strict=True):
        assert now["context"] == {**then["context"], "was": then["verdict"]["decision"]}
        assert now["context"]["expected"]
        assert now["verdict"] == then["verdict"]
    assert again.run()["stations"]["cell"]["verdicts"] == 0


def test_it_goes_on_behind_the_last_one_and_follows_an_agent_that_runs(box: Box, again: Box) -> None:
    again.settings["stations"][0]["source"] = replayed(box)
    agent = again.start()
    wait_until(lambda: again.recorded() == 60, "all that were kept")
    (box.folder / "pictures" / "9999.png").write_bytes((box.folder / "pictures" / "0000.png").read_bytes())
    box.run()
    wait_until(lambda: again.recorded() == 61, "the one that was kept since")
    agent.terminate()
    again.end(agent)
    assert again.items()[-1] == f"{box.verdicts()[-1].header.number:012d}"


def test_a_frame_that_was_altered_or_is_gone_is_a_part_with_its_fault(box: Box, again: Box) -> None:
    kept = sorted((box.state / "evidence" / "cell").iterdir())
    kept[3].write_bytes(kept[4].read_bytes())
    kept[7].unlink()
    account = again.run()["stations"]["cell"]
    assert account["safe"] == 2
    faults = {int(one["item"]): one["verdict"]["reasons"][0] for one in bodies(again) if one.get("safe")}
    assert list(faults) == [4, 8]
    assert "is not the one that was recorded" in faults[4]
    assert "no such file" in faults[8]


def test_frames_of_one_station_only(box: Box, again: Box) -> None:
    again.settings["stations"][0]["source"] = replayed(box, once=True, station="other")
    assert again.run()["stations"]["cell"]["verdicts"] == 0


def test_an_agent_does_not_replay_itself(box: Box) -> None:
    box.settings["stations"][0]["source"] = {"replay": "state"}
    agent = box.start()
    _, err = agent.communicate(timeout=60)
    assert agent.returncode == 2
    assert "replays what this agent itself keeps" in err


def test_where_there_is_no_ledger_it_says_so(box: Box) -> None:
    from edgemill_agent.sources.replay import ReplaySource

    with pytest.raises(LedgerError, match="there is no ledger"):
        next(iter(ReplaySource({"replay": str(box.folder), "station": None}, "").parts()))
