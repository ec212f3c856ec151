"""A camera on the box itself, by Video4Linux."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from edgemill_agent.sources.camera import CameraSource

if TYPE_CHECKING:
    from edgemill_agent.sources.video_stream import VideoError, VideoStream

_WAYS_OUT = {
    errno.EBUSY: "another program has it; one camera serves one station, an RTSP server in front of it serves many",
    errno.EACCES: "the agent's user may not open it; add that user to the group `video`",
    errno.ENOENT: "it is not plugged in, or has another number; /dev/v4l/by-id has names that stay",
    errno.ENODEV: "it was unplugged",
    errno.EINVAL: "it does not do that size or rate; `v4l2-ctl --list-formats-ext` lists what it does",
}


class UsbSource(CameraSource):
    """One program at a time may have it."""

    def open(self) -> VideoStream:
        """Open the device, with the size and rate of the settings if they name any."""
        from edgemill_agent.sources.video_stream import VideoStream

        named = {"video_size": self.settings["size"], "framerate": self.settings["fps"]}
        options = {name: str(value) for name, value in named.items() if value is not None}
        return VideoStream(self.settings["usb"], "v4l2", options, self.timeout_s)

    def explain(self, error: VideoError) -> str:
        """The system's words, and what to do."""
        way_out = _WAYS_OUT.get(error.number)
        return f"{self.settings['usb']}: {error}" + (f"; {way_out}" if way_out else "")
