"""What a pretrained model consists of, and where those of one kind come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from visita.errors import ConfigError, VisitaError
from visita.features.adapters.libraries import Library, LibraryEncoder
from visita.features.adapters.preparation import Preparation
from visita.features.pretrained.tokens import Reading

T = TypeVar("T")


@dataclass(frozen=True)
class Model:
    """A model in torch, in evaluation mode and float32.

    Attributes
    ----------
    pictures : PictureTower or None
    preparation : Preparation or None
        None where it reads texts only.
    texts : DualText, BertText or SentenceText
    layers : tuple of int
        How many a text runs through, and their width.
    width : int
        Of the vectors.
    pairs : PairHead or None
        What looks at a picture and a text together.
    threshold : float or None
        Cosine at which the model itself takes a pair for a match.
    """

    pictures: Any
    preparation: Preparation | None
    texts: Any
    layers: tuple[int, int]
    width: int
    pairs: Any = None
    threshold: float | None = None


@dataclass(frozen=True)
class Family:
    """Pretrained models of one kind, built by transformers.

    Attributes
    ----------
    name : str
        What comes before the colon, as in ``clip:NAME``.
    fetch : callable
        NAME → its files, downloaded where they are not there.
    build : callable
        NAME and files → the model.
    tokenizer : callable
        NAME, files and where a tokenizer may be written → how its texts become ids.
    languages : callable
        Files → the languages of the texts it was trained on, as ``TextEncoder`` has them.
    """

    name: str
    fetch: Callable[[str], Sequence[Path]]
    build: Callable[[str, Sequence[Path]], Model]
    tokenizer: Callable[[str, Sequence[Path], Path], Reading]
    languages: Callable[[Sequence[Path]], Sequence[str] | None] = lambda _: ("en",)

    @property
    def library(self) -> Library:
        """The family's image encoders."""
        return Library(self.name, self.fetch, self._picture_side, "transformers")

    def pictures(self, model: str) -> LibraryEncoder:
        """Return the image encoder of a model."""
        return LibraryEncoder(self.library, model)

    def _picture_side(self, model: str, files: Sequence[Path]) -> tuple[Any, Preparation]:
        read = self.read(model, files)
        assert read.preparation is not None  # the families of image encoders all have one
        return read.pictures, read.preparation

    def read(self, model: str, files: Sequence[Path]) -> Model:
        """Return a model from its files.

        Raises
        ------
        ConfigError
            If they hold no model of this family.
        """
        return self._sound(model, lambda: self.build(model, files))

    def reading(self, model: str, files: Sequence[Path], place: Path) -> Reading:
        """Return how the texts of a model become ids.

        Raises
        ------
        ConfigError
            If the files hold no tokenizer of this family.
        """
        return self._sound(model, lambda: self.tokenizer(model, files, place))

    def spoken(self, model: str, files: Sequence[Path]) -> Sequence[str] | None:
        """Return the languages of a model.

        Raises
        ------
        ConfigError
            If what says so is damaged.
        """
        return self._sound(model, lambda: self.languages(files))

    def _sound(self, model: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except VisitaError:
            raise
        except Exception as error:  # whatever transformers finds wrong with the files
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ConfigError(f"{self.name}:{model} cannot be loaded: {reason}") from error
