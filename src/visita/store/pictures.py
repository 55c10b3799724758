"""From picture files to features: decoding and the networks, side by side on every core.

For one encoder a file is decoded in one way, wherever it comes from: ``encode`` and
``encode_pictures`` both ask ``read``.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from visita.arguments import check_levels, expect
from visita.data import photographs
from visita.data.decode import REDUCED, decode, decoding, to_rgb
from visita.encoders.contract import Computed, EncodedBatch, Mirroring
from visita.encoders.engine import BuiltNetwork, Int8, Runner, cores
from visita.encoders.export import CachedNetwork
from visita.encoders.post_training import Batch
from visita.encoders.precision import FLOAT32, INT8
from visita.encoders.quantize import Activations, known_activations, quantize
from visita.encoders.table import IMAGE_ENCODERS
from visita.errors import ConfigError, PassingError, PictureError
from visita.types import FloatArray, ImageEncoder, Recipe, Skipped, is_grid

CHUNK = 4
"""Pictures a network call: more would leave the processor's cache, fewer waste its width."""
BATCH = 64
"""Pictures an ``EncodedBatch``, which is what a kill can cost."""
PICTURE = (Image.Image, str, os.PathLike)
TAKEN = "A picture is a PIL image (of an array: Image.fromarray) or a path"
Item = tuple[str, Path]
Prepared = list[NDArray[np.uint8]]
"""One picture as each network of a recipe reads it, (side, side, 3) each."""


class RecipeEncoder:
    """Computes the columns of one recipe; a ``PictureEncoder``.

    Raises
    ------
    ConfigError
        If the recipe has no encoder, or no level of one.
    UnknownNameError
        If the recipe names an encoder or a level that does not exist.
    """

    def __init__(self, recipe: Recipe) -> None:
        if not recipe.levels or not all(recipe.levels.values()):
            raise ConfigError("A recipe needs at least one level of each of its encoders.")
        self.recipe = recipe
        encoders = {name: IMAGE_ENCODERS.load(name)() for name in recipe.levels}
        for name, encoder in encoders.items():
            if encoder.name != name:
                raise ConfigError(
                    f"The image encoder {name!r} calls itself {encoder.name!r}: its name has to be "
                    "that of its row or entry point."
                )
        self._networks = [_Network(encoders[name], recipe.levels[name]) for name in encoders]

    def __reduce__(self) -> tuple[type[RecipeEncoder], tuple[Recipe]]:
        return RecipeEncoder, (self.recipe,)  # another process loads the networks itself

    def facts(self) -> Mapping[str, Any]:
        """Return the encoders' fingerprints, how they run and how pictures are decoded for them."""
        return {
            "encoders": {n.encoder.name: n.encoder.fingerprint() for n in self._networks},
            "precision": {n.encoder.name: n.precision for n in self._networks},
            "decoding": {
                n.encoder.name: f"not below {REDUCED}" if n.encoder.reduced else "whole"
                for n in self._networks
            },
        }

    def columns(self) -> Mapping[str, int | tuple[int, ...]]:
        """Return each column's shape a picture, in the recipe's order; loads no network."""
        return {
            f"{network.encoder.name}/{level}{view}": shape[0] if len(shape) == 1 else shape
            for network in self._networks
            for view in self.recipe.views()
            for level, shape in network.shapes.items()
            if not (view and is_grid(level))
        }

    def encode(self, items: Iterable[Item]) -> Iterator[EncodedBatch]:
        """Encode ``(key, file)`` pairs in order; what cannot be decoded is in ``skipped``.

        Chunks run in one thread a core, each decoding and computing in turn, so decoding
        overlaps computing; of each picture only what the networks read is kept.
        """
        for network in self._networks:
            network.start()
        done: list[EncodedBatch] = []
        for chunk in _in_threads(self._encode_chunk, _chunks(items, CHUNK)):
            done.append(chunk)
            if sum(len(c.keys) + len(c.skipped) for c in done) >= BATCH:
                yield _joined(done)
                done = []
        if done:
            yield _joined(done)

    def encode_pictures(
        self, pictures: Sequence[Image.Image | str | Path]
    ) -> dict[str, FloatArray]:
        """Return every column for pictures, one row each; files are decoded as in ``encode``.

        Raises
        ------
        PictureError
            If a file cannot be decoded; the message names it.
        """
        return self._columns([self._from_anywhere(picture) for picture in pictures])

    def open(self, picture: Image.Image | str | Path) -> Image.Image:
        """Return a picture in RGB; a file as its networks read it, whole if one of them does so.

        Raises
        ------
        PictureError
            If the file cannot be decoded; the message names it.
        TypeError
            If it is neither a PIL image nor a path.
        """
        expect(picture, PICTURE, TAKEN)
        if isinstance(picture, Image.Image):
            return to_rgb(picture)
        try:
            return decode(Path(picture), reduced=all(n.encoder.reduced for n in self._networks))
        except PictureError as error:
            raise type(error)(f"{picture}: {error}") from error

    def read(self, item: Item, *, reduced: bool) -> AbstractContextManager[Image.Image]:
        """Lend the picture of one ``(key, file)`` in RGB; see ``decoding``.

        Raises
        ------
        PictureError
            If it cannot be decoded.
        """
        _, path = item
        return decoding(path, reduced=reduced)

    def _encode_chunk(self, chunk: list[Item]) -> EncodedBatch:
        keys, pictures, skipped = [], [], []
        for item in chunk:
            key, _ = item
            try:
                pictures.append(self._from_file(item))
                keys.append(key)
            except PictureError as error:
                skipped.append(Skipped(key, str(error), isinstance(error, PassingError)))
        return EncodedBatch(keys, self._columns(pictures) if keys else {}, skipped)

    def _from_anywhere(self, picture: Image.Image | str | Path) -> Prepared:
        expect(picture, PICTURE, TAKEN)
        if isinstance(picture, Image.Image):
            return [network.encoder.prepare(to_rgb(picture)) for network in self._networks]
        try:
            return self._from_file((str(picture), Path(picture)))
        except PictureError as error:
            raise type(error)(f"{picture}: {error}") from error

    def _from_file(self, item: Item) -> Prepared:
        prepared: dict[str, NDArray[np.uint8]] = {}
        for way in {network.encoder.reduced for network in self._networks}:
            with self.read(item, reduced=way) as picture:
                for encoder in (n.encoder for n in self._networks if n.encoder.reduced == way):
                    prepared[encoder.name] = encoder.prepare(picture)
        return [prepared[network.encoder.name] for network in self._networks]

    def _columns(self, pictures: Sequence[Prepared]) -> dict[str, FloatArray]:
        columns: dict[str, FloatArray] = {}
        for network, plain in zip(self._networks, zip(*pictures, strict=True), strict=True):
            columns |= network(np.stack(plain), self.recipe.views())
        return columns


@dataclass
class _Network:
    encoder: ImageEncoder
    levels: tuple[str, ...]
    runner: Runner | None = None
    shapes: dict[str, tuple[int, ...]] = field(init=False)
    activations: Activations | None = field(init=False)

    def __post_init__(self) -> None:
        shapes = self.encoder.level_shapes()
        check_levels(self.encoder.name, self.levels, shapes)
        self.shapes = {level: shapes[level] for level in self.levels}
        own: Activations | None = getattr(self.encoder, "activations", None)
        self.activations = own or known_activations(self.encoder.name)

    @property
    def precision(self) -> str:
        """What this machine computes it in; features of one are never kept among another's."""
        if isinstance(self.encoder, Computed):
            return FLOAT32
        if self._built is None:
            return self._exported.precision()
        if self._built.precision() == FLOAT32:
            return FLOAT32
        return f"{INT8} {self.activations.fingerprint()}" if self.activations else INT8

    @cached_property
    def _facts(self) -> dict[str, Any]:
        return {"weights": self.encoder.fingerprint(), "levels": list(self.levels)}

    @cached_property
    def _built(self) -> BuiltNetwork | None:
        graph = getattr(self.encoder, "graph", None)
        if graph is None:
            return None
        measured, int8 = self.activations, None
        if measured:
            examples = partial(_examples, self.encoder.side)
            int8 = Int8(partial(quantize, activations=measured), examples)
        facts = {**self._facts, "int8": measured.fingerprint() if measured else None}
        module = partial(self.encoder.network, self.levels)
        return BuiltNetwork(
            self.encoder.name, facts, partial(graph, self.levels), module, int8, cores()
        )

    @cached_property
    def _exported(self) -> CachedNetwork:
        side = self.encoder.side
        return CachedNetwork(
            self.encoder.name,
            self._facts,
            partial(self.encoder.network, self.levels),
            partial(_examples, side),
            [(-1, side, side, 3)],
            streams=cores(),
            samples=self._photographs if photographs.are_here() else None,
        )

    def _photographs(self) -> tuple[list[Batch], list[Batch]]:
        seen, held_out = (
            [self.encoder.prepare(crop) for crop in photographs.crops(names)]
            for names in (photographs.SEEN, photographs.HELD_OUT)
        )
        return _batches(seen), _batches(held_out)

    def start(self) -> Runner:
        if self.runner is None:
            self.runner = self._start()
        return self.runner

    def _start(self) -> Runner:
        if isinstance(self.encoder, Computed):
            return self.encoder.runner(self.levels)
        return (self._built or self._exported).runner()

    def __call__(self, plain: NDArray[np.uint8], views: tuple[str, ...]) -> dict[str, FloatArray]:
        columns = {}
        for view in views:
            pixels = self._mirrored(plain) if view == "@mirror" else plain
            for level, values in zip(self.levels, self.start()(pixels), strict=True):
                if not (view and is_grid(level)):
                    columns[f"{self.encoder.name}/{level}{view}"] = values
        return columns

    def _mirrored(self, plain: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if isinstance(self.encoder, Mirroring):
            return self.encoder.mirrored(plain)
        return np.ascontiguousarray(plain[:, :, ::-1])


def _examples(side: int) -> list[NDArray[np.uint8]]:
    # Smooth blobs: nearer to photographs than white noise, which suits no network.
    coarse = np.random.default_rng(0).integers(0, 256, (CHUNK, 8, 8, 3), dtype=np.uint8)
    size = (side, side)
    return [np.stack([np.asarray(Image.fromarray(c).resize(size)) for c in coarse])]


def _batches(pictures: Sequence[NDArray[np.uint8]]) -> list[Batch]:
    return [[np.stack(pictures[at : at + CHUNK])] for at in range(0, len(pictures), CHUNK)]


def _chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    source = iter(items)
    while chunk := list(islice(source, size)):
        yield chunk


def _in_threads(
    work: Callable[[list[Item]], EncodedBatch], jobs: Iterable[list[Item]]
) -> Iterator[EncodedBatch]:
    """Yield ``work(job)`` in order; jobs are read only here and only a few ahead."""
    waiting: deque[Future[EncodedBatch]] = deque()
    pool = ThreadPoolExecutor(cores())
    try:
        for job in jobs:
            waiting.append(pool.submit(work, job))
            if len(waiting) > 2 * cores():
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _joined(parts: list[EncodedBatch]) -> EncodedBatch:
    full = [part for part in parts if part.keys]
    names = full[0].columns if full else {}
    return EncodedBatch(
        [key for part in parts for key in part.keys],
        {name: np.concatenate([part.columns[name] for part in full]) for name in names},
        [problem for part in parts for problem in part.skipped],
    )
