"""Rollouts: a release's way through the fleet in waves; pure functions decide (``waves``), the steward carries out."""
