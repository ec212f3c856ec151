"""A camera: GStreamer's RTSP server with a test picture, for the system's own Python, which has the bindings.

    /usr/bin/python3 rtsp_server.py PORT WIDTH HEIGHT FPS

Says ``ready`` once it listens on 127.0.0.1, and ends with whoever started it. What is played at ``/line``.
"""

from __future__ import annotations

import ctypes
import signal
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

PR_SET_PDEATHSIG = 1


def main() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    port, width, height, fps = (int(word) for word in sys.argv[1:5])
    Gst.init(None)
    server = GstRtspServer.RTSPServer(address="127.0.0.1", service=str(port))
    made = GstRtspServer.RTSPMediaFactory(shared=True)
    # JPEG over RTP (RFC 2435) needs the fewest packages: `base` and `good`.
    made.set_launch(
        "( videotestsrc is-live=true pattern=ball ! "
        f"video/x-raw,format=I420,width={width},height={height},framerate={fps}/1 ! "
        "jpegenc ! rtpjpegpay name=pay0 pt=26 )"
    )
    server.get_mount_points().add_factory("/line", made)
    if not server.attach(None):
        sys.exit("cannot listen there")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    GLib.MainLoop().run()


main()
