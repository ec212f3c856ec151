"""The agent's log: who says what, in one object a line; nothing that is written can hold up a deadline."""
