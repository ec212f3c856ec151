"""Trained model → imported → baked → quantized → measured → judged → bundled.

Rules of this room
- A pass returns a new model and never edits the one it was given.
- Calibration, search and judge sets are disjoint; the judge's data chooses nothing.
- Measuring is serial and alone on the machine.
"""
