"""A library of empty functions in place of NVIDIA's, so that the real bindings can be imported without them.

The bindings ask for nine functions, all of which make or find an object; importing calls none of them. Whoever calls
one all the same gets a null pointer.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

SYMBOLS = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "getBuilderPluginRegistry",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "initLibNvInferPlugins",
)
SOURCE = "".join(f"void *{symbol}(void) {{ return 0; }}\n" for symbol in SYMBOLS)


def compiler() -> str | None:
    """The C compiler of this machine."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def make_libraries(names: tuple[str, ...], folder: Path) -> None:
    """``names``, each with all functions, in ``folder``, which goes into ``LD_LIBRARY_PATH``."""
    cc = compiler()
    assert cc is not None, "there is no C compiler: cc, gcc or clang"
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "nothing.c"
    source.write_text(SOURCE, "utf-8")
    for name in names:
        command = [cc, "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", folder / name, source]
        subprocess.run(command, check=True, timeout=60)
