"""What messages must not tell."""

from __future__ import annotations

import pytest

from edgemill_core.secrets import masked


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rtsp://admin:p4ss@10.0.3.17/stream1 ended", "rtsp://***:***@10.0.3.17/stream1 ended"),
        ("mqtts://u:p@w:x@host:8883", "mqtts://***:***@host:8883"),
        ("http://10.0.3.17:80/a@b", "http://10.0.3.17:80/a@b"),
        ("{'rtsp': \"rtsp://a:h'x@cam/1\"}", "{'rtsp': \"rtsp://***:***@cam/1\"}"),
        ("opc.tcp://:pw@plc", "opc.tcp://***:***@plc"),
        ("?user=a&password=geheim&x=1", "?user=a&password=***&x=1"),
        ('{"token": "abc", "n": 1}', '{"token": ***, "n": 1}'),
        ("the password_file is not there", "the password_file is not there"),
        ("it said hunter2 aloud", "it said *** aloud"),
    ],
)
def test_masked(text: str, told: str) -> None:
    assert masked(text, ("hunter2",)) == told
