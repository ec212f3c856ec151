"""Who may say what a box runs: metadata of The Update Framework (TUF 1.0), and a plan for each device.

::

    root ──┬─ timestamp ── says which snapshot is the newest
           ├─ snapshot ─── says which version of every other role is
           ├─ targets ──── hands on to ``releases``
           │     └─ releases ── the manifest of every bundle that may be installed, by length and digest
           └─ plans ────── (not of TUF: a field of root) sign for each device what it should run

``trusted`` is the client's workflow as pure functions: bytes and a time in, metadata that holds or a refusal out.
"""
