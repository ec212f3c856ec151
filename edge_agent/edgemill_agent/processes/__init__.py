"""Child processes of the line process: how they are started, spoken to, and ended."""
