"""Disposable processes that hold native code: one per source, one per engine."""
