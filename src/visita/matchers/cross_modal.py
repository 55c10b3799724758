"""A re-ranker: MKL-VisITA's network, which looks at words and cells of a few pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, Self, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from visita.artifact import Manifest, Name, Width, read_arrays, write_arrays
from visita.brief import Brief
from visita.encoders.contract import cell_count
from visita.encoders.engine import BuiltNetwork, Runner, cores
from visita.encoders.export import cached_runner
from visita.encoders.fitted import install_fitted, save_fitted
from visita.encoders.openvino import ov
from visita.encoders.table import TEXT_ENCODERS
from visita.encoders.vocabulary import Vocabulary
from visita.encoders.weights import restored
from visita.errors import ArtifactError, MismatchError
from visita.matchers.base import Kept, SavedRecipe, digests, needed
from visita.matchers.embed import (
    IMAGES,
    WEIGHTS,
    check_encoders,
    encoder_fingerprints,
    level_shapes,
)
from visita.matchers.network import checked, network_of, suited
from visita.networks import PAIR_GRAPHS, PAIR_NETWORKS
from visita.networks.kernel_functions import kernel_shares
from visita.types import FloatArray, Recipe, TokenEncoder

VOCABULARY = "vocabulary.json"
RULES = "kernels-2"
"""How scores are made; weights that were learnt by other rules are refused."""
ROWS = 256
"""Pictures a call of the graph; bounds the memory of packing millions."""


class SavedNetwork(BaseModel):
    """The arguments of a network; what only one has, that one checks when it is built."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    name: Name | None = None
    packed: tuple[Width, Width, Width] | None = None
    cells: Width
    grid_features: Width
    dim: Width | None = None
    levels: list[Name] | None = None
    kernels: list[Name] | None = None
    text: dict[str, Any] = {}

    @model_validator(mode="after")
    def _packs(self) -> Self:
        if self.packed is None and self.dim is None:
            raise ValueError("dim is missing")
        return self


class SavedReranker(Manifest):
    """The manifest of a ``CrossModalReranker``."""

    recipe: SavedRecipe
    text_encoder: Name
    text_levels: Annotated[tuple[Name, ...], Field(min_length=1)]
    network: SavedNetwork
    encoders: dict[Name, Name]
    rules: Name
    fingerprint: Name


@dataclass(frozen=True, repr=False)
class CrossModalReranker(Brief, Kept):
    """Scores pictures against texts, part by part.

    A picture or a text is packed once, by one of ``PAIR_NETWORKS``: for MKL-VisITA, one row a
    part, its unit vector and then how much it counts; see ``visita.networks.cross_modal``.

    Attributes
    ----------
    recipe : Recipe
        The grids it reads.
    network : mapping
        Arguments of the network, as JSON values. Any but an ``MklVisita`` also has ``name``,
        that in ``PAIR_NETWORKS``, and ``packed``: the rows of a picture, the numbers in each,
        and the numbers in each row of a text.
    tensors : dict of arrays
        Its state, float16 or float32.
    encoders : dict
        Fingerprint of every encoder that the features must come from, the vocabulary's too.
    vocabulary : Vocabulary or None
        What gives the tokens where it was fitted: it travels inside.
    """

    recipe: Recipe
    text_encoder: str
    text_levels: tuple[str, ...]
    network: Mapping[str, Any]
    tensors: Mapping[str, NDArray[Any]]
    encoders: Mapping[str, str]
    vocabulary: Vocabulary | None = None

    kind = "rescorer"
    schema = SavedReranker

    def identity(self) -> list[Any]:
        """Return what its manifest says, and its weights' digests."""
        return [self.stated(), digests(self.tensors)]

    @property
    def _name(self) -> str:
        return str(self.network.get("name", "mkl-visita"))

    def stated(self) -> dict[str, Any]:
        """Return what its manifest says of it."""
        return {
            "recipe": {"levels": dict(self.recipe.levels)},
            "text_encoder": self.text_encoder,
            "text_levels": self.text_levels,
            "network": dict(self.network),
            "encoders": dict(self.encoders),
            "rules": RULES,
        }

    @property
    def packed_shape(self) -> tuple[int, int]:
        """Shape of a packed picture; of MKL-VisITA's (1 + cells, dim + 1)."""
        rows, numbers, _ = self._packed
        return rows, numbers

    @property
    def _packed(self) -> tuple[int, int, int]:
        if "packed" in self.network:
            rows, numbers, of_text = self.network["packed"]
            return rows, numbers, of_text
        numbers = int(self.network["dim"]) + 1
        return 1 + int(self.network["cells"]), numbers, 2 * numbers

    def open_text_encoder(self) -> TokenEncoder:
        """Return the encoder that tokens must come from."""
        if self.vocabulary is not None:
            # It has no vectors of texts, which are the first stage's.
            return cast(TokenEncoder, self.vocabulary)
        encoder: TokenEncoder = TEXT_ENCODERS.load(self.text_encoder)(self.text_levels)
        return encoder

    def pack_images(self, columns: Mapping[str, FloatArray]) -> NDArray[np.float16]:
        """Return packed pictures, float16 (n, *packed_shape), from the recipe's columns.

        Raises
        ------
        MismatchError
            If a column of the recipe is missing.
        """
        needed("The re-ranker", self.recipe, columns)
        grids = stack_grids(columns, self.recipe)
        packed = np.empty((len(grids), *self.packed_shape), np.float16)
        for start in range(0, len(grids), ROWS):
            block = grids[start : start + ROWS].astype(np.float32)
            outputs = checked(self._name, self._image_runner(block)[0], self.packed_shape)
            packed[start : start + ROWS] = outputs
        return packed

    def pack_texts(self, texts: Sequence[str]) -> list[FloatArray]:
        """Return each text packed, float32 (rows, …); MKL-VisITA's (1 + tokens, 2 (dim + 1))."""
        tokens = self._tokens.tokens(texts)
        kind = np.float32 if self.vocabulary is None else np.int64
        *_, of_text = self._packed
        return [
            checked(
                self._name,
                self._text_runner(tokens.values[start:stop][None].astype(kind))[0][0],
                (of_text,),
            )
            for start, stop in zip(tokens.offsets[:-1], tokens.offsets[1:], strict=True)
        ]

    def scores(self, images: NDArray[np.float16], text: FloatArray) -> FloatArray:
        """Return the score of each packed picture, float16 (k, …), with a packed text: (k,)."""
        outputs = self._pair_runner(images.astype(np.float32), text[None])[0]
        return np.asarray(checked(self._name, outputs, (1,))[:, 0], np.float32)

    @property
    def kernel_weights(self) -> dict[str, float]:
        """The weight of each kernel, such as ``words rbf:2``, largest first; their sum is 1."""
        shares = kernel_shares(self.tensors["kernels.logits"])
        names = [
            f"{level} {kernel}"
            for level in self.network["levels"]
            for kernel in self.network["kernels"]
        ]
        weights = zip(names, shares.flatten().tolist(), strict=True)
        return dict(sorted(weights, key=lambda item: -item[1]))

    def torch_network(self) -> Any:
        """Return the torch network with these weights, in evaluation mode."""
        arguments = {k: v for k, v in self.network.items() if k not in ("name", "packed")}
        build = partial(PAIR_NETWORKS.load(self._name), **arguments)
        return network_of(self._name, build, restored(self.tensors))

    @cached_property
    def _tokens(self) -> TokenEncoder:
        return self.open_text_encoder()

    @cached_property
    def _image_runner(self) -> Runner:
        shape = (self.network["cells"], self.network["grid_features"])
        return self._runner("PictureParts", [(-1, *shape)], [_example(3, *shape)])

    @cached_property
    def _text_runner(self) -> Runner:
        if self.vocabulary is not None:
            numbers = np.arange(min(5, self.vocabulary.longest))[None] % len(self.vocabulary)
            return self._runner("TextParts", [(1, -1)], [numbers])
        features = self.network["text"]["features"]
        return self._runner("TextParts", [(1, -1, features)], [_example(1, 5, features)])

    @cached_property
    def _pair_runner(self) -> Runner:
        parts, width, of_text = self._packed
        shapes: list[tuple[int, ...]] = [(-1, parts, width), (1, -1, of_text)]
        # As many rows of a text as the one network reads that has a fixed number of them.
        examples = [_example(3, parts, width), _example(1, 30, of_text)]
        return self._runner("PairScores", shapes, examples)

    def _runner(
        self, part: str, shapes: list[tuple[int, ...]], examples: list[NDArray[Any]]
    ) -> Runner:
        name, module = f"{self._name}-{part}", partial(self._part, part)
        facts = {"rescorer": self.fingerprint(), "part": part}
        if self._name not in PAIR_GRAPHS:
            return cached_runner(name, facts, module, lambda: examples, shapes, streams=cores())

        def graph() -> ov.Model:
            model: ov.Model = PAIR_GRAPHS.load(self._name)[part](
                self.network, restored(self.tensors)
            )
            return model

        built = BuiltNetwork(name, facts, partial(suited, name, graph), module, streams=cores())
        return built.runner()

    def _part(self, part: str) -> Any:
        from visita.networks import cross_modal as mkl_visita  # noqa: PLC0415 - on a GPU, or to export

        return getattr(mkl_visita, part)(self.torch_network()).eval()

    def write(self, draft: Path) -> None:
        """Write weights and what was fitted."""
        write_arrays(draft / WEIGHTS, self.tensors)
        if self.vocabulary is not None:
            self.vocabulary.save(draft / VOCABULARY)
        save_fitted(self.recipe, draft / IMAGES)

    @classmethod
    def read(cls, folder: Path, saved: SavedReranker) -> Self:
        """Return what was saved in ``folder``, where the installed encoders are those it knows."""
        if saved.rules != RULES:
            raise MismatchError(
                f"{folder} scores by the rules {saved.rules}, this visita by {RULES}: "
                "train it again."
            )
        install_fitted(folder / IMAGES)
        fitted = saved.text_encoder == Vocabulary.name
        reranker = cls(
            recipe=saved.recipe.recipe(),
            text_encoder=saved.text_encoder,
            text_levels=saved.text_levels,
            network=saved.network.model_dump(exclude_unset=True),
            tensors=read_arrays(folder / WEIGHTS),
            encoders=saved.encoders,
            vocabulary=Vocabulary.load(folder / VOCABULARY) if fitted else None,
        )
        check_encoders(folder, reranker.encoders, reranker.recipe, reranker.open_text_encoder())
        reranker._check_shapes(folder)
        return reranker

    def _check_shapes(self, folder: Path) -> None:
        """Make sure that the network reads what the encoders give, and is weighed as it should.

        Raises
        ------
        ArtifactError
            If not.
        """
        shapes = level_shapes(self.recipe)
        cells = {shape[0] if len(shape) == 2 else 1 for shape in shapes}
        read = self.network["cells"], self.network["grid_features"]
        if cells != {read[0]} or sum(shape[-1] for shape in shapes) != read[1]:
            raise ArtifactError(f"{folder} reads other grids than those of its encoders.")
        width = self.network.get("text", {}).get("features")
        if self.vocabulary is None and width != self.open_text_encoder().dim:
            raise ArtifactError(f"{folder} reads other tokens than those of its text encoder.")
        if "name" not in self.network:
            levels, kernels = (self.network.get(name) for name in ("levels", "kernels"))
            logits = self.tensors.get("kernels.logits", np.zeros(()))
            if logits.shape != (len(levels or ()), len(kernels or ())):
                raise ArtifactError(f"{folder} has no weight for each of its kernels.")


def stack_grids(columns: Mapping[str, FloatArray], recipe: Recipe) -> NDArray[np.float16]:
    """Return float16 (n, cells, d): the grids of a recipe side by side; a pooled one is one cell.

    Raises
    ------
    ConfigError
        If they have different numbers of cells.
    """
    arrays = {name: np.asarray(columns[name], np.float16) for name in recipe.columns()}
    grids = {name: grid[:, None] if grid.ndim == 2 else grid for name, grid in arrays.items()}
    cell_count({name: grid.shape[1:] for name, grid in grids.items()})
    return np.concatenate(list(grids.values()), axis=2)


def reranker_of(
    network: Any, recipe: Recipe, text: TokenEncoder | Vocabulary
) -> CrossModalReranker:
    """Return a trained pair network as a re-ranker, its weights rounded to half precision."""
    tensors = {k: v.numpy().astype(np.float16) for k, v in network.state_dict().items()}
    return CrossModalReranker(
        recipe=recipe,
        text_encoder=text.name,
        text_levels=text.levels,
        network=network.arguments,
        tensors=tensors,
        encoders=encoder_fingerprints(recipe, cast(TokenEncoder, text)),
        vocabulary=text if isinstance(text, Vocabulary) else None,
    )


def _example(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).random(shape, dtype=np.float32)
