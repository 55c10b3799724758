"""What a killed run goes on from: its state after each epoch, in a folder beside its result."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file, save_file
from torch import Tensor

from visita.artifact import MANIFEST, read_json, read_manifest, write_folder, write_json
from visita.errors import ArtifactError, TrainingError
from visita.features.layout import check_same
from visita.progress import say

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
        """Return what was saved last, None if nothing was, and set ``rng`` to what it was then.

        Raises
        ------
        ArtifactError
            If it is damaged.
        """
        if not (self.folder / MANIFEST).is_file():
            return None
        saved = read_manifest(self.folder, KIND)
        self.rng.bit_generator.state = saved["rng"]
        set_apart(self.rng, self.process)
        return load_file(self.folder / TENSORS), saved["state"]


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
    folder.mkdir(parents=True, exist_ok=True)
    if not any(path.name != RUN for path in folder.iterdir()):
        write_json(folder / RUN, facts)
    elif (folder / RUN).is_file():
        check_same(folder, read_json(folder / RUN), facts)
        say(f"going on with the run in {folder}")
    else:
        raise ArtifactError(f"{folder} holds other files; choose another folder than {out}.")
    try:
        yield folder
    except TrainingError:
        shutil.rmtree(folder)
        raise
    shutil.rmtree(folder)
