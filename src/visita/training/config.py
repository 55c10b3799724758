"""What decides a training run; a class that trains something has exactly what it needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from visita.arguments import one_of
from visita.encoders.table import TEXT_ENCODERS, TOPIC_MODELS
from visita.errors import ConfigError
from visita.networks import LOSSES
from visita.registry import Registry
from visita.training.settings import Settings
from visita.types import Recipe

__all__ = [
    "AdaptConfig",
    "ContrastConfig",
    "EndToEndConfig",
    "FeatureConfig",
    "FusionConfig",
    "HeadsConfig",
    "LanguagesConfig",
    "LoopConfig",
    "PaperConfig",
]


def _known(*tables: Registry) -> AfterValidator:
    """Return what refuses a name that none of ``tables`` holds; nothing is imported for it."""

    def check(name: str) -> str:
        if not any(name in table for table in tables):
            one_of(name, "loss", [known for table in tables for known in table.names()])
        return name

    return AfterValidator(check)


Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""What every generator of numbers takes."""
Share = Annotated[float, Field(ge=0, lt=1)]
Levels = Annotated[tuple[str, ...], Field(min_length=1)]


def _by_name(levels: Any) -> Any:
    """Let ``tuned:FOLDER`` be called as its content is, which is what a recipe keeps."""
    from visita.encoders.tuned import named  # noqa: PLC0415 - imports the engine

    if not isinstance(levels, Mapping):
        return levels  # which is refused
    return {named(str(encoder)): own for encoder, own in levels.items()}


ImageLevels = Annotated[dict[str, Levels], Field(min_length=1), BeforeValidator(_by_name)]
Views = tuple[Literal["crop", "flip", "crop-flip", "ricap"], ...]
SMALL: dict[str, Levels] = {
    "efficientnet-lite2": (
        "block10:avg",
        "block10:max",
        "block15:avg",
        "block15:max",
        "block19:avg",
        "block19:max",
        "head:avg",
        "classes",
    )
}
BASE: dict[str, Levels] = {
    "efficientnet-lite0": (
        "block7:avg",
        "block7:max",
        "block11:avg",
        "block11:max",
        "block14:avg",
        "block14:max",
        "head:avg",
    ),
    "efficientnet-lite1": SMALL["efficientnet-lite2"][:-1],
    **SMALL,
}
GRIDS: dict[str, Levels] = {
    "efficientnet-lite0": ("block7:5x5", "block11:5x5", "block15:5x5"),
    "efficientnet-lite1": ("block10:5x5", "block15:5x5", "block20:5x5"),
    "efficientnet-lite2": ("block10:5x5", "block15:5x5", "block20:5x5"),
}
LAST_GRIDS: dict[str, Levels] = {"efficientnet-lite2": GRIDS["efficientnet-lite2"]}
CLASSES = "classes"
"""The level of class probabilities, of encoders that have one."""
NEIGHBOURS = 10
INCEPTION: dict[str, Levels] = {"inception-v3": ("mixed9", "fc")}


class LoopConfig(Settings):
    """What every run has: its seed, how long it lasts and how large a step is."""

    seed: Seed = 0
    epochs: Annotated[int, Field(ge=0)] = 7
    patience: Annotated[int, Field(ge=1)] = 3
    """Epochs without a better dev score before training stops."""
    batch: Annotated[int, Field(ge=2)] = 256
    """True pairs a step."""
    learning_rate: Annotated[float, Field(gt=0)] = 3e-4


class ContrastConfig(LoopConfig):
    """InfoNCE over batches of pairs, and AdamW."""

    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    temperature: Annotated[float, Field(gt=0)] = 0.05
    label_smoothing: Share = 0.05
    mix_texts: bool = True
    """Replace a text by a random mean of it and another text of the same image."""


class AdaptConfig(ContrastConfig):
    """Adapting a trained matcher to a few pairs, at a low learning rate.

    Examples
    --------
    >>> visita.AdaptConfig().epochs, visita.AdaptConfig(learning_rate=5e-5).learning_rate
    (10, 5e-05)
    """

    epochs: Annotated[int, Field(ge=0)] = 10
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    neighbours: Annotated[int, Field(ge=0)] = NEIGHBOURS
    """Of local scaling, in a bank of your own pairs and of those of a base that has it. 0 leaves it
    out; where the base has none, so does no gain on dev."""


class LanguagesConfig(LoopConfig):
    """Teaching a matcher texts of other languages, with the values that ``visita-small`` has.

    Examples
    --------
    >>> visita.LanguagesConfig(sentences=1000).captions
    3
    """

    text_encoder: str = "e5"
    text_levels: Levels = ("layer4", "layer6", "layer8", "layer10", "layer12")
    captions: Annotated[int, Field(ge=1)] = 3
    """Of a picture in each language, at most."""
    teachers: Annotated[int, Field(ge=1)] = 2
    """Captions of a picture in the matcher's own language whose vectors teach."""
    sentences: Annotated[int, Field(ge=1)] = 5000
    """Rows of parallel sentences that are learnt from, drawn."""
    ridge: Annotated[float, Field(gt=0)] = 0.005
    """Of the linear map, a share of the number of texts."""
    picture: Annotated[float, Field(ge=0)] = 0.5
    """How much what the linear map is to reach is of the picture, beside its captions."""
    hidden: Annotated[int, Field(ge=1)] = 512
    dropout: Share = 0.4
    input_dropout: Share = 0.2
    epochs: Annotated[int, Field(ge=0)] = 4
    batch: Annotated[int, Field(ge=2)] = 512
    learning_rate: Annotated[float, Field(gt=0)] = 5e-4
    temperature: Annotated[float, Field(gt=0)] = 0.07


class FeatureConfig(LoopConfig):
    """The features that a matcher reads which is trained anew."""

    image_levels: ImageLevels
    """Levels of each image encoder."""
    mirror: bool
    """Train on the mirrored view too, and average both views in use."""
    text_encoder: str
    text_levels: Levels
    """Those of an encoder set without them are its own: the ``topics`` of a topic model, the
    ``vector`` of a pretrained tower."""

    topics: Annotated[int, Field(ge=1, le=1024)] = 500
    """Width of a topic model, the text encoder that is fitted here."""
    topic_corpus: Path | None = None
    """Texts to fit it on: a file with one a line, or a folder of ``.txt``."""
    topics_from: Literal["train", "all"] = "train"
    """Without a corpus: fit it on training texts, or on all, test included, as the paper
    does on Flickr30K; numbers on those texts are then too good, and every report says so."""

    def recipe(self) -> Recipe:
        """Return the features that a picture needs."""
        return Recipe(dict(self.image_levels), self.mirror)

    @model_validator(mode="before")
    @classmethod
    def _name_the_levels_of_a_text_encoder(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        encoder = str(values.get("text_encoder", cls.model_fields["text_encoder"].default))
        if encoder in TOPIC_MODELS:
            return {"text_levels": ("topics",), **values}
        if encoder != cls.model_fields["text_encoder"].default and encoder in TEXT_ENCODERS:
            return {"text_levels": TEXT_ENCODERS.load(encoder)().levels, **values}
        return values

    @model_validator(mode="after")
    def _refuse_what_would_do_nothing(self) -> Self:
        fields = FeatureConfig.model_fields
        about_topics = ("topics", "topic_corpus", "topics_from")
        changed = [name for name in about_topics if getattr(self, name) != fields[name].default]
        if changed and self.text_encoder not in TOPIC_MODELS:
            raise ConfigError(
                f"{' and '.join(changed)} would do nothing: {self.text_encoder!r} is no topic "
                f"model. Set text_encoder to one of {', '.join(TOPIC_MODELS.names())}."
            )
        if self.topic_corpus and self.topics_from != "train":
            raise ConfigError("Give topic_corpus or topics_from, not both: each says which texts.")
        return self


class HeadsConfig(FeatureConfig, ContrastConfig):
    """The fusion network's two heads, of pictures and of texts, and what they read."""

    image_levels: ImageLevels = SMALL
    mirror: bool = True
    text_encoder: str = "minilm-l6"
    text_levels: Levels = ("layer3", "layer4", "layer5", "layer6")

    fusion_dim: Annotated[int, Field(ge=1, le=1024)] = 384
    hidden: Annotated[int, Field(ge=1)] = 1024
    dropout: Share = 0.6
    input_dropout: Share = 0.4
    image_ridge: Annotated[float, Field(gt=0)] = 2.0
    text_ridge: Annotated[float, Field(gt=0)] = 0.1


class FusionConfig(HeadsConfig):
    """Everything that decides a fusion matcher, with the values that ``visita-small`` has.

    Chosen on Flickr8k dev; the experiments are in ``docs/notebook.md``. The level
    ``classes``, if any, feeds only the class-name kernel.

    Examples
    --------
    >>> visita.FusionConfig(epochs=2).dim
    512
    >>> visita.FusionConfig(epoch=2)
    Traceback (most recent call last):
    visita.errors.ConfigError: Unknown setting 'epoch'. Did you mean 'epochs'? ...
    """

    trained_by: ClassVar[str] = "visita.training.vectors:train_vectors"

    dim: Annotated[int, Field(ge=1, le=1024)] = 512
    """Width of a picture's vector, all kernels together."""
    class_names_weight: Share = 0.15
    """beta of the class-name kernel; 0 leaves it out."""

    loss: Annotated[str, _known(LOSSES)] = "info-nce"
    """A name of ``LOSSES``; ``hinge`` is the multi-level fusion paper's, with one random negative a
    text."""
    margin: Annotated[float, Field(ge=0)] = 0.5
    """Of the hinge."""

    keywords_per_image: Annotated[int, Field(ge=0)] = 2
    """Texts of one to three words drawn from each training image's captions."""
    keyword_weight: Annotated[float, Field(ge=0)] = 0.1
    """How much their loss counts beside the captions'."""
    neighbours: Annotated[int, Field(ge=0)] = NEIGHBOURS
    """Of local scaling, in a bank of training pairs; 0, or no gain on dev, leaves it out."""


class PaperConfig(FeatureConfig):
    """The multi-level fusion paper's network and training, with the values that it prints.

    It leaves out the batch, the number of epochs and how one is chosen: those are ours.

    Examples
    --------
    >>> visita.PaperConfig().image_levels
    {'inception-v3': ('mixed9', 'fc')}
    """

    trained_by: ClassVar[str] = "visita.training.vectors:train_vectors"

    image_levels: ImageLevels = INCEPTION
    mirror: bool = False
    text_encoder: str = "lsa"
    text_levels: Levels = ("topics",)

    epochs: Annotated[int, Field(ge=0)] = 10
    batch: Annotated[int, Field(ge=2)] = 200
    """Images a step, each with all its texts."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    standardise: bool = False
    """Give every feature mean 0 and variance 1 on the training images. It is ours: levels
    that do not end in an activation are of very different sizes and saturate the sigmoid."""
    hidden: Annotated[int, Field(ge=1)] = 2048
    hidden_activation: Literal["sigmoid", "none"] = "sigmoid"
    output_activation: Literal["tanh", "none"] = "tanh"
    margin: Annotated[float, Field(ge=0)] = 0.5
    l2: Annotated[float, Field(ge=0)] = 5e-4
    """What the sum of all squared weights counts in the loss."""


class EndToEndConfig(HeadsConfig):
    """Training an image encoder on pairs through fusion heads on its levels, from the pixels.

    The heads begin in closed form and learn alone at first, on features of the untrained encoder.
    In ``image_levels`` is the one encoder that is trained. Its level ``classes``, if it has one,
    feeds no head.

    Examples
    --------
    >>> visita.EndToEndConfig(sizes=[160, 224]).stochastic_depth
    0.1
    """

    head_epochs: Annotated[int, Field(ge=0)] = 4
    """Of the heads alone."""
    epochs: Annotated[int, Field(ge=0)] = 16
    """Of encoder and heads together."""
    patience: Annotated[int, Field(ge=1)] = 16
    """Epochs without a better dev score before training stops. Small pictures, which come first,
    make dev worse for a while, and a rate that falls to 0 makes the last epochs the best."""
    batch: Annotated[int, Field(ge=2)] = 128
    """Pictures a step that go through the encoder."""
    bank: Annotated[int, Field(ge=0)] = 896
    """Others a step, whose levels are those of their last visit (cross-batch memory, Wang et al.,
    2020)."""
    sizes: tuple[Annotated[int, Field(ge=32)], ...] = ()
    """Pixels a side of the pictures, spread evenly over the epochs (progressive resizing), as in
    [160, 192, 224]; without, they grow to the encoder's own, where it reads others than that."""
    encoder_learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    """Of the last layer; ``learning_rate`` is that of the heads."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 0.92
    """What the rate of each layer is of that of the next."""
    frozen: Share = 0.2
    """Share of the layers, the first ones, that are not learnt."""
    stochastic_depth: Share = 0.1
    """How often the last layer is left out of a picture's way (Huang et al., 2016)."""
    distillation: Annotated[float, Field(ge=0)] = 0.5
    """Weight of keeping the class probabilities of the untrained encoder, where it gives any
    (learning without forgetting, Li & Hoiem, 2016)."""
    averaging: Share = 0.99
    """Decay of the running mean of the weights, which is what is kept; 0 keeps the last."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it is trained: "auto" is the GPU where torch finds one."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 is mixed: the weights stay float32."""

    @model_validator(mode="after")
    def _refuse_what_heads_cannot_read(self) -> Self:
        if len(self.image_levels) > 1:
            raise ConfigError("Encoders are trained one by one: name one in image_levels.")
        if not self.pooled()[1]:
            raise ConfigError("The heads need at least one image level besides 'classes'.")
        return self

    def pooled(self) -> tuple[str, Levels]:
        """Return the encoder, and the levels that the heads read."""
        [(encoder, levels)] = self.image_levels.items()
        return encoder, tuple(level for level in levels if level != CLASSES)


def __dir__() -> list[str]:
    return sorted(__all__)
