"""Several models, one after the other: how they follow, where each looks, and one verdict over all."""

from __future__ import annotations

from edgemill_core.chain.conclude import Seen, StageSaw, conclude
from edgemill_core.chain.look import Crop, Crops, Look, crops_in
from edgemill_core.chain.stages import Stage, check_order, check_tasks

__all__ = [
    "Crop",
    "Crops",
    "Look",
    "Seen",
    "Stage",
    "StageSaw",
    "check_order",
    "check_tasks",
    "conclude",
    "crops_in",
]
