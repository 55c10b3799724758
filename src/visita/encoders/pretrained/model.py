"""What a pretrained model consists of, and some checkpoints that there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from visita.encoders.library.networks import AnyPreparation

OPEN_CLIP = {
    "ViT-B-32/openai": "openai/clip-vit-base-patch32",
    "ViT-B-16/openai": "openai/clip-vit-base-patch16",
    "ViT-L-14/openai": "openai/clip-vit-large-patch14",
    "ViT-L-14-336/openai": "openai/clip-vit-large-patch14-336",
    "ViT-B-32/laion2b_s34b_b79k": "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
    "ViT-B-16/laion2b_s34b_b88k": "laion/CLIP-ViT-B-16-laion2B-s34B-b88K",
    "ViT-L-14/laion2b_s32b_b82k": "laion/CLIP-ViT-L-14-laion2B-s32B-b82K",
    "ViT-H-14/laion2b_s32b_b79k": "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
    "ViT-g-14/laion2b_s12b_b42k": "laion/CLIP-ViT-g-14-laion2B-s12B-b42K",
}
"""What open_clip calls MODEL/WEIGHTS, and the same weights for transformers. Which activation
they were trained with is in the configuration there, and no matter of the name."""

WITH_SAFETENSORS = {"openai/clip-vit-base-patch32": "c237dc49a33fc61debc9276459120b7eac67e7ef"}
"""Where the main revision of a repository has pickles only: another, with the same weights."""


def repository(model: str) -> str:
    """Return the repository on the hub for a name of open_clip; any other name as it is."""
    return OPEN_CLIP.get(model, model)


def with_safetensors(name: str) -> str:
    """Return the name of a matcher with the revision that has safetensors, if not the main one."""
    family, _, model = name.partition(":")
    revision = WITH_SAFETENSORS.get(repository(model)) if family == "clip" else None
    return f"clip:{repository(model)}@{revision}" if revision else name


@dataclass(frozen=True)
class Known:
    """A checkpoint worth knowing.

    Attributes
    ----------
    name : str
        What ``visita.load`` takes; for ALBEF with the path of the file.
    megabytes : int
        About what is downloaded: its weights in float32.
    licence : str
        Of the weights, as its makers state it, or of the code that they came with.
    source : str
        How it comes to this machine.
    """

    name: str
    megabytes: int
    licence: str
    source: str = "fetched from the Hugging Face hub on first use"

    @property
    def two_stages(self) -> bool:
        """Tell whether it also scores a picture and a text together."""
        return self.name.startswith(("blip:", "albef:", "blip2:"))


OPENAI = "MIT for the code; the model card names no licence"
KNOWN = (
    Known("clip:openai/clip-vit-base-patch32", 605, OPENAI),
    Known("clip:openai/clip-vit-large-patch14", 1710, OPENAI),
    Known("clip:ViT-B-32/laion2b_s34b_b79k", 605, "MIT"),
    Known("clip:ViT-B-16/laion2b_s34b_b88k", 599, "MIT"),
    Known("clip:ViT-L-14/laion2b_s32b_b82k", 1710, "MIT"),
    Known("siglip:google/siglip-base-patch16-224", 813, "Apache-2.0"),
    Known("siglip:google/siglip2-base-patch16-224", 1500, "Apache-2.0"),
    Known("blip:Salesforce/blip-itm-base-flickr", 895, "BSD-3-Clause"),
    Known("blip:Salesforce/blip-itm-base-coco", 895, "BSD-3-Clause"),
    Known(
        "albef:flickr30k.pth",
        800,
        "BSD-3-Clause for the code",
        "a file that github.com/salesforce/ALBEF links to",
    ),
)
"""Any other checkpoint of a family loads as well."""


@dataclass(frozen=True)
class Model:
    """A model in torch, in evaluation mode and float32.

    Attributes
    ----------
    pictures : PictureTower or None
    preparation : Preparation, PatchPreparation or None
        None where it reads texts only.
    texts : DualText, BertText or SentenceText
    layers : tuple of int
        How many a text runs through, and their width.
    width : int
        Of the vectors.
    pairs : PairHead, QueryPairHead or None
        What looks at a picture and a text together.
    threshold : float or None
        Cosine at which the model itself takes a pair for a match.
    """

    pictures: Any
    preparation: AnyPreparation | None
    texts: Any
    layers: tuple[int, int]
    width: int
    pairs: Any = None
    threshold: float | None = None
