"""Training an image encoder on pairs: MKL-VisITA's network on its grids, and both together.

The network first learns on the grids of the encoder as it is, which are computed once; what a
network that knows nothing would ask of the encoder would undo its pretraining. Then pixels go
through both. Statistics of batch normalisation stay those of the pretraining: batches are small.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from visita.encoders.vocabulary import Vocabulary
from visita.networks.cross_modal import MklVisita
from visita.training.checkpoint import Checkpoint, set_apart
from visita.training.config import EndToEndConfig
from visita.training.cross_modal import (
    GRADIENT,
    LOSSES,
    CrossTensors,
    ValidateScores,
    all_scores,
    optimizer_of,
    step_count,
    train_cross_modal,
)
from visita.training.devices import Team
from visita.training.loop import History, fit, warm_up_and_cosine
from visita.training.pixels import Pixels

AT_ONCE = 32
"""Pictures where nothing is learnt."""


@dataclass(frozen=True)
class Pictures:
    """Pixels of n pictures, and their grids by the untrained encoder beside texts and truth."""

    pixels: Pixels
    tensors: CrossTensors


class EndToEnd(nn.Module):
    """An encoder, uint8 (b, side, side, 3) to one grid a level, and what reads its grids."""

    def __init__(self, encoder: nn.Module, network: MklVisita) -> None:
        super().__init__()
        self.encoder = encoder
        self.network = network

    def train(self, mode: bool = True) -> Self:
        """Leave the encoder as in use: its statistics are not learnt, and it drops nothing."""
        super().train(mode)
        self.encoder.eval()
        return self

    def grids(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Return the levels side by side, float32 (b, cells, d)."""
        found = self.encoder(torch.from_numpy(pixels).to(self.network.slope.device))
        cells = [one[:, None] if one.ndim == 2 else one for one in found]
        return torch.cat(cells, dim=2).float()


def train_end_to_end(
    encoder: nn.Module,
    train: Pictures,
    dev: Pictures,
    validate: ValidateScores,
    config: EndToEndConfig,
    *,
    vocabulary: Vocabulary | None = None,
    resume: Path,
) -> History:
    """Train ``encoder`` in place, on the CPU in the end, and return what happened.

    Its history starts with what the network reaches on the grids of the untrained encoder, and
    where no epoch is better the encoder stays as it is.

    Parameters
    ----------
    encoder
        Maps pixels to the levels of ``config``.
    vocabulary
        Where the tokens are the numbers of its words.
    resume
        Folder of the run's state: one that was killed goes on from there.

    Raises
    ------
    TrainingError
        If the loss stops being a number.
    PictureError
        If a picture can no longer be decoded.
    """
    network_config = config.network.model_copy(update={"seed": config.seed})
    network, _ = train_cross_modal(
        *(train.tensors, dev.tensors, validate, network_config),
        vocabulary=vocabulary,
        resume=resume / "network",
    )
    together: dict[str, Any] = {
        key: getattr(config, key) for key in ("seed", "epochs", "patience", "learning_rate")
    }
    settings = network_config.model_copy(update=together)
    team = Team(settings.device, settings.precision)
    rng = np.random.default_rng([config.seed, 1])
    set_apart(rng, team.number)
    both = EndToEnd(encoder, network).to(team.device)
    optimizer = optimizer_of(network, settings)
    # Decay would pull the weights towards 0 and not towards the pretrained ones.
    rate = {"lr": config.learning_rate, "weight_decay": 0.0}
    optimizer.add_param_group({"params": list(encoder.parameters()), **rate})

    def look(rows: NDArray[np.int64]) -> Tensor:
        return both.grids(train.pixels.varied(rows, rng))

    def score() -> float:
        seen = replace(dev.tensors, grids=grids_of(both, dev.pixels))
        return validate(all_scores(network, seen))

    history = fit(
        both,
        LOSSES[settings.loss](network, train.tensors, settings, rng, team, look),
        optimizer,
        lambda: team.shared(score),
        settings,
        partial(warm_up_and_cosine, steps=step_count(train.tensors, settings, team)),
        longest_gradient=GRADIENT,
        averaging=settings.averaging,
        checkpoint=Checkpoint(resume / "both", rng, team.number),
        gather=team.average,
    )
    encoder.cpu()
    return history


@torch.inference_mode()
def grids_of(both: EndToEnd, pixels: Pixels) -> NDArray[np.float16]:
    """Return the grids of all pictures, float16 (n, cells, d)."""
    rows = np.arange(len(pixels))
    parts = [
        both.grids(pixels.whole(rows[s : s + AT_ONCE])).cpu() for s in range(0, len(rows), AT_ONCE)
    ]
    return torch.cat(parts).numpy().astype(np.float16)
