"""``python -m edgemill`` is the ``edgemill`` command."""

from __future__ import annotations

from edgemill.cli import main

main()
