"""Croissant (mlcommons.org/croissant): the description of a dataset that search engines and loaders read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_TERMS = (
    "arrayShape citeAs column conformsTo equivalentProperty extract field fileObject fileProperty fileSet format includes "
    "isArray isLiveDataset jsonPath key md5 parentField path "
    "recordSet references regex repeated replace samplingRate separator source "
    "subField transform"
)
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    **{term: f"cr:{term}" for term in _TERMS.split()},
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
}
"""The context of Croissant 1.0; loaders complain of any other."""
Node = dict[str, Any]


def croissant(folder: Path, about: Node) -> Node:
    """The description of every table in ``folder``, as JSON-LD. Its paths are relative to the folder.

    Args:
        folder: a dataset folder.
        about: ``name``, ``description``, ``license``, ``url``, ``version``, ``cite_as``, ``published`` (date), ``creator``,
            ``limitations``, ``personal_data``, ``source``.
    """
    tables = {path.parent.name: path for path in sorted(folder.glob("*/*.parquet"))}
    file_sets: list[Node] = []
    record_sets: list[Node] = []
    for name, sample in sorted(tables.items()):
        files = sorted((folder / name).glob("*.parquet"))
        if not any(pq.read_metadata(path).num_rows for path in files):
            continue
        file_sets.append(
            {
                "@type": "cr:FileSet",
                "@id": f"{name}-files",
                "name": f"{name}-files",
                "encodingFormat": "application/x-parquet",
                "includes": f"{name}/*.parquet",
            }
        )
        schema = pq.read_schema(sample)
        fields = [_field(name, field, f"{name}-files", field.name, "") for field in schema if not _holds_bytes(field.type)]
        record_sets.append({"@type": "cr:RecordSet", "@id": name, "name": name, "field": fields})
    if (folder / "videos").is_dir():
        file_sets.append(
            {
                "@type": "cr:FileSet",
                "@id": "video-files",
                "name": "video-files",
                "encodingFormat": "video/mp4",
                "includes": "videos/*.mp4",
            }
        )
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": about["name"],
        "description": about["description"],
        "license": about["license"],
        "url": about["url"],
        "version": about["version"],
        "citeAs": about["cite_as"],
        "datePublished": about["published"],
        "creator": {"@type": "sc:Organization", "name": about["creator"]},
        "rai:dataCollection": about["source"],
        "rai:dataLimitations": about["limitations"],
        "rai:personalSensitiveInformation": about["personal_data"],
        "distribution": file_sets,
        "recordSet": record_sets,
    }


def _field(table: str, field: pa.Field, files: str, column: str, path: str, parent: str = "") -> Node:
    """A column, or a part of one at ``path`` within it."""
    kind, depth, name = field.type, 0, f"{parent or table}/{field.name}"
    while pa.types.is_list(kind):
        kind, depth = kind.value_type, depth + 1
    out: Node = {"@type": "cr:Field", "@id": name, "name": name}
    if depth:
        out |= {"isArray": True, "arrayShape": ",".join(["-1"] * depth)}
    if pa.types.is_struct(kind):
        inner = path + "[*]" * depth
        step = f"{inner}." if inner else ""
        out["subField"] = [_part(table, kind.field(n), files, column, step, name) for n in range(kind.num_fields)]
        return out
    source: Node = {"fileSet": {"@id": files}, "extract": {"column": column}}
    return {**out, "dataType": _type(kind), "source": source}


def _part(table: str, field: pa.Field, files: str, column: str, step: str, parent: str) -> Node:
    out = _field(table, field, files, column, step + field.name, parent)
    if "source" in out:
        out["source"]["transform"] = {"jsonPath": step + field.name}
    return out


def _holds_bytes(kind: pa.DataType) -> bool:
    """Whether it is an embedded video: Croissant has no word for the bytes of one inside Parquet."""
    return pa.types.is_struct(kind) and any(pa.types.is_binary(kind.field(n).type) for n in range(kind.num_fields))


def _type(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    if pa.types.is_floating(kind):
        return "sc:Float"
    return "sc:Text"


def validate(path: Path) -> list[str]:
    """What ``mlcroissant`` warns of in a description; it must have nothing against it.

    Raises:
        ValueError: the description is not valid.
        ImportError: mlcroissant is not installed.
    """
    try:
        import mlcroissant
    except ImportError as error:
        raise ImportError(f"checking Croissant needs mlcroissant: pip install '.[publish]' ({error})") from error
    try:
        dataset = mlcroissant.Dataset(jsonld=json.loads(path.read_text(encoding="utf-8")))
    except mlcroissant.ValidationError as error:
        raise ValueError(f"Croissant finds fault with {path}: {error}") from error
    return sorted(dataset.metadata.ctx.issues.warnings)
