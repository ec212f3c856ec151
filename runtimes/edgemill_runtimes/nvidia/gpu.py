"""What is known of a GPU before any of TensorRT is loaded."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Gpu:
    """One GPU of this box.

    Attributes:
        name: the driver's own, e.g. ``Orin`` or ``NVIDIA GeForce RTX 4070``.
        compute_capability: e.g. ``8.7``.
        memory_mb: its memory, of 10^6 bytes; on a Jetson the machine's own.
        integrated: it shares the machine's memory.
        cuda: the newest that its driver speaks, e.g. ``12.6``; many drivers share one.
        driver: its driver's own version, e.g. ``535.129.03``; ``None`` where nobody tells it.
    """

    name: str
    compute_capability: str
    memory_mb: int
    integrated: bool
    cuda: str
    driver: str | None = None

    def as_dict(self) -> dict[str, object]:
        """JSON-ready form."""
        return asdict(self)
