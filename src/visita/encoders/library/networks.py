"""Networks from other libraries as image encoders: any model by name, any layer as a level.

A ``Library`` says where a model's files are and how the network is built from them. What
follows from the files (levels, preparation, hashes) is worked out once, with the network, and
kept in the cache for as long as they stay the same: opening a matcher imports no library.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy import uint8
from numpy.typing import NDArray
from PIL.Image import Image, Resampling

from visita.arguments import check_levels
from visita.artifact import fingerprint_of, read_sealed, sha256_of, write_sealed
from visita.encoders.library.patches import PatchPreparation
from visita.errors import ArtifactError, ConfigError, MissingExtraError, VisitaError
from visita.home import cache_home

LONGEST = 16
"""Where a picture is longer than this many times its width, its ends are cut off first: the
libraries would make a picture of gigabytes of it, only to keep the middle."""


@dataclass(frozen=True)
class Preparation:
    """Resize, crop the centre, scale and normalise, as the library that has the network does.

    Attributes
    ----------
    side : int
        Pixels a side of the square input.
    resize : int
        Pixels of the shorter edge after resizing, at least ``side``.
    squash : bool
        Resize both edges to ``resize`` and give up the shape, instead of the shorter one.
    resample : str
        Name of Pillow's filter, such as "BICUBIC".
    mean, std : three floats each
        Of red, green and blue, after dividing by ``divisor``.
    rounds_crop : bool
        Half a pixel of margin is rounded (torchvision) or cut off (transformers).
    divisor : float
        What makes 0 … 255 the network's scale.
    """

    side: int
    resize: int
    squash: bool
    resample: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    rounds_crop: bool
    divisor: float = 255.0

    def mirrored(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return pictures that were prepared, uint8 (b, side, side, 3), mirrored."""
        return np.ascontiguousarray(pixels[:, :, ::-1])

    def __call__(self, picture: Image) -> NDArray[np.uint8]:
        """Return the RGB picture as uint8 (side, side, 3)."""
        if not self.squash:
            picture = _shortened(picture)
        size = self._resized(*picture.size)
        if picture.size != size:
            picture = picture.resize(size, Resampling[self.resample])
        left, top = (self._margin(edge) for edge in size)
        return np.asarray(
            picture.crop((left, top, left + self.side, top + self.side)), dtype=np.uint8
        )

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        if self.squash:
            return self.resize, self.resize
        shorter = min(width, height)
        return int(self.resize * width / shorter), int(self.resize * height / shorter)

    def _margin(self, edge: int) -> int:
        spare = edge - self.side
        return round(spare / 2) if self.rounds_crop else spare // 2


def _shortened(picture: Image) -> Image:
    width, height = picture.size
    longest = LONGEST * min(width, height)
    left, top = (max(0, edge - longest) // 2 for edge in (width, height))
    return picture.crop((left, top, width - left, height - top)) if left or top else picture


AnyPreparation = Preparation | PatchPreparation
MODULES = {"open_clip_torch": "open_clip"}
"""Of the libraries that PyPI knows by another name."""
FORMAT = 3
"""Raised when what is kept of a model, or what a level means, changes."""


@dataclass(frozen=True)
class Library:
    """Where image networks come from.

    Attributes
    ----------
    name : str
        Of the family of encoders, and of the library unless ``package`` says otherwise.
    fetch : callable
        Model → its files (weights and whatever else decides the network), downloaded if
        they are not there.
    build : callable
        Model and files → the torch module, in evaluation mode and float32, that maps
        (b, 3, side, side) to anything, and the preparation of its input. No downloads.
    package : str
        The library, and the extra that installs it.
    """

    name: str
    fetch: Callable[[str], Sequence[Path]]
    build: Callable[[str, Sequence[Path]], tuple[Any, AnyPreparation]]
    package: str = ""

    def facts_file(self, model: str, what: str = "pictures") -> Path:
        """Return where the cache keeps what follows from the files of a model.

        Raises
        ------
        MissingExtraError
            If the library is not installed.
        """
        local = Path(model.partition("@")[0]).exists()
        place = str(Path(model).resolve()) if local else model
        installed = installed_version(self.package or self.name, self.name)
        key = fingerprint_of([FORMAT, self.name, installed, place, what])
        return cache_home() / "encoders" / f"{self.name}-{key}.json"


class LibraryEncoder:
    """One model of a library as an ``ImageEncoder``.

    Its levels are described in ``layers`` and ``pooling``, beside this file.
    """

    reduced = False

    def __init__(self, library: Library, model: str) -> None:
        self.name = f"{library.name}:{model}"
        self._library = library
        self._model = model

    @property
    def side(self) -> int:
        """Pixels a side of the square input."""
        return self._preparation.side

    def level_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Map each level's name to its shape a picture: (d,) pooled, (cells, d) for a grid."""
        return {level: tuple(shape) for level, shape in self._facts["levels"].items()}

    def fingerprint(self) -> str:
        """Return a hash over the files (weights, configuration) and the preparation."""
        digests = [file["sha256"] for file in self._facts["files"].values()]
        return fingerprint_of([self._library.name, sorted(digests), self._facts["preparation"]])

    def prepare(self, picture: Image) -> NDArray[uint8]:
        """Return the RGB picture as the library would prepare it, uint8 (side, side, 3)."""
        return self._preparation(picture)

    def mirrored(self, pixels: NDArray[uint8]) -> NDArray[uint8]:
        """Return pictures that were prepared, uint8 (b, side, side, 3), mirrored."""
        return self._preparation.mirrored(pixels)

    def network(self, levels: Sequence[str]) -> Any:
        """Return a torch module: uint8 (b, side, side, 3) → a tuple with one tensor a level.

        Raises
        ------
        UnknownNameError
            If a level does not exist.
        """
        check_levels(self.name, levels, self.level_shapes())
        from visita.encoders.library.layers import LayerNetwork  # noqa: PLC0415 - needs torch

        network, preparation = self._built([Path(file) for file in self._facts["files"]])
        return LayerNetwork(network, preparation, levels).eval()

    def _built(self, files: Sequence[Path]) -> tuple[Any, AnyPreparation]:
        try:
            return self._library.build(self._model, files)
        except VisitaError:
            raise
        except Exception as error:  # whatever the library finds wrong with model or files
            raise ConfigError(
                f"{self._library.name} cannot load {self._model}: {_reason(error)}"
            ) from error

    @cached_property
    def _preparation(self) -> AnyPreparation:
        facts = self._facts["preparation"]
        return PatchPreparation(**facts) if "patch" in facts else Preparation(**facts)

    @cached_property
    def _facts(self) -> dict[str, Any]:
        return kept_facts(self._library.facts_file(self._model), self._work_out)

    def _work_out(self) -> dict[str, Any]:
        files = self._library.fetch(self._model)
        network, preparation = self._built(files)
        from visita.encoders.library.layers import level_shapes  # noqa: PLC0415 - needs torch

        return {
            "encoder": self.name,
            "files": described(files),
            "preparation": asdict(preparation),
            "levels": level_shapes(network, preparation),
        }


def kept_facts(path: Path, work_out: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what follows from files, worked out again only when one of them has changed.

    Its ``files`` are what ``described`` says of them.
    """
    try:
        facts = read_sealed(path)
        if all(
            _stamp(Path(file)) == file_facts["stamp"] for file, file_facts in facts["files"].items()
        ):
            return facts
    except (ArtifactError, OSError):
        pass  # not worked out yet, or for files that are gone
    facts = work_out()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_sealed(path, facts)
    return facts


def described(files: Sequence[Path]) -> dict[str, Any]:
    """Return the hash of each file, and what tells that it is still the same."""
    return {str(f.absolute()): {"stamp": _stamp(f), "sha256": sha256_of(f)} for f in files}


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def installed_version(library: str, family: str = "") -> str:
    """Return the version of an optional library, for a family of encoders, without importing it.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        return version(library)
    except PackageNotFoundError as error:
        extra = MODULES.get(library, library).replace("_", "-")
        raise MissingExtraError(f"{family or extra}:NAME", extra) from error


def imported(library: str) -> Any:
    """Import an optional library.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    ConfigError
        If it is, but does not import.
    """
    installed_version(library)
    try:
        if find_spec("torchvision"):  # which the others import
            _import_torchvision()
        return import_module(MODULES.get(library, library))
    except Exception as error:  # a torchvision built for another torch may raise anything
        raise ConfigError(
            f"{library} {version(library)} does not import ({_reason(error)}). torchvision, and "
            "what needs it, only does beside the torch that it was built with: install such a pair."
        ) from error


@cache
def _import_torchvision() -> Any:
    """Import torchvision, also where its compiled operators do not load.

    Those on PyPI are compiled for a torch with CUDA. Beside one for processors alone torchvision
    does not import, nor then timm, open_clip and transformers, unless the operators that it
    states the shapes of are declared. No network that is read here computes one of them.
    """
    try:
        return import_module("torchvision")
    except RuntimeError:
        operators: Any = import_module("torch.library").Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return import_module("torchvision"), operators  # which are gone with this object
