"""A run that stops goes on to the same weights; its state is whole, and its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from visita.errors import ArtifactError, MismatchError, TrainingError
from visita.training.config import LoopConfig
from visita.training.loop import (
    LOWERED,
    RUN,
    TENSORS,
    Checkpoint,
    History,
    fit,
    resumable,
    warm_up_and_cosine,
)

OPTIMIZERS = {
    "sgd": lambda network: torch.optim.SGD(network.parameters(), lr=0.05),
    "momentum": lambda network: torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9),
    "adamw": lambda network: torch.optim.AdamW(network.parameters(), lr=0.05),
}


class StoppedError(Exception):
    """What ends a run half-way."""


class Run:
    """A small training whose every source of chance and memory is in use."""

    def __init__(self, optimizer: str, folder: Path | None, epochs: int = 6) -> None:
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.5), nn.Linear(16, 1))
        self.rng = np.random.default_rng(0)
        self.optimizer = OPTIMIZERS[optimizer](self.network)
        self.folder = folder
        self.epochs = epochs
        self.validated = 0

    def losses(self) -> Iterator[tuple[Tensor, float]]:
        for _ in range(3):
            x = torch.from_numpy(self.rng.normal(size=(8, 4)).astype(np.float32))
            yield (self.network(x) - x.sum(1, keepdim=True)).square().mean(), 1.0

    def validate(self) -> float:
        self.validated += 1
        x = torch.eye(4)
        with torch.inference_mode():
            return -float((self.network(x) - 1).square().mean())

    def fit(self, validate: Callable[[], float] | None = None) -> tuple[dict[str, Tensor], History]:
        history = fit(
            self.network,
            self.losses,
            self.optimizer,
            validate or self.validate,
            LoopConfig(epochs=self.epochs, patience=4),
            lambda step: warm_up_and_cosine(step, 18),
            averaging=0.5,
            plateau=1,
            checkpoint=Checkpoint(self.folder, self.rng) if self.folder else None,
        )
        return self.network.state_dict(), history


def stop_in_epoch(run: Run, epoch: int) -> None:
    def validate() -> float:
        if run.validated == epoch:
            raise StoppedError
        return run.validate()

    with pytest.raises(StoppedError):
        run.fit(validate)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_run_goes_on_to_the_same_bits(optimizer, tmp_path, capfd):
    whole, history = Run(optimizer, None).fit()
    assert len(history.epochs) > 4
    stop_in_epoch(Run(optimizer, tmp_path / "state"), 2)
    stop_in_epoch(again := Run(optimizer, tmp_path / "state"), 2)
    assert again.validated == 2 and "going on after epoch 1\n" in capfd.readouterr().err
    found, same = Run(optimizer, tmp_path / "state").fit()
    assert "going on after epoch 3\n" in capfd.readouterr().err
    assert same == history
    assert all(torch.equal(found[name], whole[name]) for name in whole)


def test_a_run_that_was_over_is_not_trained_further(tmp_path):
    first, history = Run("adamw", tmp_path / "state").fit()
    again = Run("adamw", tmp_path / "state")
    found, same = again.fit()
    assert same == history and again.validated == 0
    assert all(torch.equal(found[name], first[name]) for name in first)


def test_the_state_holds_no_pickle(tmp_path):
    Run("adamw", tmp_path / "state", epochs=1).fit()
    assert {path.name for path in (tmp_path / "state").iterdir()} == {"manifest.json", TENSORS}


def test_from_a_damaged_state_training_starts_anew_and_says_so(tmp_path, capfd):
    Run("sgd", tmp_path / "state", epochs=1).fit()
    path = tmp_path / "state" / TENSORS
    path.write_bytes(path.read_bytes()[:-1])
    _, history = Run("sgd", tmp_path / "state").fit()
    assert history == Run("sgd", tmp_path / "other").fit()[1]
    said = [line for line in capfd.readouterr().err.splitlines() if "damaged" in line]
    assert len(said) == 1 and "training starts anew" in said[0] and str(path.parent) in said[0]


def test_a_run_whose_settings_are_damaged_starts_anew(tmp_path, capfd):
    folder = leave(tmp_path / "out")
    path = folder / RUN
    path.write_text(path.read_text("utf-8").replace("3", "7", 1), "utf-8")
    with resumable(tmp_path / "out", FACTS) as again:
        assert not (again / "second").exists()
    assert "so it starts anew" in capfd.readouterr().err


def test_the_rate_falls_where_dev_stops_improving():
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    scores = iter([0, 1, 1, 1, 2, 2, 2, 2])
    seen: list[float] = []

    def losses() -> Iterator[tuple[Tensor, float]]:
        before = network.weight.item()
        yield network.weight.sum(), 1.0
        seen.append(before - network.weight.item())

    fit(
        *(network, losses, torch.optim.SGD(network.parameters(), lr=1.0), lambda: next(scores)),
        LoopConfig(epochs=7, patience=4),
        plateau=2,
    )
    # Of the seven epochs the third and the sixth were the second without a better score.
    assert np.allclose(seen, [1, 1, 1, *3 * [LOWERED], LOWERED**2], rtol=1e-4)


FACTS = {"config": {"epochs": 3}, "data": "abc"}


def leave(out: Path, facts: dict = FACTS) -> Path:
    """Interrupt a run that had come some way."""
    with pytest.raises(StoppedError), resumable(out, facts) as folder:
        (folder / "second").mkdir()
        raise StoppedError
    return folder


def test_what_a_run_leaves_is_found_again_and_deleted_in_the_end(tmp_path, capfd):
    folder = leave(tmp_path / "out")
    assert folder == tmp_path / "out.partial"
    with resumable(tmp_path / "out", FACTS) as again:
        assert again == folder and (again / "second").is_dir()
        assert f"going on with the run in {folder}\n" == capfd.readouterr().err
    assert not folder.exists()


def test_other_settings_are_refused_once_there_is_something_to_lose(tmp_path):
    folder = leave(tmp_path / "out")
    other = {**FACTS, "config": {"epochs": 4}}
    with (
        pytest.raises(MismatchError, match=r"config\.epochs is 3 there, 4 here"),
        resumable(tmp_path / "out", other),
    ):
        pass
    (folder / "second").rmdir()
    with resumable(tmp_path / "out", other):
        pass
    assert not folder.exists()


def test_a_run_that_cannot_go_on_leaves_nothing(tmp_path):
    with pytest.raises(TrainingError), resumable(tmp_path / "out", FACTS):
        raise TrainingError("no longer a number")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    own = tmp_path / "out.partial" / "letter.txt"
    own.parent.mkdir()
    own.write_text("dear", "utf-8")
    with (
        pytest.raises(ArtifactError, match=r"out\.partial holds other files; choose another"),
        resumable(tmp_path / "out", FACTS),
    ):
        pass
    assert own.read_text("utf-8") == "dear" and not (own.parent / RUN).exists()
