"""``visita models``: matchers that ship, that come pretrained, that can be trained; their parts."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import visita
from visita.cli.choices import judged, table
from visita.cli.options import Json
from visita.cli.output import print_json
from visita.errors import VisitaError
from visita.progress import say
from visita.registry import Registry

TRAINED = {
    "fusion": "vectors from several levels of CNNs, from your pairs or --from a matcher",
    "mkl-visita": "vectors for searching, and a network that re-ranks the first 50",
    "encoder": "an image encoder, for matchers that are then trained on it",
}
"""What is learnt here beside the baselines."""


def models(as_json: Json = False) -> None:
    """List matchers to choose from, systems to train and compare with, and their parts.

    [bold]visita models[/bold]
    """
    matchers, pretrained = [judged(m) for m in _matchers()], [judged(m) for m in _pretrained()]
    trained, baselines = TRAINED, _baselines()
    encoders, families, parts = _encoders(), _families(), _parts()
    if as_json:
        print_json(
            {
                "matchers": matchers,
                "pretrained": pretrained,
                "trained": trained,
                "baselines": baselines,
                "encoders": encoders,
                "families": families,
                "parts": parts,
            }
        )
        return
    print(*table([*matchers, *pretrained]), sep="\n")
    for matcher in matchers:
        print(
            f"matcher {matcher['name']}: {matcher['dim']} wide, "
            f"{_size(matcher)}, {matcher['licence']}"
        )
        print(f"    made of {', '.join(matcher['encoders'])}; trained on {matcher['trained_on']}")
        if second := matcher["second"]:
            print(
                f"    two stages: the first {second['depth']} of a search are re-ranked, "
                f"in {second['bytes_per_picture']:,} bytes a picture"
            )
    for matcher in pretrained:
        print(
            f"matcher {matcher['name']}: about {matcher['bytes'] / 1e6:,.0f} MB, "
            f"{matcher['licence']}"
        )
        stages = "; two stages, 0.9 MB a picture" if matcher["two_stages"] else ""
        print(f"    {matcher['from']}; {_install(matcher)}{stages}")
    for name, what in trained.items():
        print(f"to train {name}: {what}; visita train {name}")
    for baseline in baselines:
        print(f"baseline {baseline['name']}: {baseline['what']}")
        stages = (
            f"; the second of two stages re-ranks the first {baseline['depth']}"
            if baseline["depth"]
            else ""
        )
        extra = f"; {_install(baseline)}" if baseline["extra"] else ""
        paper = f"{baseline['paper']}; " if baseline["paper"] else ""
        print(f"    {paper}visita train baseline {baseline['name']}{stages}{extra}")
    for encoder in encoders:
        low, high = encoder["width"]
        width = f"{low}" if low == high else f"{low} to {high}"
        print(
            f"{encoder['kind']} encoder {encoder['name']}: {encoder['levels']} levels, "
            f"{width} wide, {_size(encoder)}, {encoder['licence']}"
        )
        if encoder["package"]:
            print(f"    weights from the package {encoder['package']}")
    for family in families:
        print(
            f"{family['kind']} encoder {family['prefix']}NAME: "
            f"any model of {family['library']} by name"
        )
    for kind, names in parts.items():
        print(f"{kind} by name: {', '.join(names)}")


def _matchers() -> list[dict[str, Any]]:
    from visita.matchers import SHIPPED, shipped_folder  # noqa: PLC0415

    return [describe(shipped_folder(name)) for name in SHIPPED]


def _pretrained() -> list[dict[str, Any]]:
    from visita.encoders.pretrained.model import KNOWN  # noqa: PLC0415

    return [
        {
            "name": model.name,
            "bytes": model.megabytes * 10**6,
            "licence": model.licence,
            "from": model.source,
            "extra": "transformers",
            "two_stages": model.two_stages,
        }
        for model in KNOWN
    ]


def _baselines() -> list[dict[str, Any]]:
    from visita.baselines import BASELINES  # noqa: PLC0415

    nothing = {"paper": None, "extra": None, "depth": None}
    stated = {name: {**nothing, **BASELINES.stated(name)} for name in BASELINES.names()}
    wanted = ("what", *nothing)
    return [{"name": name, **{key: facts[key] for key in wanted}} for name, facts in stated.items()]


def describe(folder: Path) -> dict[str, Any]:
    """Return what there is to say of the matcher saved in ``folder``, as JSON values."""
    matcher = visita.load(folder)
    second = None
    if matcher.reranker:
        parts, numbers = matcher.reranker.packed_shape
        second = {"depth": matcher.depth, "bytes_per_picture": 2 * parts * numbers}
    return {
        "name": matcher.name,
        "dim": matcher.dim,
        "encoders": [*matcher.recipe.levels, matcher.text_encoder],
        "second": second,
        "trained_on": matcher.facts["data"]["source"],
        "licence": "Apache-2.0",
        "bytes": sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
    }


def _encoders() -> list[dict[str, Any]]:
    from visita.encoders.table import IMAGE_ENCODERS, TEXT_ENCODERS  # noqa: PLC0415

    encoders = []
    for name, encoder in _opened(IMAGE_ENCODERS):
        widths = [shape[-1] for shape in encoder.level_shapes().values()]
        encoders.append(_encoder(encoder, name, "image", widths))
    for name, encoder in _opened(TEXT_ENCODERS):
        levels = len(encoder.levels)
        encoders.append(_encoder(encoder, name, "text", [encoder.dim // levels] * levels))
    return encoders


def _opened(encoders: Registry) -> Iterator[tuple[str, Any]]:
    """Yield name and encoder; one that cannot be imported is told, and the others come."""
    for name in encoders.names():
        try:
            encoder = encoders.load(name)()
        except VisitaError as error:
            say(f"{encoders.kind} {name}: {error}")
            continue
        yield name, encoder


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
    from visita.encoders.pretrained.families import FAMILIES  # noqa: PLC0415

    otherwise = {"open-clip": "open_clip"}
    return otherwise.get(family, "transformers") if family in FAMILIES else family


def _encoder(encoder: Any, name: str, kind: str, widths: list[int]) -> dict[str, Any]:
    package = getattr(encoder, "package", None)
    return {
        "name": name,
        "kind": kind,
        "levels": len(widths),
        "width": [min(widths), max(widths)],
        "package": package,
        "licence": getattr(encoder, "licence", "licence not stated"),
        "bytes": _installed_bytes(package) if package else _shipped_bytes(name),
    }


def _shipped_bytes(name: str) -> int:
    from visita.encoders.weights import SHIPPED, shipped_file  # noqa: PLC0415

    return shipped_file(f"{name}.safetensors").stat().st_size if name in SHIPPED else 0


def _installed_bytes(package: str) -> int | None:
    try:
        return sum(file.size or 0 for file in distribution(package).files or ())
    except PackageNotFoundError:
        return None


def _install(entry: dict[str, Any]) -> str:
    return f"pip install 'visita[{entry['extra']}]'"


def _size(entry: dict[str, Any]) -> str:
    return "not installed" if entry["bytes"] is None else f"{entry['bytes'] / 1e6:.0f} MB"
