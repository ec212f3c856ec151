"""A network camera, by RTSP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgemill_agent.sources.camera import CameraSource

if TYPE_CHECKING:
    from edgemill_agent.sources.video_stream import VideoStream


class RtspSource(CameraSource):
    """Each station has a connection of its own, so several may look through one camera."""

    def open(self) -> VideoStream:
        """Connect and play."""
        from edgemill_agent.sources.video_stream import VideoStream

        options = {
            "rtsp_transport": self.settings["rtsp_transport"],
            # Without these the first pictures are held back for up to five seconds, to find out what they are.
            "fflags": "nobuffer",
            "probesize": "32",
            "analyzeduration": "0",
        }
        return VideoStream(self.settings["rtsp"], "rtsp", options, self.timeout_s)
