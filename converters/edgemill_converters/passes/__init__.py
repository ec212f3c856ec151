"""Passes: one file each. What a build applies, and in which order, stands in ``edgemill_converters.bake``."""
