"""One plan, one dialect per runtime: calibration yields ranges, a dialect writes them as Q/DQ."""
