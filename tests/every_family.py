"""What visita adds to pretrained models, tried on a tiny random checkpoint of each family.

A trial takes a matcher's name, a folder of drawn pairs and a place to write to. It raises where
something does not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tiny_albef
from library_vectors import CASES, TWO_STAGES, pictures

import visita
from visita.encoders.table import IMAGE_ENCODERS
from visita.evaluation.measure import features_for, vectors
from visita.search.language import LANGUAGES, remarks
from visita.testing import check_matcher
from visita.training.config import FusionConfig
from visita.training.mkl_config import MklVisitaConfig
from visita.training.scaling import scaled_by
from visita.types import Matcher

TEXT = "a red circle and a blue star"
OTHERS = {"de": "ein Hund läuft am Strand entlang", "ru": "собака бежит по берегу моря"}
HEADS = (*TWO_STAGES, "albef")
NO_SQUARE = r"has no level 'layer3:5x5', as its layer3 has no square of cells: use another encoder"
"""What NaFlex says to MKL-VisITA's second stage, as its pictures keep their shape."""
LANGUAGES_OF = {
    "siglip": ("en",),
    "siglip2": ("en",),  # so few words has none that is multilingual
    "naflex": ("en",),
    "metaclip2": None,
    "chinese-clip": ("zh",),
    "altclip": None,
    "open-clip siglip": None,
}
"""None where nothing says them; English where no more is said here."""
SMALL = {"epochs": 1, "dim": 16, "fusion_dim": 16, "hidden": 16, "keywords_per_image": 0}
SECOND = {"epochs": 1, "batch": 8, "width": 16, "dim": 16, "heads": 2}
Trial = Callable[[str, Path, Path], Any]


def _albef(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return tiny_albef.write(folder / "flickr30k.pth", tiny_albef.drawn_state())


def _open_clip(kind: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        from tiny_open_clip import write  # noqa: PLC0415 - not installed everywhere

        return write(folder, kind)

    return write


WRITERS: Mapping[str, tuple[str, Callable[[Path], Path]]] = {
    **{name: (case.family, case.write) for name, case in CASES.items()},
    "albef": ("albef", _albef),
    **{
        f"open-clip {kind}": ("open-clip", _open_clip(kind))
        for kind in ("vit", "eva02", "mobileclip", "siglip")
    },
}
"""By the name of a row: the family, and what writes a checkpoint of it."""


def matcher_of(row: str, folder: Path) -> str:
    """Write the checkpoint of a row and return its matcher's name."""
    family, write = WRITERS[row]
    return f"{family}:{write(folder / 'tiny')}"


def fusion(name: str, few: Path, out: Path) -> None:
    """Train fusion on levels of the picture tower, mirrored too, and texts of the text tower."""
    first, *_, last = layers(name)
    config = FusionConfig.of(
        {
            "image_levels": {name: (f"{first}:avg", f"{last}:max", "vector")},
            "text_encoder": name,
            "class_names_weight": 0,
            **SMALL,
        }
    )
    trained = visita.train(f"folder:{few}", out, config=config).matcher
    assert trained.recipe.mirror and trained.calibration and trained.match_probability
    opens_alike(trained, out)


def mkl_visita(name: str, few: Path, out: Path) -> None:
    """Train both stages of MKL-VisITA on layers as grids, and on the tokens of the text tower."""
    last = layers(name)[-1]
    first = FusionConfig.of(
        {
            "image_levels": {name: (f"{last}:avg", "vector")},
            "text_encoder": name,
            "class_names_weight": 0,
            "mirror": False,
            **SMALL,
        }
    )
    second = {"image_levels": {name: (f"{last}:5x5",)}, "text_encoder": name}
    config = MklVisitaConfig.of(
        {"first": first.model_dump(), "second": {**second, "text_levels": ["layer1"], **SECOND}}
    )
    trained = visita.train(f"folder:{few}", out, config=config).matcher
    assert trained.reranker.recipe.levels == {name: (f"{last}:5x5",)}
    assert trained.calibration and trained.match_probability
    opens_alike(trained, out)


def on_top(name: str, few: Path, out: Path) -> None:
    """Learn on top of it (``--from``): calibrated from pairs, its encoders and its head as were."""
    base = visita.load(name)
    config = visita.AdaptConfig(epochs=1, batch=16, neighbours=0)
    made = visita.adapt(name, f"folder:{few}", out, config=config)
    assert made.matcher.retriever.calibration and made.matcher.retriever.match_probability
    assert set(made.matcher.recipe.columns()) == set(base.recipe.columns())
    assert (made.matcher.reranker is None) == (base.reranker is None)
    opens_alike(made.matcher, out)
    pair = visita.Finder(made.matcher).match(picture_in(few), TEXT)
    assert base.reranker or 0 < pair.probability < 1


def fused(name: str, few: Path, out: Path) -> None:
    """Fuse it with another matcher by weights learnt on dev."""
    made = visita.fuse([name, "colour"], f"folder:{few}", out)
    assert [one["name"] for one in made.fusion["parts"]] == [visita.load(name).name, "colour"]
    opens_alike(made.matcher, out)


def scaled(name: str, few: Path, out: Path) -> None:
    """Give its vectors local scaling by pairs of one's own."""
    first = visita.load(name).retriever
    pairs = visita.open_pairs(f"folder:{few}")
    bank, dev = (vectors(first, features_for(first, pairs.take(s), None)) for s in ("train", "dev"))
    rows = pairs.take("train").truth.tocsr()[:, ::3].indices
    matcher = scaled_by(first, (bank[0][rows], bank[1][::3]), dev, 3)
    matcher.save(out)
    opens_alike(matcher, out)


def explained(name: str, few: Path, _out: Path) -> None:
    """Explain a score by hiding cells and words; what the kernels add sums to it."""
    told = visita.explain(name, picture_in(few), TEXT)
    assert told.heat.shape == (5, 5) and np.abs(told.heat).max() > 0
    assert np.isfinite(told.heat).all() and len(told.words) == len(TEXT.split())
    assert np.isclose(sum(kernel.adds for kernel in told.kernels), told.pair.score, atol=1e-4)


def reranked(name: str, few: Path, out: Path) -> None:
    """Find by both stages, in the order of their scores."""
    matcher = visita.load(name)
    assert matcher.reranker is not None
    gallery = visita.Gallery.open(few, matcher=matcher, home=out)
    gallery.sync()
    found = gallery.search(TEXT, k=5)
    finder = visita.Finder(matcher)
    scores = {path: finder.match(path, TEXT).score for path in sorted(few.glob("*.[jp][pn]g"))}
    best = sorted(scores.values(), reverse=True)[:5]
    assert np.allclose([one.score for one in found], best, atol=2e-3)
    assert np.allclose([scores[one.path] for one in found], best, atol=2e-3)


def told_languages(name: str, row: str) -> None:
    """Say of a text that is in none of the model's languages."""
    matcher = visita.load(name)
    known = LANGUAGES_OF.get(row, ("en",))
    assert matcher.open_text_encoder().languages == known
    for code, text in OTHERS.items():
        said = " ".join(remarks(text, matcher))
        if known is None or code in known:
            assert not said
        else:
            assert LANGUAGES[known[0]] in said


TRIALS: Mapping[str, Trial] = {
    "fusion": fusion,
    "MKL-VisITA": mkl_visita,
    "`--from`": on_top,
    "fuse": fused,
    "local scaling": scaled,
    "explain": explained,
    "head": reranked,
}


def layers(name: str) -> list[str]:
    """Return the layers of the picture tower, first to last."""
    known = {level.partition(":")[0] for level in IMAGE_ENCODERS.load(name)().level_shapes()}
    return sorted((one for one in known if one[:5] == "layer" and one[5:].isdigit()), key=_number)


def _number(layer: str) -> int:
    return int(layer.removeprefix("layer"))


def picture_in(few: Path) -> Path:
    return min(few.glob("*.[jp][pn]g"))


def opens_alike(matcher: Matcher, folder: Path) -> None:
    """Check that what was saved is the matcher, to the bit, and keeps the contract."""
    again = visita.load(folder)
    assert again.fingerprint() == matcher.fingerprint()
    finder = visita.Finder(again)
    columns = finder.pictures.encode_pictures(pictures())
    texts = finder.texts.encode([TEXT, "blue", "the dog runs"])
    assert np.array_equal(again.embed_images(columns), matcher.embed_images(columns))
    assert np.array_equal(again.embed_texts(texts), matcher.embed_texts(texts))
    first: Any = again.retriever
    check_matcher(first, columns, texts)
    if again.reranker:
        packed = again.reranker.pack_images(columns)
        [words] = again.reranker.pack_texts([TEXT])
        assert np.isfinite(again.reranker.scores(packed, words)).all()
