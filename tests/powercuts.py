"""Programs whose disk loses its power, and what they must have left.

python tests/powercuts.py KIND DISK OTHER     run one; DISK is what is cut, OTHER is not

It prints a line for each thing that it believes to be on the disk.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import killing
import numpy as np
from blocklog import BlockLog, logged_disk, mounted
from specimens import joint
from standin import draw_noise

from visita.encoders.export import CachedNetwork
from visita.errors import ArtifactError, DataError
from visita.matchers.base import load_folder

PICTURES = 24


@dataclass(frozen=True)
class Recording:
    """What a program wrote, and after how many events of the disk it said what."""

    log: BlockLog
    started: int
    said: list[tuple[int, str]]

    def before(self, at: int) -> list[str]:
        """Return what had been said before an event."""
        return [line for events, line in self.said if events <= at]


def record(kind: str, folder: Path) -> Recording:
    """Run a program on a new disk in ``folder``, after what has to be there before it."""
    other = folder / "other"
    other.mkdir()
    with logged_disk(folder) as (log, disk):
        PREPARE[kind](disk, other)
        os.sync()
        started = len(log.events)
        command = [sys.executable, __file__, kind, str(disk), str(other)]
        said = []
        with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as child:
            assert child.stdout
            for line in child.stdout:
                said.append((len(log.events), line.strip()))
        assert child.returncode == 0, f"{kind} ended with {child.returncode}"
        log.events.append(None)
    return Recording(log, started, said)


def after_cut(
    kind: str, folder: Path, recording: Recording, at: int, rng: np.random.Generator
) -> str:
    """Cut the power before event ``at``, and return what is wrong with what is left, or \"\"."""
    image = folder / "cut"
    image.write_bytes(recording.log.cut(at, rng, rng.choice([0.0, 0.5, 1.0])))
    with mounted(image, folder / "disk") as disk:
        try:
            return CHECK[kind](disk, folder / "other", recording.before(at))
        except Exception as error:
            return f"{type(error).__name__}: {error}"


def _save(disk: Path, _other: Path) -> None:
    for name in ("minilm-l6", "lsa") * 3:
        joint(name).save(disk / "m")
        print(name, flush=True)


def _saved(disk: Path, _other: Path, said: list[str]) -> str:
    there = load_folder(disk / "m").text_encoder
    following = {"minilm-l6": "lsa", "lsa": "minilm-l6"}
    allowed = {said[-1], following[said[-1]]} if said else {"lsa", "minilm-l6"}
    return "" if there in allowed else f"{there} after {said[-1]}"


def _network(disk: Path) -> CachedNetwork:
    from torch import nn  # noqa: PLC0415

    os.environ["VISITA_HOME"] = str(disk)

    def module() -> nn.Module:
        layer = nn.Linear(40, 60).eval()
        for values in layer.parameters():
            nn.init.constant_(values, 0.5)
        return layer

    example = np.ones((3, 40), np.float32)
    return CachedNetwork("cut", {}, module, lambda: [example], [(-1, 40)])


def _export(disk: Path, _other: Path) -> None:
    _network(disk).runner()
    print("exported", flush=True)


def _exported(disk: Path, _other: Path, said: list[str]) -> str:
    network = _network(disk)
    kept = network._kept()
    if said and kept is None:
        return "the graph is gone"
    right = np.full((3, 60), 20.5, np.float32)
    return "" if np.allclose(network.runner()(*network.examples())[0], right) else "wrong numbers"


def _train(disk: Path, other: Path) -> None:
    from drawn import draw_pairs  # noqa: PLC0415
    from tiny import FUSION  # noqa: PLC0415

    import visita  # noqa: PLC0415
    from visita.training.loop import Checkpoint  # noqa: PLC0415
    from visita.training.mkl_config import CrossModalConfig, MklVisitaConfig  # noqa: PLC0415
    from visita.training.two_stage import train_two_stages  # noqa: PLC0415

    save = Checkpoint.save

    def saying(self: Checkpoint, *state: object) -> None:
        save(self, *state)  # type: ignore[arg-type]
        print("epoch", flush=True)

    Checkpoint.save = saying  # type: ignore[assignment, method-assign]
    draw_pairs(other / "pairs", 60)
    second = CrossModalConfig(
        image_levels={"efficientnet-lite0": ("block15:5x5",)},
        text_levels=("layer6",),
        epochs=3,
        batch=16,
        width=16,
        dim=8,
        heads=2,
    )
    pairs = visita.open_pairs(f"folder:{other / 'pairs'}")
    train_two_stages(pairs, disk / "m", config=MklVisitaConfig(first=FUSION, second=second))
    print("done", flush=True)


def _trained(disk: Path, _other: Path, said: list[str]) -> str:
    from visita.training.loop import Checkpoint  # noqa: PLC0415

    found = load_folder(disk / "m").name
    if found == "m":
        return ""
    if "done" in said:
        return "the old matcher is back"
    partial = disk / "m.partial"
    if "epoch" in said and Checkpoint(partial / "second", np.random.default_rng()).load() is None:
        return "the checkpoint is gone, and there is no result"
    return ""


def _old_matcher(disk: Path, _other: Path) -> None:
    joint("minilm-l6").save(disk / "m")


def _nothing(_disk: Path, _other: Path) -> None:
    pass


def _pictures(_disk: Path, other: Path) -> None:
    (other / "pictures").mkdir()
    for number in range(PICTURES):
        draw_noise(other / "pictures" / f"{number:03d}.png", number)


def _sync(disk: Path, other: Path) -> None:
    killing.synchronize(disk, other / "pictures", killing.make_encoder(False))


def _synced(disk: Path, other: Path, said: list[str]) -> str:
    encoder, pictures = killing.make_encoder(False), other / "pictures"
    truth = killing.expected("gallery", pictures, encoder)
    try:
        found = killing.stored("gallery", disk, pictures, encoder)
    except (ArtifactError, DataError):
        found = {}  # it was not begun, or is mended by the next
    if said and len(found) < int(said[-1]):
        return f"{len(found)} of {said[-1]} pictures that were acknowledged"
    if not all(killing.same(row, truth[name]) for name, row in found.items()):
        return "wrong vectors"
    with redirect_stdout(StringIO()):
        _sync(disk, other)
    again = killing.stored("gallery", disk, pictures, encoder)
    return "" if again.keys() == truth.keys() else "it does not become whole again"


PREPARE: dict[str, Callable[[Path, Path], None]] = {
    "save over an old matcher": _old_matcher,
    "first export": _nothing,
    "train mkl-visita over an old matcher": _old_matcher,
    "gallery sync": _pictures,
}
PROGRAMS = dict(zip(PREPARE, (_save, _export, _train, _sync), strict=True))
CHECK: dict[str, Callable[[Path, Path, list[str]], str]] = dict(
    zip(PREPARE, (_saved, _exported, _trained, _synced), strict=True)
)

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
