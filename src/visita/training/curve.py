"""The loss curve as a picture."""

from __future__ import annotations

from pathlib import Path

from visita.training.loop import History


def save_curve(history: History, path: Path) -> None:
    """Draw training loss and dev score by epoch into a PNG file."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import, needed once a run
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    numbers = [epoch.number for epoch in history.epochs]
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    losses = figure.subplots()
    losses.plot(numbers, [epoch.loss for epoch in history.epochs], "o-", color="tab:blue")
    losses.set_xlabel("epoch")
    losses.set_ylabel("training loss", color="tab:blue")
    losses.xaxis.set_major_locator(MaxNLocator(integer=True))
    scores = losses.twinx()
    dev = [history.start, *(epoch.dev for epoch in history.epochs)]
    scores.plot([0, *numbers], dev, "s-", color="tab:orange")
    scores.set_ylabel("dev rsum", color="tab:orange")
    best = dev.index(max(dev))
    losses.set_title(f"kept: epoch {best}, dev rsum {dev[best]:.1f}")
    figure.savefig(path, dpi=120)
