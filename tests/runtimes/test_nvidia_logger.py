"""TensorRT's own words, kept: over a stand-in, and from the real parser where TensorRT-RTX is installed."""

from __future__ import annotations

import pytest
import stand_in_tensorrt

from edgemill_runtimes.nvidia.logger import KEPT, keeping_logger

SEVERITY = stand_in_tensorrt.ILogger.Severity


def test_errors_come_first_and_each_once() -> None:
    log = keeping_logger(stand_in_tensorrt)
    assert log.words() == "TensorRT did not say why"
    for severity, said in ((SEVERITY.WARNING, "slow"), (SEVERITY.INFO, "hello"), (SEVERITY.ERROR, "no  such\nnode")):
        log.log(severity, said)
        log.log(severity, said)
    log.log(SEVERITY.INTERNAL_ERROR, "worse")
    assert log.words() == "no such node; worse; slow"
    assert log.words(most=7) == "no such"
    log.forget()
    assert log.words() == "TensorRT did not say why"


def test_only_the_last_words_are_kept() -> None:
    log = keeping_logger(stand_in_tensorrt)
    for number in range(10 * KEPT):
        log.log(SEVERITY.ERROR, str(number))
    assert log.words().split("; ") == [str(number) for number in range(9 * KEPT, 10 * KEPT)]


def test_the_real_one_tells_it_as_well() -> None:
    trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed: pip install 'edgemill[tensorrt]'")
    log = keeping_logger(trt)
    network = trt.Builder(log).create_network(0)
    assert not trt.OnnxParser(network, log).parse(b"no ONNX at all")
    assert "pars" in log.words().lower()
