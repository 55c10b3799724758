"""What a person should be told about a run that went wrong."""

from __future__ import annotations

from visita.training.loop import History

NEAR_CHANCE = 0.98
OVERFIT = 0.03
"""Share of the best dev score lost by the last epoch."""


def warnings_of(history: History) -> list[str]:
    """Return one sentence for each thing to look at: collapse, no gain, overfitting."""
    if not history.epochs:
        return []
    last, best = history.epochs[-1], history.best()
    found = []
    if last.loss > NEAR_CHANCE * last.chance:
        found.append(
            f"Training collapsed: the loss ({last.loss:.3f}) is that of guessing "
            f"({last.chance:.3f}). Lower learning_rate, or check that the pairs belong together."
        )
    elif best <= history.start:
        found.append(
            "Training did not improve on its start, which is kept. "
            "More pairs or a lower learning_rate may help."
        )
    elif last.dev < (1 - OVERFIT) * best and last.loss < history.epochs[0].loss:
        found.append(
            f"Training overfits: dev fell from {best:.1f} to {last.dev:.1f} while the loss went "
            "down. The best epoch is kept; more dropout or fewer epochs will do."
        )
    return found
