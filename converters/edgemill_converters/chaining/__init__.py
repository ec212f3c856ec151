"""A chain from bundles that were built already: assembled, judged end to end on labels, bundled with golden frames."""

from __future__ import annotations

from edgemill_converters.chaining.build import build_chain
from edgemill_converters.chaining.recipe import ChainRecipe, is_chain, read_chain_recipe
from edgemill_converters.chaining.result import ChainResult, RuntimeResult

__all__ = ["ChainRecipe", "ChainResult", "RuntimeResult", "build_chain", "is_chain", "read_chain_recipe"]
