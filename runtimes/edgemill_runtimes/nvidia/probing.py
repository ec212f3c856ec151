"""Which GPUs are here, asked in a process of its own: a driver in a bad way hangs, or takes whoever asks down with it.

Run as ``python -m edgemill_runtimes.nvidia.probing LIBRARY``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress

from edgemill_core.errors import EdgemillError, MissingPartError
from edgemill_core.processes.spawning import end_in_words
from edgemill_runtimes.isolation.process import answered
from edgemill_runtimes.nvidia.driver import LIBRARY, gpus
from edgemill_runtimes.nvidia.gpu import Gpu


def probe(library: str = LIBRARY, within_s: float = 20.0) -> tuple[Gpu, ...]:
    """The GPUs of this box, at least one, within ``within_s`` seconds.

    Raises:
        MissingPartError: there is none that can be used; says what was found and what to do.
    """
    command = [sys.executable, "-m", "edgemill_runtimes.nvidia.probing", library]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    asked = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
    try:
        said, _ = asked.communicate(timeout=within_s)
    except subprocess.TimeoutExpired:
        asked.kill()
        with suppress(subprocess.TimeoutExpired):  # where it hangs in the kernel, nothing ends it
            asked.communicate(timeout=1)
        raise _broken(f"no answer within {within_s:g} s") from None
    if not said:
        raise _broken(f"the process that asked: {end_in_words(asked.returncode)}")
    return tuple(Gpu(**one) for one in answered(json.loads(said))["gpus"])


def _broken(got: str) -> MissingPartError:
    return MissingPartError(
        "the NVIDIA driver does not answer",
        expected="the GPUs of this box",
        got=got,
        fix="see the kernel's log (dmesg) for Xid or nvgpu, and reboot; or run another variant of the bundle here",
    )


def main() -> None:
    """Print one JSON object: ``gpus``, or the error."""
    try:
        told: dict[str, object] = {"gpus": [gpu.as_dict() for gpu in gpus(sys.argv[1])]}
    except EdgemillError as error:
        told = {**error.as_dict()}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
