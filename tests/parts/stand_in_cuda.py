"""The stand-in for NVIDIA's driver, compiled with this machine's C compiler."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

KINDS = ("device", "pinned", "stream", "graph", "exec", "context")
SOURCE = Path(__file__).with_suffix(".c")


def build_stand_in(folder: Path) -> Path:
    """Compile it to ``folder``; skips, and says so, where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("there is no C compiler here (cc, gcc, clang): nothing showed that the GPU's memory is freed")
    target = folder / "libcuda.so.1"
    flags = ["-O1", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread"]
    subprocess.run([compiler, *flags, str(SOURCE), "-o", str(target)], check=True)
    return target


class StandIn:
    """What the tests may ask of a stand-in that is loaded in this process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.library = ctypes.CDLL(str(path))
        self.library.stand_in_host.restype = ctypes.c_void_p
        self.library.stand_in_host.argtypes = self.library.stand_in_size.argtypes = [ctypes.c_uint64]
        self.library.stand_in_size.restype = ctypes.c_size_t

    def open(self) -> dict[str, int]:
        """All that is open, by kind, without what is not; and what was freed twice, or too early, as ``torn``."""
        counts = {kind: int(self.library.stand_in_open(number)) for number, kind in enumerate(KINDS)}
        counts["torn"] = int(self.library.stand_in_torn())
        return {kind: count for kind, count in counts.items() if count}

    def fail(self, call: str, code: int, after: int = 0) -> None:
        """Let ``call`` fail once, after it has gone well ``after`` times."""
        self.library.stand_in_fail(call.encode(), code, ctypes.c_long(after))

    def break_down(self, code: int) -> None:
        """Let every call fail that does not free anything; 0 ends that."""
        self.library.stand_in_break(code)
