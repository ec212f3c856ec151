"""Which versions the code must suit, and in which wheels their bindings come."""

from __future__ import annotations

import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Bindings:
    """One version of the bindings.

    Attributes:
        wheel: the package that has them and nothing else of TensorRT, 1.1 to 1.3 MB.
        version: of it.
        package: what is in the wheel; ``tensorrt`` itself only names it anew.
        libraries: what it is linked to.
    """

    wheel: str
    version: str
    package: str
    libraries: tuple[str, ...]

    @property
    def pin(self) -> str:
        """For pip."""
        return f"{self.wheel}=={self.version}"

    @property
    def stub(self) -> str:
        """Name of the module that stands for it where types are checked."""
        return f"{self.package}_{self.version.replace('.', '_')}"

    def unpacked(self, wheels: Path, folder: Path) -> Path:
        """A folder to import the package from, made out of its wheel in ``wheels``."""
        found = list(wheels.glob(f"{self.wheel.replace('-', '_')}-{self.version}-*.whl"))
        assert len(found) == 1, f"{wheels} must have one wheel of {self.pin}: {[file.name for file in found]}"
        to = folder / self.stub
        with zipfile.ZipFile(found[0]) as wheel:
            wheel.extractall(to)
        return to


_TEN = ("libnvinfer.so.10", "libnvinfer_plugin.so.10", "libnvonnxparser.so.10")
_ELEVEN = ("libnvinfer.so.11", "libnvinfer_plugin.so.11", "libnvonnxparser.so.11")
_RTX = ("libtensorrt_rtx.so.1", "libtensorrt_onnxparser_rtx.so.1")

VERSIONS = (
    Bindings("tensorrt-cu12-bindings", "10.0.1", "tensorrt_bindings", _TEN),
    Bindings("tensorrt-cu12-bindings", "10.3.0", "tensorrt_bindings", _TEN),  # JetPack 6.1 and 6.2
    Bindings("tensorrt-cu12-bindings", "10.13.3.9", "tensorrt_bindings", _TEN),
    Bindings("tensorrt-cu13-bindings", "11.4.0.106", "tensorrt_bindings", _ELEVEN),
    Bindings("tensorrt-rtx-cu13-bindings", "1.7.1.116", "tensorrt_rtx_bindings", _RTX),
)

if __name__ == "__main__":  # for pip download
    sys.stdout.writelines(f"{bindings.pin}\n" for bindings in VERSIONS)
