"""Bags of visual words: SIFT and HOG, as pictures were described before networks.

Sivic & Zisserman, "Video Google" (2003), and Csurka et al. (2004): local descriptors, each
taken for the nearest of k centres found by k-means; a picture is the histogram of its words,
weighted by tf-idf as a text is. ``sift`` has SIFT at the points that its detector finds (Lowe,
2004; by OpenCV), ``hog`` the blocks of 2 x 2 cells of histograms of oriented gradients on a
regular grid (Dalal & Triggs, 2005; by scikit-image), as Xiao et al. (2010) use them.

The centres are fitted on training pictures, so that they travel inside the matcher
(``visita.encoders.fitted``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image, Resampling

from visita.arguments import check_levels
from visita.artifact import (
    Manifest,
    fingerprint_of,
    read_arrays,
    read_manifest,
    write_arrays,
    write_folder,
)
from visita.data.decode import decode
from visita.encoders.engine import Runner
from visita.encoders.fitted import installed
from visita.errors import ArtifactError, DataError, MissingExtraError, PictureError
from visita.progress import bar, report_skipped
from visita.types import FloatArray, Skipped

ARRAYS = "arrays.safetensors"
SIDE = 256
CELL = 8
"""Pixels a cell of HOG."""
PREPROCESSING = "grey, squashed to 256 x 256, bicubic; sift as it detects, hog 2x2 cells of 8, 9"
SAMPLE = 1000
"""Training pictures that centres and idf are fitted on."""
DESCRIPTORS = 100_000
"""Descriptors among which k-means looks."""
Descriptors = NDArray[np.float32]


class VisualWords:
    """An ``ImageEncoder`` fitted on pictures, computed without a network.

    Attributes
    ----------
    centres : dict of float32 (k, d)
        The words of each level, ``sift`` (d = 128) and ``hog`` (d = 36).
    idf : dict of float32 (k,)
        log((1 + n) / (1 + pictures with the word)) + 1 of each level.
    """

    family: ClassVar[str] = "visual-words"
    seen = None
    side = SIDE
    reduced = True

    def __init__(self, centres: Mapping[str, Descriptors], idf: Mapping[str, FloatArray]) -> None:
        self.centres = dict(centres)
        self.idf = dict(idf)

    @property
    def name(self) -> str:
        """What a recipe calls it."""
        return f"{self.family}:{self.fingerprint()}"

    @classmethod
    def fit(cls, paths: Sequence[Path], levels: Sequence[str], words: int, seed: int) -> Self:
        """Find ``words`` words of each of the ``levels`` in pictures, and how rare each is.

        The same pictures and seed give the same words at one thread count.

        Raises
        ------
        DataError
            If the pictures have too few descriptors for so many words.
        MissingExtraError
            If OpenCV or scikit-image is not installed.
        """
        from sklearn.cluster import MiniBatchKMeans  # noqa: PLC0415 - searching does without

        rng = np.random.default_rng(seed)
        drawn = np.sort(rng.permutation(len(paths))[:SAMPLE])
        descriptors = _described([paths[row] for row in drawn], levels)
        centres, idf = {}, {}
        for level, pictures in descriptors.items():
            rows = np.concatenate(pictures) if pictures else np.zeros((0, 1), np.float32)
            if len(rows) < words:
                raise DataError(
                    f"The pictures have {len(rows)} {level} descriptors, too few for "
                    f"words={words}: set it lower or train on more pictures."
                )
            sample = rows[rng.permutation(len(rows))[:DESCRIPTORS]].astype(np.float32)
            means = MiniBatchKMeans(words, random_state=seed, batch_size=4096, n_init=1).fit(sample)
            centres[level] = np.ascontiguousarray(means.cluster_centers_, np.float32)
            counts = [_histogram(picture, centres[level]) > 0 for picture in pictures]
            rarity = np.log((1 + len(counts)) / (1 + np.sum(counts, axis=0))) + 1
            idf[level] = rarity.astype(np.float32)
        return cls(centres, idf)

    def level_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Map each level to (words,): tf-idf of length 1, or zero where nothing was found."""
        return {level: centres.shape[:1] for level, centres in self.centres.items()}

    def fingerprint(self) -> str:
        """Return a hash over words, their weights and the preprocessing."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        arrays = {key: sha256(value.tobytes()).hexdigest() for key, value in self._arrays().items()}
        return fingerprint_of(["visual words", PREPROCESSING, arrays])

    def prepare(self, picture: Image) -> NDArray[np.uint8]:
        """Return the RGB picture squashed to the input square, uint8 (256, 256, 3)."""
        return _squashed(picture)

    def runner(self, levels: Sequence[str]) -> Runner:
        """Return what maps uint8 (b, 256, 256, 3) to float32 (b, words), one a level.

        Raises
        ------
        UnknownNameError
            If a level does not exist.
        """
        check_levels(self.name, levels, self.centres)

        def run(*inputs: NDArray[Any]) -> tuple[FloatArray, ...]:
            return tuple(self._bags(level, inputs[0]) for level in levels)

        return run

    def _bags(self, level: str, pixels: NDArray[np.uint8]) -> FloatArray:
        describe, centres = DESCRIBED_BY[level], self.centres[level]
        counts = [_histogram(describe(_grey(picture)), centres) for picture in pixels]
        rows = np.array(counts, np.float32).reshape(len(pixels), len(centres))
        rows *= self.idf[level]
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.asarray(np.divide(rows, lengths, out=rows, where=lengths > 0))

    def _arrays(self) -> dict[str, FloatArray]:
        return {
            f"{level}/{name}": values[level]
            for level in sorted(self.centres)
            for name, values in (("centres", self.centres), ("idf", self.idf))
        }

    def alone(self) -> VisualWords:
        """Return it as it travels inside a matcher: whole."""
        return self

    def save(self, folder: Path) -> None:
        """Write it as an artifact folder, atomically."""
        with write_folder(folder, self.family, {"preprocessing": PREPROCESSING}) as draft:
            write_arrays(draft / ARRAYS, self._arrays())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read saved words.

        Raises
        ------
        ArtifactError
            If the folder does not hold any, or those of another visita.
        """
        saved = read_manifest(folder, cls.family, SavedWords)
        arrays = read_arrays(folder / ARRAYS)
        levels = {name.partition("/")[0] for name in arrays}
        if saved.preprocessing != PREPROCESSING or not levels <= set(DESCRIBED_BY):
            raise ArtifactError(f"{folder} was fitted by another visita; train again.")
        if not levels or not all(_fit_together(arrays, level) for level in levels):
            raise ArtifactError(f"{folder} holds words and weights that do not suit each other.")
        return cls(
            *({level: arrays[f"{level}/{n}"] for level in levels} for n in ("centres", "idf"))
        )


class SavedWords(Manifest):
    """The manifest of ``VisualWords``."""

    preprocessing: str


def _fit_together(arrays: Mapping[str, NDArray[Any]], level: str) -> bool:
    centres, idf = (arrays.get(f"{level}/{name}", np.zeros(())) for name in ("centres", "idf"))
    return idf.ndim == 1 and idf.size > 0 and centres.shape == (len(idf), WIDTHS[level])


def by_name(fingerprint: str) -> VisualWords:
    """Return the words with that fingerprint, which a matcher brings when it is loaded.

    Raises
    ------
    ArtifactError
        If they were never here.
    """
    return installed(VisualWords, fingerprint)


def sift(grey: NDArray[np.uint8]) -> Descriptors:
    """Return the SIFT descriptors of a grey picture (s, s), float32 (p, 128); p may be 0.

    Raises
    ------
    MissingExtraError
        If OpenCV is not installed.
    """
    try:
        import cv2  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise MissingExtraError("SIFT", "classical") from error
    detector = cv2.SIFT_create()  # type: ignore[attr-defined, unused-ignore]
    _, descriptors = detector.detectAndCompute(grey, None)
    return (
        np.zeros((0, 128), np.float32)
        if descriptors is None
        else np.asarray(descriptors, np.float32)
    )


def hog(grey: NDArray[np.uint8]) -> Descriptors:
    """Return the HOG blocks of a grey picture (s, s), float32 (p, 36).

    Raises
    ------
    MissingExtraError
        If scikit-image is not installed.
    """
    try:
        from skimage import feature  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise MissingExtraError("HOG", "classical") from error
    blocks = feature.hog(
        grey,
        orientations=9,
        pixels_per_cell=(CELL, CELL),
        cells_per_block=(2, 2),
        feature_vector=False,
    )
    return np.asarray(blocks.reshape(-1, 36), np.float32)


WIDTHS = {"sift": 128, "hog": 36}
"""Numbers in a descriptor of each kind."""
DESCRIBED_BY: Mapping[str, Callable[[NDArray[np.uint8]], Descriptors]] = {"sift": sift, "hog": hog}


def _described(
    paths: Sequence[Path], levels: Sequence[str]
) -> dict[str, list[NDArray[np.float16]]]:
    """Return each level's descriptors of every picture that can be read."""
    described: dict[str, list[NDArray[np.float16]]] = {level: [] for level in levels}
    skipped = []
    with bar("visual words", len(paths)) as advance:
        for path in paths:
            try:
                grey = _grey(_squashed(decode(path, reduced=True)))
                for level, descriptors in described.items():
                    descriptors.append(DESCRIBED_BY[level](grey).astype(np.float16))
            except PictureError as error:
                skipped.append(Skipped(str(path), str(error)))
            advance(1)
    report_skipped(skipped)
    return described


def _squashed(picture: Image) -> NDArray[np.uint8]:
    return np.asarray(picture.resize((SIDE, SIDE), Resampling.BICUBIC), dtype=np.uint8)


def _grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the luma (ITU-R 601) of RGB pixels (s, s, 3), uint8 (s, s)."""
    return np.asarray(np.rint(pixels @ np.array([0.299, 0.587, 0.114])), np.uint8)


def _histogram(descriptors: NDArray[Any], centres: Descriptors) -> FloatArray:
    """Return how many descriptors (p, d) are nearest to each centre (k, d), float32 (k,)."""
    rows = descriptors.astype(np.float32)
    nearest = (np.square(centres).sum(1) - 2 * rows @ centres.T).argmin(1)
    return np.bincount(nearest, minlength=len(centres)).astype(np.float32)
