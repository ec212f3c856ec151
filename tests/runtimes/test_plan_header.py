"""What a plan's first bytes tell. The samples are what real builds of TensorRT-RTX began with, byte for byte.

TensorRT proper cannot be had where these were written: its sample is put together from what ``trtexec`` reads.
"""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemill_core.errors import BundleError
from edgemill_runtimes.nvidia.gpu import Gpu
from edgemill_runtimes.nvidia.header import HEADER_BYTES, PlanHeader, check_header, read_header

CAPABILITIES = {"7.5": 1, "8.0": 2, "8.6": 4, "8.9": 8, "12.0": 16, "12.1": 32}
RTX = bytes.fromhex(
    "7674727400000000 0200000000000000 ac11040000000000 0107017476747274"
    "0400000000000000 0000000000000000 0000000000000000 6004000000000000"
)
"""1.7.1.116, one convolution, for 8.6; 266,668 bytes in all."""
OLDER = bytes.fromhex(
    "7674727400000000 0200000000000000 6c04040000000000 0104004c76747274"
    "0c00000000000000 0000000000000000 dc32000000000000 6004000000000000"
)
"""1.4.0.76, the same for 8.6 and 8.9."""
PROPER = b"ftrt" + bytes(20) + bytes([10, 3, 0, 26]) + bytes(36)


def gpu(capability: str) -> Gpu:
    return Gpu("a GPU", capability, 8000, False, "13.0")


def test_real_plans_are_read() -> None:
    assert read_header(RTX) == PlanHeader("tensorrt_rtx", "1.7.1.116", 266_668, ("8.6",))
    assert read_header(OLDER) == PlanHeader("tensorrt_rtx", "1.4.0.76", 263_276, ("8.6", "8.9"))
    assert read_header(PROPER) == PlanHeader("tensorrt", "10.3.0.26")


@given(st.sets(st.sampled_from(sorted(CAPABILITIES))))
def test_every_set_of_compute_capabilities(chosen: set[str]) -> None:
    bits = struct.pack("<Q", sum(CAPABILITIES[one] for one in chosen))
    told = read_header(RTX[:32] + bits + RTX[40:]).compute_capabilities
    assert set(told or ()) == chosen
    assert (told is None) == (not chosen)


@given(st.binary(max_size=80), st.sampled_from([b"", b"ftrt", b"vtrt", RTX[:24], RTX[:32]]))
def test_whatever_it_is_it_is_read_or_refused(tail: bytes, head: bytes) -> None:
    if (head + tail)[:4] not in (b"ftrt", b"vtrt") or len(head + tail) < HEADER_BYTES:
        with pytest.raises(BundleError):
            read_header(head + tail)
        return
    header = read_header(head + tail)
    assert header.runtime in ("tensorrt", "tensorrt_rtx")
    assert header.misfit("tensorrt" if header.runtime != "tensorrt" else "tensorrt_rtx", "1.0", gpu("8.6"), 0)


@given(st.integers(0, HEADER_BYTES - 1), st.sampled_from([RTX, PROPER]))
def test_a_plan_that_ends_in_its_header_is_refused(length: int, plan: bytes) -> None:
    with pytest.raises(BundleError, match=r"no plan|in the middle of its header"):
        read_header(plan[:length])


@pytest.mark.parametrize("first", [b"PK\x03\x04" * 16, b"\x08\x08\x12\x07pytorch" * 8, b"ptrt" * 16, b""])
def test_another_kind_of_file_is_shown(first: bytes) -> None:
    with pytest.raises(BundleError, match="no plan of TensorRT") as caught:
        read_header(first)
    assert str(caught.value.got) == repr(first[:8])


def test_what_a_later_form_says_is_not_guessed() -> None:
    for plan, runtime in ((RTX, "tensorrt_rtx"), (PROPER, "tensorrt")):
        assert read_header(plan[:4] + b"\x01" + plan[5:]) == PlanHeader(runtime)
    assert read_header(RTX[:28] + b"else" + RTX[32:]) == PlanHeader("tensorrt_rtx", "1.7.1.116")
    anywhere = RTX[:32] + struct.pack("<Q", 0x7E) + RTX[40:]
    assert read_header(anywhere).compute_capabilities is None


@pytest.mark.parametrize(
    ("first", "runtime", "version", "capability", "size", "parts"),
    [
        (RTX, "tensorrt_rtx", "1.7.1.116", "8.6", 266_668, ()),
        (RTX, "tensorrt_rtx", "1.7.1.117", "8.6", 266_668, ()),
        (RTX, "tensorrt_rtx", "1.6.1.120", "8.6", 266_668, ("1.6.1.120", "1.7.1.116")),
        (RTX, "tensorrt_rtx", "1.7.1.116", "8.9", 266_668, ("compute capability 8.9", "one for 8.6")),
        (RTX, "tensorrt_rtx", "1.7.1.116", "8.6", 266_667, ("266668 bytes", "266667 bytes")),
        (RTX, "tensorrt", "10.3.0", "8.6", 266_668, ("a plan of tensorrt", "one of tensorrt_rtx")),
        (OLDER, "tensorrt_rtx", "1.4.0.76", "12.0", 263_276, ("one for 8.6 or 8.9",)),
        (PROPER, "tensorrt", "10.3.0", "8.7", 1, ()),
        (PROPER, "tensorrt", "10.13.0", "8.7", 1, ("10.13.0", "10.3.0.26")),
        (PROPER, "tensorrt_rtx", "1.7.1.116", "8.6", 1, ("a plan of tensorrt_rtx", "one of tensorrt")),
    ],
)
def test_a_plan_for_another_box_is_refused(
    first: bytes, runtime: str, version: str, capability: str, size: int, parts: tuple[str, ...]
) -> None:
    if not parts:
        check_header(first, "engine.plan", runtime, version, gpu(capability), size)
        return
    with pytest.raises(BundleError, match=r"engine\.plan is not for this box") as caught:
        check_header(first, "engine.plan", runtime, version, gpu(capability), size)
    assert all(part in str(caught.value) for part in (*parts, "edgemill agent compile"))
