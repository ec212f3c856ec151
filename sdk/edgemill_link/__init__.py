"""What box and fleet say to each other: topics, messages, acknowledgements, plans, trust.

Rules of this room
- Imports from ``edgemill_core`` only.
"""
