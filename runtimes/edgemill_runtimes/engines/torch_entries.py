"""What an archive of an exported program may hold, by the names of its entries; without PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

_FOLDERS = ("models/", "data/weights/", "data/constants/", "data/sample_inputs/", "extra/", ".data/")
_FILES = ("archive_format", "archive_version", "byteorder", "version")
_PICKLED = ("opaque_obj", "custom_obj")


def check_entries(names: Sequence[str]) -> None:
    """See that an archive holds no more than ``torch.export.save`` writes.

    What else PyTorch finds there it may run: compiled code in ``data/aotinductor/`` is loaded into the process.

    Args:
        names: of its entries, without the root folder.

    Raises:
        ValueError: it holds something else, or objects that only a pickle can hold.
    """
    pickled = [name for name in names if any(kind in name.lower() for kind in _PICKLED)]
    if pickled:
        raise ValueError(f"objects beside tensors, which only a pickle can hold: {', '.join(pickled[:3])}")
    others = [name for name in names if not (name.startswith(_FOLDERS) or name in _FILES)]
    if others:
        raise ValueError(f"entries that torch.export.save does not write, which may be code: {', '.join(others[:3])}")
