"""What matchers cost and what they find, to choose one by.

Costs are of ``benchmarks/pretrained.py`` on two cores of an AMD EPYC with AVX2. What that did not
measure follows from it: rates by floating-point operations, memory by the weights. Recall of
pretrained ones is what their makers or open_clip published; nobody measured it here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from visita.encoders.pretrained.model import repository


@dataclass(frozen=True)
class Cost:
    """What a matcher costs on a processor.

    Attributes
    ----------
    memory : int
        MB, while pictures are read.
    pictures : float
        How many are read a second by each core, decoding included.
    query : float
        Milliseconds of a core to read a query.
    estimated : bool
        Whether that was not measured.
    """

    memory: int
    pictures: float
    query: float
    estimated: bool = False


@dataclass(frozen=True)
class Recall:
    """How often the right one comes first, in percent.

    Attributes
    ----------
    texts, pictures : float
        R@1 of the texts of a picture, and of the picture of a text.
    on : str
        The pairs.
    source : str
        Who says so.
    """

    texts: float
    pictures: float
    on: str
    source: str


B32 = Cost(1500, 6.0, 40)
B16 = Cost(1400, 1.8, 37)
L14 = Cost(2600, 0.4, 80, estimated=True)
SIGLIP = Cost(1600, 1.8, 180, estimated=True)
SIGLIP2 = Cost(2300, 1.8, 180, estimated=True)
PAIRED = Cost(1700, 0.6, 20_000, estimated=True)
"""A query is re-ranked: 50 pictures by a head that attends to all of their 577 tokens."""
COSTS: Mapping[str, Cost] = {
    "visita-small": Cost(500, 12, 12),
    "visita-base": Cost(800, 5.8, 49, estimated=True),
    "clip:openai/clip-vit-base-patch32": B32,
    "clip:openai/clip-vit-large-patch14": L14,
    "clip:ViT-B-32/laion2b_s34b_b79k": B32,
    "clip:ViT-B-16/laion2b_s34b_b88k": B16,
    "clip:ViT-L-14/laion2b_s32b_b82k": L14,
    "siglip:google/siglip-base-patch16-224": SIGLIP,
    "siglip:google/siglip2-base-patch16-224": SIGLIP2,
    "blip:Salesforce/blip-itm-base-flickr": PAIRED,
    "blip:Salesforce/blip-itm-base-coco": PAIRED,
    "albef:flickr30k.pth": PAIRED,
}

FLICKR8K, ZERO_SHOT, TUNED = "Flickr8k dev", "Flickr30K", "Flickr30K, trained on it"
OURS = "docs/models.md"
OPEN_CLIP = "open_clip, docs/openclip_retrieval_results.csv"
TSCHANNEN = "Tschannen et al., SigLIP 2, 2025, table 1"
RECALLS: Mapping[str, Recall] = {
    "visita-small": Recall(43.7, 33.6, FLICKR8K, OURS),
    "visita-base": Recall(50.6, 37.7, FLICKR8K, OURS),
    "clip:openai/clip-vit-base-patch32": Recall(78.9, 58.8, ZERO_SHOT, OPEN_CLIP),
    "clip:openai/clip-vit-large-patch14": Recall(85.2, 65.0, ZERO_SHOT, OPEN_CLIP),
    "clip:ViT-B-32/laion2b_s34b_b79k": Recall(84.1, 66.8, ZERO_SHOT, OPEN_CLIP),
    "clip:ViT-B-16/laion2b_s34b_b88k": Recall(86.3, 69.8, ZERO_SHOT, OPEN_CLIP),
    "clip:ViT-L-14/laion2b_s32b_b82k": Recall(89.5, 75.5, ZERO_SHOT, OPEN_CLIP),
    "siglip:google/siglip-base-patch16-224": Recall(89.1, 74.7, ZERO_SHOT, OPEN_CLIP),
    "siglip:google/siglip2-base-patch16-224": Recall(93.0, 80.7, ZERO_SHOT, TSCHANNEN),
    "blip:Salesforce/blip-itm-base-flickr": Recall(
        97.2, 87.5, TUNED, "Li et al., BLIP, 2022, table 5"
    ),
    "albef:flickr30k.pth": Recall(95.9, 85.6, TUNED, "Li et al., ALBEF, 2021, table 2"),
}


def best_for_their_cost() -> frozenset[str]:
    """Return the matchers beside which none of the same test is as fast and finds more."""
    return frozenset(name for name in RECALLS if not any(_beats(o, name) for o in RECALLS))


def _beats(other: str, name: str) -> bool:
    found, wanted = RECALLS[other], RECALLS[name]
    faster = COSTS[other].pictures >= COSTS[name].pictures
    return found.on == wanted.on and faster and found.pictures > wanted.pictures


def is_here(name: str) -> bool:
    """Tell whether the weights of a pretrained matcher are in the hub's cache, or its file is."""
    model = repository(name.partition(":")[2])
    if Path(model).exists():
        return True
    try:
        from huggingface_hub.constants import HF_HUB_CACHE  # noqa: PLC0415 - an extra's
    except ImportError:
        return False
    kept = Path(HF_HUB_CACHE, f"models--{model.replace('/', '--')}", "snapshots")
    return any(path.exists() for end in ("safetensors", "bin") for path in kept.glob(f"*/*.{end}"))
