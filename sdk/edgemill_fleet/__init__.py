"""The fleet manager: devices, releases, rollouts, telemetry intake, REST.

Rules of this room
- Imports from ``edgemill_core`` and ``edgemill_link`` only.
"""
