"""A family of pretrained models: where their files are, and how a library reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from visita.encoders.library.networks import AnyPreparation, Library, LibraryEncoder
from visita.encoders.pretrained.model import Model
from visita.encoders.pretrained.text import VECTOR, PretrainedText
from visita.encoders.pretrained.tokens import Reading
from visita.errors import ConfigError, VisitaError

Languages = Callable[[Sequence[Path]], Sequence[str] | None]
T = TypeVar("T")


@dataclass(frozen=True)
class Family:
    """Pretrained models of one kind, built by a library.

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
    package : str
        The library, on PyPI.
    """

    name: str
    fetch: Callable[[str], Sequence[Path]]
    build: Callable[[str, Sequence[Path]], Model]
    tokenizer: Callable[[str, Sequence[Path], Path], Reading]
    languages: Languages = lambda _: ("en",)
    package: str = "transformers"

    @property
    def library(self) -> Library:
        """The family's image encoders."""
        return Library(self.name, self.fetch, self._picture_side, self.package)

    def pictures(self, model: str) -> LibraryEncoder:
        """Return the image encoder of a model."""
        return LibraryEncoder(self.library, model)

    def texts(self, model: str, levels: Sequence[str] = (VECTOR,)) -> PretrainedText:
        """Return the text encoder of a model."""
        return PretrainedText(self, model, levels)

    def _picture_side(self, model: str, files: Sequence[Path]) -> tuple[Any, AnyPreparation]:
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
        except Exception as error:  # whatever the library finds wrong with the files
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ConfigError(f"{self.name}:{model} cannot be loaded: {reason}") from error
