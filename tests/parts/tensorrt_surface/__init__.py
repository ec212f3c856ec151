"""Checks how our code uses TensorRT against the real Python bindings of several versions, where none of it can run.

    versions       the versions, and in which wheels they come
    stub_library   a few empty functions in place of NVIDIA's libraries, over which the real bindings can be imported
    signatures     one line of a docstring of pybind11's, as a signature
    stub_file      everything that a module of bindings has, as a type stub; runs in a process of its own
    rewriting      our code with the parameter ``trt: Any`` replaced by that stub
    checking       mypy over all of it, and what it says

What none of this sees: whether TensorRT then does what we think it does.
"""
