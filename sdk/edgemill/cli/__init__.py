"""The ``edgemill`` command.

Each subcommand is one file with one function ``run``; it is imported when it is called, so that ``--help`` is quick.
"""

from __future__ import annotations

from edgemill.cli.app import main

__all__ = ["main"]
