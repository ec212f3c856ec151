"""An MQTT 5 broker to try things out with (rumqttd inside ``iotcore``); production has one of its own.

It keeps nothing over a restart, which is all the same to us: what is not acknowledged end to end is sent again.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

from edgemill_core.errors import LinkError

_TOML = """
id = 0
[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 200
max_segment_size = 10485760
max_segment_count = 10
[v5.1]
name = "v5-1"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = 1048576
max_inflight_count = 100
dynamic_filters = true
"""
_START = (
    "import sys, threading; from iotcore import Broker;"
    "threading.Thread(target=lambda: (sys.stdin.read(), __import__('os')._exit(0)), daemon=True).start();"
    "Broker(config_path=sys.argv[1]).run_forever()"
)
_START_S = 20


class EmbeddedBroker:
    """A broker on 127.0.0.1, in a process that ends with ours. Use it as a context manager.

    Args:
        port: 0 takes a free one.
    """

    def __init__(self, port: int = 0) -> None:
        self.port = port or _free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="edgemill-broker-")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For ``mqtt: {url: …}``."""
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it listens.

        Raises:
            LinkError: it did not start, or another program has the port.
        """
        config = Path(self._folder.name) / "broker.toml"
        config.write_text(_TOML.format(port=self.port), encoding="ascii")
        with (Path(self._folder.name) / "broker.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, str(config)], stdin=subprocess.PIPE, stdout=log, stderr=log
            )
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=0.2).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        said = (Path(self._folder.name) / "broker.log").read_text(errors="replace")[-300:]
        self.kill()
        raise LinkError(
            "the embedded broker did not start",
            expected=f"to listen at {self.url}",
            got=said.strip() or "nothing",
            fix="pip install 'edgemill[agent]', or name a broker of your own with --broker mqtt://HOST:PORT",
        )

    def kill(self) -> None:
        """End it as a crash would (``kill -9``); ``start`` brings it back on the same port."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._process = None

    def close(self) -> None:
        """End it for good."""
        self.kill()
        self._folder.cleanup()

    def __enter__(self) -> EmbeddedBroker:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
