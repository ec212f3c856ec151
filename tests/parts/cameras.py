"""Cameras that a test may kill, freeze and restart; and video files."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest
from controllers import free_port

_PYTHON = "/usr/bin/python3"
_SERVER = Path(__file__).with_name("rtsp_server.py")


@cache
def gstreamer_is_here() -> bool:
    asked = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    with suppress(OSError):
        return subprocess.run([_PYTHON, "-c", asked], capture_output=True).returncode == 0
    return False


class Camera:
    """GStreamer's RTSP server in a process of its own."""

    def __init__(self, size: tuple[int, int] = (96, 64), fps: int = 25) -> None:
        if not gstreamer_is_here():
            pytest.skip("there is no GStreamer RTSP server: see `what only root can install` in .ci/run")
        self.port, self.fps = free_port(), fps
        self.start(size)

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/line"

    def start(self, size: tuple[int, int] = (96, 64)) -> None:
        told = [_PYTHON, str(_SERVER), *map(str, (self.port, *size, self.fps))]
        self.process = subprocess.Popen(told, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    close = kill


class Babbler:
    """Something that accepts connections on a camera's port and answers with nonsense."""

    def __init__(self, port: int, nonsense: bytes = os.urandom(4096)) -> None:
        self._socket = socket.create_server(("127.0.0.1", port))
        self._nonsense = nonsense
        self.spoken_to = 0
        threading.Thread(target=self._babble, daemon=True).start()

    def _babble(self) -> None:
        with suppress(OSError):
            while True:
                heard, _ = self._socket.accept()
                self.spoken_to += 1
                with suppress(OSError), heard:
                    heard.recv(4096)
                    heard.sendall(self._nonsense)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def grey_of(index: int) -> int:
    """Of every pixel of a video's frame number ``index``, from 0."""
    return 10 + index * 37 % 240


def write_video(path: Path, frames: int, size: tuple[int, int] = (64, 48), codec: str = "mjpeg") -> None:
    """A video file; its kind follows from its suffix."""
    options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=options) as out:
        stream = out.add_stream(codec, rate=10)
        stream.width, stream.height = size
        stream.bit_rate = 4_000_000
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for index in range(frames):
            grey = np.full((size[1], size[0], 3), grey_of(index), np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="bgr24")))
        out.mux(stream.encode())
