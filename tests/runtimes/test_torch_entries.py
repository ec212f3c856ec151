"""Which archives of PyTorch are opened at all."""

from __future__ import annotations

import json

import pytest

from edgemill_runtimes.engines.torch_entries import check_entries
from edgemill_runtimes.engines.torch_sizes import check_sizes

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


@pytest.mark.parametrize(
    "size",
    [
        "Symbol('s77', positive=True, integer=True)",
        "FloorDiv(Mul(Integer(3), Symbol('s77', positive=True, integer=True)), Integer(2))",
        "2*s0 + 1",
        "Float('1.5', precision=53)",
    ],
)
def test_sizes_are_arithmetic(size: str) -> None:
    check_sizes(json.dumps({"a": [{"as_expr": {"expr_str": size, "hint": None}}]}).encode())


@pytest.mark.parametrize(
    "size",
    [
        "open('/tmp/x', 'w')",
        "__import__('os').system('x')",
        "Add('open(1)')",
        "Integer.__class__",
        "(lambda: 1)()",
        "eval(chr(120))",
        "[x for x in y]",
        "Add(1, #\n2)",
        "Symbol('s0').x()",
        "f'{open(1)}'",
        "a[0]",
        "(",
        "",
    ],
)
def test_sizes_that_may_be_code_are_refused(size: str) -> None:
    with pytest.raises(ValueError, match="no arithmetic"):
        check_sizes(json.dumps({"a": [{"as_expr": {"expr_str": size, "hint": None}}]}).encode())
