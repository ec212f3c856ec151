"""Where two engines part: outputs, verdicts, and layer by layer."""
