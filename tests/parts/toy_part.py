"""A part of a server that does what its first message says."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgemill_core.errors import InputError
from edgemill_core.processes.channel import Channel
from edgemill_core.processes.child_main import child_main


def work(channel: Channel, first: Mapping[str, Any]) -> None:
    if first.get("refuse"):
        raise InputError("no folder", expected="one", got="none", fix="make it")
    with Path(first["lives"]).open("a") as file:
        file.write(f"{os.getpid()}\n")
    channel.send({"said": "here"})
    channel.send({"ready": True})
    time.sleep(first.get("lives_s", 60))


if __name__ == "__main__":
    child_main(work)
