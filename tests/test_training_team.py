"""Several processes that train one network together, each a real one, on CPUs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from commands import Done, process
from drawn import draw_pairs
from safetensors.torch import load_file
from test_training_cross_modal import DEFAULT, config, hits_of, made_up, words_of
from test_training_end_to_end import BASE, LEARNT, LEVELS
from torch import nn

import visita
from visita.encoders.table import IMAGE_ENCODERS
from visita.networks.losses import info_nce
from visita.training.batches import drawn_texts
from visita.training.cross_modal import train_cross_modal
from visita.training.loop import set_apart
from visita.training.mkl_config import MklVisitaConfig

pytestmark = [pytest.mark.slow, pytest.mark.campaign]

LAUNCH = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
STEP = {"batch": 30, "epochs": 1, "optimizer": "sgd", "learning_rate": 0.1, "kernel_rate": 1.0}
STILL = {"dropout": 0, "input_dropout": 0, "averaging": 0, "weight_decay": 0}
RUN = {"epochs": 6, "patience": 6, "batch": 10, "texts_per_image": 2, "loss": "match-error"}
SCRIPT = """
import json, sys
sys.path.insert(0, {tests!r})
from safetensors.torch import save_file
from test_training_cross_modal import config, hits_of, made_up
from visita.cli import main
from visita.training.cross_modal import train_cross_modal
from visita.training.devices import Team

train, dev = made_up(60, seed=0), made_up(24, seed=1)
for name, changes in json.loads(sys.argv[1]).items():
    validated = []
    def validate(scores):
        validated.append(1)
        return hits_of(dev)(scores)
    network, history = train_cross_modal(train, dev, validate, config(**changes))
    state = {{key: value.contiguous() for key, value in network.state_dict().items()}}
    save_file(state, f"{{sys.argv[2]}}/{{name}}-{{Team('cpu', 'float32').number}}.safetensors",
              {{"validated": str(len(validated)), "best": str(history.best())}})
sys.argv[1:] = json.loads(sys.argv[3])
main()
"""
ENCODER = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from safetensors.torch import save_file
from test_training_end_to_end import SETTINGS, trained_until
from visita.data import open_pairs
from visita.training.config import EndToEndConfig
from visita.training.devices import Team

folder, config = Path(sys.argv[2]), EndToEndConfig.of({{**SETTINGS, "batch": 4, "device": "cpu"}})
state = trained_until(open_pairs(sys.argv[1]), folder / "state", config)
save_file(state, folder / f"{{Team('cpu', 'float32').number}}.safetensors")
"""


class Together(NamedTuple):
    """What two processes did together."""

    folder: Path
    """Where each wrote what it ended with, of two trainings."""
    said: Done
    """What they printed of the command that they ran then."""


@pytest.fixture(scope="module")
def together(drawn_folder, tmp_path_factory) -> Together:
    """Return what two processes make of two trainings of one network, and of a command."""
    folder = tmp_path_factory.mktemp("together")
    script = folder / "script.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent)), "utf-8")
    data, out = f"folder:{drawn_folder}", str(folder / "command" / "both")
    line = ["train", "mkl-visita", "--data", data, "--out", out, "--json", *words_of(DEFAULT)]
    runs = {"step": {**STEP, **STILL}, "run": RUN}
    said = process(script, json.dumps(runs), folder, json.dumps(line), command=LAUNCH)
    assert said.status == 0, said.err
    return Together(folder, said)


def weights_of(folder: Path, name: str) -> list[dict[str, torch.Tensor]]:
    """Return the weights that each of the processes ends with."""
    return [load_file(folder / f"{name}-{number}.safetensors") for number in (0, 1)]


def test_a_step_goes_along_the_mean_of_all_gradients(together):
    main, other = weights_of(together.folder, "step")
    train, dev = made_up(60, seed=0), made_up(24, seed=1)
    settings = config(**{**STEP, **STILL, "epochs": 0})
    network, _ = train_cross_modal(train, dev, hits_of(dev), settings)
    losses = []
    for number in (0, 1):
        rng = np.random.default_rng(settings.seed)
        set_apart(rng, number)
        rows = rng.permutation(60)[:30]
        texts, owners = drawn_texts(train.truth, rows, settings.texts_per_image, rng)
        grids = train.grids[rows].astype(np.float32)
        turned = rng.random(30) < 0.5
        square = grids[turned].reshape(-1, 3, 3, grids.shape[2])
        grids[turned] = square[:, :, ::-1].reshape(-1, 9, grids.shape[2])
        values, mask = train.tokens.padded(texts)
        read = network.text(torch.from_numpy(values), torch.from_numpy(mask))
        scores = network.score(network.image(torch.from_numpy(grids)), read)[owners]
        true = torch.from_numpy(train.truth[rows][:, texts].toarray())[owners]
        losses.append(info_nce(scores, true, settings.temperature, settings.label_smoothing))
    (sum(losses) / 2).backward()
    nn.utils.clip_grad_norm_(network.parameters(), 2.0)
    torch.optim.SGD(network.parameters(), lr=0.1).step()
    for name, expected in network.state_dict().items():
        assert torch.equal(main[name], other[name]), name
        torch.testing.assert_close(main[name], expected, rtol=1e-4, atol=1e-6)


def test_they_learn_and_agree(together):
    main, other = weights_of(together.folder, "run")
    assert all(torch.equal(main[name], other[name]) for name in main)
    notes = [notes_of(together.folder / f"run-{number}.safetensors") for number in (0, 1)]
    assert [note["validated"] for note in notes] == ["7", "0"]  # the main process chooses for all
    assert notes[0]["best"] == notes[1]["best"] and float(notes[0]["best"]) > 30


def test_the_main_process_alone_speaks_and_writes(together, drawn_folder):
    # Of two trainings before, and of both stages of the command.
    assert together.said.err.count("before training") == 4
    out = together.folder / "command" / "both"
    assert [path.name for path in out.parent.iterdir()] == ["both"]
    found, saved = together.said.json, visita.load(out)
    assert found["fingerprint"] == saved.fingerprint()
    assert MklVisitaConfig.of(saved.facts["config"]) == MklVisitaConfig.of(DEFAULT)
    again = visita.evaluate(out, f"folder:{drawn_folder}", split="dev")
    assert json.loads(json.dumps(again["protocols"])) == found["dev"]["protocols"]


def test_an_encoder_is_trained_together_too(tmp_path):
    draw_pairs(tmp_path / "pairs", 20)
    script = tmp_path / "script.py"
    script.write_text(ENCODER.format(tests=str(Path(__file__).parent)), "utf-8")
    said = process(script, f"folder:{tmp_path / 'pairs'}", tmp_path, command=LAUNCH)
    assert said.status == 0, said.err
    assert said.err.count("before training") == 2  # of the heads, and of both
    main, other = (load_file(tmp_path / f"{number}.safetensors") for number in (0, 1))
    start = IMAGE_ENCODERS.load(BASE)().network(LEVELS).state_dict()
    assert all(torch.equal(main[name], other[name]) for name in start)
    assert not torch.equal(main[LEARNT], start[LEARNT])


def notes_of(path: Path) -> dict[str, str]:
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return header["__metadata__"]
