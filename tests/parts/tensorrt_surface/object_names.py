"""What the objects of TensorRT are called in our code, where they are annotated ``Any``."""

from __future__ import annotations

import ast

CLASSES = {
    "builder": "Builder",
    "cache": "ITimingCache",
    "config": "IBuilderConfig",
    "context": "IExecutionContext",
    "engine": "ICudaEngine",
    "inspector": "EngineInspector",
    "layer": "ILayer",
    "memory": "IHostMemory",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "plan": "IHostMemory",
    "profile": "IOptimizationProfile",
    "runtime": "Runtime",
    "severity": "ILogger.Severity",
    "tensor": "ITensor",
}


def says_nothing(annotation: ast.expr | None) -> bool:
    """Whether it is ``Any``, or that or ``None``."""
    return annotation is not None and ast.unparse(annotation) in ("Any", "Any | None")


def class_of(name: str, annotation: ast.expr | None) -> ast.expr | None:
    """What to annotate instead, by the name of what is annotated; the annotation itself where it says enough."""
    known = CLASSES.get(name.strip("_"))
    if annotation is None or known is None or not says_nothing(annotation):
        return annotation
    return ast.parse(ast.unparse(annotation).replace("Any", f"trt.{known}"), mode="eval").body
