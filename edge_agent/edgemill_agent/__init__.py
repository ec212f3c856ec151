"""The daemon on the box: line process, workers, link process.

Rules of this room
- Imports from ``edgemill_core``, ``edgemill_link`` and ``edgemill_runtimes`` only.
- Valid on Python 3.10.
"""
