"""Targets of which nothing runs on the build machine, and what is run here in their stead.

What TensorRT runs on is not here, yet its variants must be judged, and their golden outputs have to come from
somewhere: from a *stand-in*, the very graph that ships, computed by ONNX Runtime on this machine as it is written. It
shows what the graph gives, and nothing of the time that this takes on the box.
"""
