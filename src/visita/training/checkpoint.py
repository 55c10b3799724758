"""What a killed run goes on from: its state after each epoch, in a folder beside its result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from visita.artifact import MANIFEST, Manifest, read_manifest, write_folder
from visita.durable import draft_beside, make_folder
from visita.errors import ArtifactError, MismatchError, TrainingError
from visita.jsonfile import read_sealed, write_sealed
from visita.progress import say
from visita.store.layout import check_same

KIND = "checkpoint"
TENSORS = "tensors.safetensors"
RUN = "run.json"


@dataclass(frozen=True)
class Checkpoint:
    """The state of one training: tensors, JSON values and that of the generator ``rng``.

    Attributes
    ----------
    process : int
        Which of those that train together this is: the first alone writes, and each of the
        others draws other numbers from what it reads.
    """

    folder: Path
    rng: np.random.Generator
    process: int = 0

    def save(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Write the state, atomically."""
        if self.process:
            return
        facts = {"state": dict(state), "rng": self.rng.bit_generator.state}
        with write_folder(self.folder, KIND, facts) as draft:
            save_file({k: v.detach().cpu().clone() for k, v in tensors.items()}, draft / TENSORS)

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return what was saved last, and set ``rng`` to what it was then.

        None if nothing was, or it is damaged, of which stderr is told: training makes it again.
        """
        if not (self.folder / MANIFEST).is_file():
            return None
        try:
            saved = read_manifest(self.folder, KIND, SavedCheckpoint)
            tensors = load_file(self.folder / TENSORS)
            if not all(values.isfinite().all() for values in tensors.values()):
                raise ValueError("it holds numbers that are not finite")
            self.rng.bit_generator.state = saved.rng
        except (
            ArtifactError,
            SafetensorError,
            OSError,
            LookupError,
            OverflowError,
            TypeError,
            ValueError,
        ) as error:
            say(f"{self.folder} is damaged, so training starts anew: {error}")
            return None
        set_apart(self.rng, self.process)
        return tensors, saved.state


class SavedCheckpoint(Manifest):
    """The manifest of a ``Checkpoint``."""

    state: dict[str, Any]
    rng: dict[str, Any]


def set_apart(rng: np.random.Generator, process: int) -> None:
    """Make the generator draw what no other process does; the first draws as if it were alone."""
    bits: Any = rng.bit_generator
    if process:
        bits.state = bits.jumped(process).state


def partial_folder(out: Path) -> Path:
    """Return the folder for what a run that makes ``out`` goes on from."""
    return out.with_name(f"{out.name}.partial")


@contextmanager
def resumable(out: Path, facts: Mapping[str, Any]) -> Iterator[Path]:
    """Give the folder ``out.partial`` for what a run is to go on from if it is killed.

    It is deleted when the run ends, or cannot go on.

    Parameters
    ----------
    facts
        What decides the run, as JSON values.

    Raises
    ------
    MismatchError
        If it holds a run of other facts; the message names what differs.
    ArtifactError
        If it holds something else.
    """
    folder = partial_folder(out)
    _begin(folder, out, facts)
    try:
        yield folder
    except TrainingError:
        _discard(folder)
        raise
    _discard(folder)


def _begin(folder: Path, out: Path, facts: Mapping[str, Any]) -> None:
    """Make the folder of a run, or see that it holds one of the same facts."""
    make_folder(folder)
    begun = any(path.name != RUN for path in folder.iterdir())
    if begun and not (folder / RUN).is_file():
        raise ArtifactError(f"{folder} holds other files; choose another folder than {out}.")
    if begun:
        try:
            check_same(folder, read_sealed(folder / RUN), facts)
            say(f"going on with the run in {folder}")
            return
        except MismatchError:
            raise
        except ArtifactError as error:
            say(f"what an interrupted run left is of no use, so it starts anew: {error}")
            _discard(folder)
            make_folder(folder)
    write_sealed(folder / RUN, facts)


def _discard(folder: Path) -> None:
    """Delete a folder in one step, so that a kill never leaves half of a run."""
    with draft_beside(folder) as draft:
        folder.replace(draft / folder.name)
