"""TensorRT and TensorRT-RTX: the driver, plans and their making. One code path, the bindings come in as a parameter.

A *plan* is what TensorRT compiles a graph to: for GPUs of one kind and one version of TensorRT, nothing else reads it.
It lies beside its graph in the bundle where it could be built ahead (TensorRT-RTX), and in the box's own store where
it can only be built there (Jetson, data-centre GPUs). It is never built on the inference path.
"""
