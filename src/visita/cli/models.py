"""``visita models``: matchers that ship, that come pretrained, that can be trained; their parts."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import visita
from visita.cli.options import Json
from visita.cli.output import print_json

TRAINED = {
    "fusion": "vectors from several levels of CNNs, from your pairs or --from a matcher",
    "mkl-visita": "vectors for searching, and a network that re-ranks the first 50",
    "encoder": "an image encoder, for matchers that are then trained on it",
}
"""What is learnt here beside the baselines."""


def models(as_json: Json = False) -> None:
    """List matchers, systems to train and compare with, and what they are made of.

    [bold]visita models[/bold]
    """
    matchers, known, trained, baselines = _matchers(), _pretrained(), TRAINED, _baselines()
    encoders, families, parts = _encoders(), _families(), _parts()
    if as_json:
        print_json(
            {
                "matchers": matchers,
                "pretrained": known,
                "trained": trained,
                "baselines": baselines,
                "encoders": encoders,
                "families": families,
                "parts": parts,
            }
        )
        return
    for one in matchers:
        print(f"matcher {one['name']}: {one['dim']} wide, {_size(one)}, {one['licence']}")
        print(f"    made of {', '.join(one['encoders'])}; trained on {one['trained_on']}")
        if second := one["second"]:
            print(
                f"    two stages: the first {second['depth']} of a search are re-ranked, "
                f"in {second['bytes_per_picture']:,} bytes a picture"
            )
    for one in known:
        print(f"matcher {one['name']}: about {one['bytes'] / 1e6:,.0f} MB, {one['licence']}")
        stages = "; two stages, 0.9 MB a picture" if one["two_stages"] else ""
        print(f"    {one['from']}; {_install(one)}{stages}")
    for name, what in trained.items():
        print(f"to train {name}: {what}; visita train {name}")
    for one in baselines:
        print(f"baseline {one['name']}: {one['what']}")
        stages = (
            f"; the second of two stages re-ranks the first {one['depth']}" if one["depth"] else ""
        )
        extra = f"; {_install(one)}" if one["extra"] else ""
        paper = f"{one['paper']}; " if one["paper"] else ""
        print(f"    {paper}visita train baseline {one['name']}{stages}{extra}")
    for one in encoders:
        low, high = one["width"]
        width = f"{low}" if low == high else f"{low} to {high}"
        print(
            f"{one['kind']} encoder {one['name']}: {one['levels']} levels, {width} wide, "
            f"{_size(one)}, {one['licence']}"
        )
        if one["package"]:
            print(f"    weights from the package {one['package']}")
    for one in families:
        print(f"{one['kind']} encoder {one['prefix']}NAME: any model of {one['library']} by name")
    for kind, names in parts.items():
        print(f"{kind} by name: {', '.join(names)}")


def _matchers() -> list[dict[str, Any]]:
    from visita.matchers import SHIPPED, shipped_folder  # noqa: PLC0415

    return [describe(shipped_folder(name)) for name in SHIPPED]


def _pretrained() -> list[dict[str, Any]]:
    from visita.encoders.pretrained.model import KNOWN  # noqa: PLC0415

    return [
        {
            "name": one.name,
            "bytes": one.megabytes * 10**6,
            "licence": one.licence,
            "from": one.source,
            "extra": "transformers",
            "two_stages": one.two_stages,
        }
        for one in KNOWN
    ]


def _baselines() -> list[dict[str, Any]]:
    from visita.baselines import BASELINES  # noqa: PLC0415

    nothing = {"paper": None, "extra": None, "depth": None}
    stated = {name: {**nothing, **BASELINES.stated(name)} for name in BASELINES.names()}
    wanted = ("what", *nothing)
    return [{"name": name, **{key: facts[key] for key in wanted}} for name, facts in stated.items()]


def describe(folder: Path) -> dict[str, Any]:
    """Return what there is to say of the matcher saved in ``folder``, as JSON values."""
    one = visita.load(folder)
    second = None
    if one.reranker:
        parts, numbers = one.reranker.packed_shape
        second = {"depth": one.depth, "bytes_per_picture": 2 * parts * numbers}
    return {
        "name": one.name,
        "dim": one.dim,
        "encoders": [*one.recipe.levels, one.text_encoder],
        "second": second,
        "trained_on": one.facts["data"]["source"],
        "licence": "Apache-2.0",
        "bytes": sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
    }


def _encoders() -> list[dict[str, Any]]:
    from visita.encoders.table import IMAGE_ENCODERS, TEXT_ENCODERS  # noqa: PLC0415

    found = []
    for name in IMAGE_ENCODERS.names():
        encoder = IMAGE_ENCODERS.load(name)()
        widths = [shape[-1] for shape in encoder.level_shapes().values()]
        found.append(_encoder(encoder, name, "image", widths))
    for name in TEXT_ENCODERS.names():
        encoder = TEXT_ENCODERS.load(name)()
        levels = len(encoder.levels)
        found.append(_encoder(encoder, name, "text", [encoder.dim // levels] * levels))
    return found


def _families() -> list[dict[str, str]]:
    from visita.encoders.fitted import FITTED  # noqa: PLC0415
    from visita.encoders.table import IMAGE_ENCODERS, TEXT_ENCODERS  # noqa: PLC0415

    return [
        {"prefix": prefix, "kind": kind, "library": _library(prefix.removesuffix(":"))}
        for kind, table in (("image", IMAGE_ENCODERS), ("text", TEXT_ENCODERS))
        for prefix in table.families()
        if prefix.removesuffix(":") not in FITTED  # those come with a matcher
    ]


def _parts() -> dict[str, list[str]]:
    """Return the names of every other kind of part, families as in ``clip:NAME``."""
    from visita.data.readers import READERS  # noqa: PLC0415
    from visita.encoders.table import TOPIC_MODELS  # noqa: PLC0415
    from visita.gallery.engines import ENGINES  # noqa: PLC0415
    from visita.kernels import KERNELS  # noqa: PLC0415
    from visita.matchers import PRETRAINED  # noqa: PLC0415
    from visita.networks import LOSSES, NETWORKS, PAIR_LOSSES, PAIR_NETWORKS  # noqa: PLC0415

    networks = (NETWORKS, PAIR_NETWORKS, LOSSES, PAIR_LOSSES)
    tables = (READERS, TOPIC_MODELS, KERNELS, *networks, PRETRAINED, ENGINES)
    return {
        table.kind: [*table.names(), *(f"{family}NAME" for family in table.families())]
        for table in tables
    }


def _library(family: str) -> str:
    from visita.encoders.pretrained.model import FAMILIES  # noqa: PLC0415

    return "transformers" if family in FAMILIES else family


def _encoder(encoder: Any, name: str, kind: str, widths: list[int]) -> dict[str, Any]:
    package = getattr(encoder, "package", None)
    return {
        "name": name,
        "kind": kind,
        "levels": len(widths),
        "width": [min(widths), max(widths)],
        "package": package,
        "licence": getattr(encoder, "licence", "licence not stated"),
        "bytes": _installed_bytes(package) if package else 0,
    }


def _installed_bytes(package: str) -> int | None:
    try:
        return sum(file.size or 0 for file in distribution(package).files or ())
    except PackageNotFoundError:
        return None


def _install(one: dict[str, Any]) -> str:
    return f"pip install 'visita[{one['extra']}]'"


def _size(one: dict[str, Any]) -> str:
    return "not installed" if one["bytes"] is None else f"{one['bytes'] / 1e6:.0f} MB"
