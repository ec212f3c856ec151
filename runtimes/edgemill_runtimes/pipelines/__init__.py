"""Bundle + part → verdict: what every pipeline does, that of one model, and that of a chain."""

from __future__ import annotations

from edgemill_runtimes.pipelines.base import NOTHING_KNOWN, Part, Pipeline
from edgemill_runtimes.pipelines.chain import ChainFacts, ChainPipeline, OpenStage
from edgemill_runtimes.pipelines.one_model import ModelPipeline

__all__ = ["NOTHING_KNOWN", "ChainFacts", "ChainPipeline", "ModelPipeline", "OpenStage", "Part", "Pipeline"]
