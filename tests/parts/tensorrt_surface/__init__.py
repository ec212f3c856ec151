"""Checks how our code uses TensorRT against the real Python bindings of several versions, where none of it can run.

    versions       the versions, and in which wheels they come
    stub_library   a few empty functions in place of NVIDIA's libraries, over which the real bindings can be imported
    importing      the real bindings, imported in a process of their own
    signatures     lines of pybind11's docstrings, as signatures
    type_names     their types, as a stub may say them
    stub_file      everything that a module of bindings has, as a type stub
    rewriting      our code with the parameter ``trt: Any`` replaced by that stub
    copies         what is known of such a copy
    object_names   what the objects of TensorRT are called in our code
    questions      what mypy is asked: whose a name is
    checking       mypy over all of it, and what it says
    misuses        code that is right, and ways to get it wrong that must be seen
    misspelling    our own files with one name misspelled

What none of this sees: whether TensorRT then does what we think it does.
"""
