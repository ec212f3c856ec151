"""The words everyone shares: errors, tensors, tasks, budgets, bundles, statistics, durable files.

Rules of this room
- numpy and pydantic, nothing heavier.
- Decisions are pure functions of values; sockets, clocks and runtimes live upstairs.
- Valid on Python 3.10, because the agent runs there.
"""
