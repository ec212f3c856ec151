"""What a process is called where it meets others."""

from __future__ import annotations

import os
import secrets
import socket


def process_name() -> str:
    """Unique, also among containers whose host names and process numbers are alike; at most 47 characters."""
    return f"{socket.gethostname()[:30]}-{os.getpid() % 10_000_000}-{secrets.token_hex(4)}"
