"""The bill of materials: CycloneDX 1.6 in JSON (cyclonedx.org/docs/1.6/json), model card included.

Written here rather than with cyclonedx-python-lib, which has no model card and brings twenty packages; the tests hold
it against the schema with that library's strict validator. No time stands in it, and its serial number follows from its
content.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from edgemill_converters.papers.licences import expression
from edgemill_core.bundle import Card, FileEntry, ModelEntry, VariantEntry
from edgemill_core.bundle.card import JudgedCard, PartCard, SetCard, SourceCard
from edgemill_core.durable import canonical_json

SPEC = "1.6"
_SCHEMA = "http://cyclonedx.org/schema/bom-1.6.schema.json"
_SPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:edgemill:sbom")
Part = dict[str, Any]


def bill_of_materials(card: Card, models: Sequence[ModelEntry], files: Mapping[str, FileEntry]) -> dict[str, Any]:
    """Everything that a bundle is made of, and what it needs on a box.

    Args:
        files: of the bundle, all but this one.
    """
    bundle = _bundle(card, [one.name for model in models for one in model.variants])
    variants = [
        _variant(model, variant, files, chained=len(models) > 1) for model in models for variant in model.variants
    ]
    inside = {inner["name"] for one in variants for inner in one["components"]}
    needed = {part.name: _needed(part) for own in card.needed.values() for part in own}
    told: dict[str, Any] = {
        "$schema": _SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "version": 1,
        "metadata": {
            "tools": {"components": [_tool(part) for part in card.tools]},
            "component": bundle,
            "properties": [{"name": "cdx:reproducible", "value": "true"}],
        },
        "components": [
            *variants,
            *{_of_source(one): _source(one, card) for one in card.sources}.values(),  # two stages may be of one bundle
            *(_data_set(one, card.data_licence) for one in card.sets),
            *(_file(name, files[name]) for name in sorted(files) if name not in inside),
            *(needed[name] for name in sorted(needed)),
        ],
        "dependencies": _dependencies(card, models, bundle["bom-ref"]),
    }
    return {**told, "serialNumber": f"urn:uuid:{uuid.uuid5(_SPACE, canonical_json(told).decode())}"}


def licences(said: str) -> Part:
    """Of a component, where anything is known: an SPDX expression, or a name."""
    if not said:
        return {}
    return {"licenses": [{"expression": said} if expression(said) else {"license": {"name": said}}]}


def _bundle(card: Card, variants: Sequence[str]) -> Part:
    return {
        "type": "machine-learning-model",
        "bom-ref": f"bundle:{card.name}@{card.version}",
        "name": card.name,
        "version": card.version,
        **({"description": card.description} if card.description else {}),
        **licences(card.licence),
        "modelCard": {
            "modelParameters": {
                "task": str(card.task.get("name", "")),
                "datasets": [{"ref": _of_set(one)} for one in card.sets],
                "inputs": [{"format": card.input}],
            },
            "quantitativeAnalysis": {"performanceMetrics": [_metric(one) for one in card.judged]},
            "considerations": {
                **({"useCases": [card.intended_use]} if card.intended_use else {}),
                **({"technicalLimitations": list(card.limits)} if card.limits else {}),
            },
        },
        "properties": [{"name": "edgemill:variants", "value": ", ".join(dict.fromkeys(variants))}],
    }


def _metric(one: JudgedCard) -> Part:
    """The bound is of the worsening where there is a reference, else of the rate."""
    interval = {"upperBound": f"{one.bound:g}"}
    return {"type": one.metric, "value": f"{one.value:g}", "slice": one.variant, "confidenceInterval": interval}


def _variant(model: ModelEntry, variant: VariantEntry, files: Mapping[str, FileEntry], chained: bool) -> Part:
    told = {"runtime": variant.runtime, "device": variant.device, "precision": variant.precision}
    if variant.golden.stand_in is not None:
        told["judged through a stand-in"] = variant.golden.stand_in
    if variant.requires is not None:
        needs = variant.requires.model_dump(mode="json", exclude_none=True)
        told |= {f"requires:{key}": str(value) for key, value in needs.items()}
    return {
        "type": "machine-learning-model",
        "bom-ref": _of_variant(model, variant),
        "name": f"{model.name}/{variant.name}" if chained else variant.name,
        "components": [_file(name, files[name]) for name in variant.files],
        "properties": [{"name": f"edgemill:{key}", "value": value} for key, value in told.items()],
    }


def _source(one: SourceCard, card: Card) -> Part:
    kind = "bundle of a stage" if card.stages else "trained model"
    licence = next(
        (stage.licence for stage in card.stages if f"{stage.name}-{stage.version}" == one.name), card.licence
    )
    return {
        "type": "machine-learning-model",
        "bom-ref": _of_source(one),
        "name": one.name,
        "description": kind,
        "scope": "excluded",
        "hashes": _sha256(one.digest),
        **licences(licence),
    }


def _data_set(one: SetCard, licence: str) -> Part:
    counted = {"samples": one.samples, **{f"of kind {kind}": count for kind, count in one.balance.items()}}
    return {
        "type": "data",
        "bom-ref": _of_set(one),
        "name": f"{one.role} set",
        "description": "digest over samples, labels and context, in their order",
        "scope": "excluded",
        "hashes": _sha256(one.digest),
        **licences(licence),
        "data": [{"type": "dataset", "name": f"{one.role} set"}],
        "properties": [{"name": f"edgemill:{key}", "value": str(value)} for key, value in counted.items()],
    }


def _file(name: str, entry: FileEntry) -> Part:
    size = [{"name": "edgemill:bytes", "value": str(entry.bytes)}]
    return {
        "type": "file",
        "bom-ref": f"file:{name}",
        "name": name,
        "hashes": _sha256(entry.sha256),
        "properties": size,
    }


def _tool(part: PartCard) -> Part:
    return {
        "type": "library",
        "name": part.name,
        "version": part.version,
        "purl": _purl(part),
        **licences(part.licence),
    }


def _needed(part: PartCard) -> Part:
    return {**_tool(part), "bom-ref": _purl(part), "scope": "required"}


def _dependencies(card: Card, models: Sequence[ModelEntry], bundle: str) -> list[Part]:
    variants = [(model, variant) for model in models for variant in model.variants]
    found = [_depends(bundle, [_of_variant(*one) for one in variants])]
    for model, variant in variants:
        own = card.needed.get(variant.name) or card.needed.get(variant.runtime, ())
        found.append(_depends(_of_variant(model, variant), [_purl(part) for part in own]))
    return found


def _depends(ref: str, on: Iterable[str]) -> Part:
    return {"ref": ref, "dependsOn": sorted(set(on))}


def _of_variant(model: ModelEntry, variant: VariantEntry) -> str:
    return f"variant:{model.name}/{variant.name}"


def _of_set(one: SetCard) -> str:
    return f"set:{one.role}"


def _of_source(one: SourceCard) -> str:
    return f"source:{one.name}"


def _sha256(digest: str) -> list[Part]:
    return [{"alg": "SHA-256", "content": digest}]


def _purl(part: PartCard) -> str:
    name = re.sub(r"[-_.]+", "-", part.name).lower()
    return f"pkg:pypi/{name}@{quote(part.version, safe='')}"
