"""The line process: numbers, deadlines, the ledger. No native runtime and no HTTP in here."""
