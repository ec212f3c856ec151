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
OURS = ("log", "logger", "monitor")
"""Objects of classes of our own, which TensorRT calls; whether it can is checked where the class is."""


def anything(annotation: ast.expr | None) -> str | None:
    """What comes behind the class where an annotation says ``Any`` or ``Any | None``; ``None`` where it says more."""
    said = "" if annotation is None else ast.unparse(annotation)
    return {"Any": "", "Any | None": " | None"}.get(said)


def class_of(name: str, annotation: ast.expr | None) -> ast.expr | None:
    """The annotation instead, by the name of what is annotated; ``None`` where it says enough, or nothing is known."""
    behind, known = anything(annotation), CLASSES.get(name.strip("_"))
    return None if behind is None or known is None else ast.parse(f"trt.{known}{behind}", mode="eval").body


def is_hole(name: str, annotation: ast.expr | None) -> bool:
    """Whether nothing would check what is done with it."""
    return anything(annotation) is not None and name.strip("_") not in (*CLASSES, *OURS)
