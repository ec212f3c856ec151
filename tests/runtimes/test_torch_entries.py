"""Which archives of PyTorch are opened at all."""

from __future__ import annotations

import pytest

from edgemill_runtimes.engines.torch_entries import check_entries

WRITTEN = [
    "data/weights/weight_0",
    "data/weights/model_weights_config.json",
    "data/constants/tensor_0",
    "data/constants/model_constants_config.json",
    "models/model.json",
    "data/sample_inputs/model.pt",
    "extra/notes.txt",
    "archive_format",
    "archive_version",
    ".data/version",
    "byteorder",
    ".data/serialization_id",
    "version",
]
"""By ``torch.export.save`` of 2.13."""


def test_what_pytorch_writes_passes() -> None:
    check_entries(WRITTEN)


@pytest.mark.parametrize(
    "name",
    [
        "data/aotinductor/model/model.wrapper.so",
        "data/executorch/model.pte",
        "data/weights",
        "versions",
        "xmodels/model.json",
        "data/constants/custom_obj_0",
        "data/constants/opaque_obj_0",
        "model/data/weights/weight_0",
    ],
)
def test_anything_else_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        check_entries([*WRITTEN, name])
