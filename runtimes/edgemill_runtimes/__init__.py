"""Engines over the native runtimes, the one implementation of pre-processing, and bundle + input → verdict.

Rules of this room
- Each native runtime is imported in one module only, when it is first used.
- No silent fallback: what cannot be had is an error that says what was found.
- Valid on Python 3.10.
"""
