"""The kinds of saved matchers; a new one is a line here."""

from pathlib import Path

from visita.artifact import MANIFEST, read_json
from visita.matchers.joint import KIND
from visita.registry import Registry
from visita.types import Matcher

KINDS = Registry(
    "kind of matcher",
    {
        KIND: "visita.matchers.joint:JointMatcher",
        "fused matcher": "visita.matchers.fused:FusedMatcher",
        "scaled matcher": "visita.matchers.scaled:ScaledMatcher",
        "two-stage matcher": "visita.matchers.two_stage:TwoStageMatcher",
        "whole matcher": "visita.matchers.whole:WholeMatcher",
        "pretrained matcher": "visita.matchers.pretrained:PretrainedFolder",
    },
)


def load_folder(folder: Path) -> Matcher:
    """Return the matcher saved in ``folder``, of whatever kind.

    Raises
    ------
    ArtifactError
        If the folder is not a whole matcher.
    MismatchError
        If an encoder differs from the one it was trained with.
    """
    path = folder / MANIFEST
    kind = str(read_json(path).get("visita")) if path.is_file() else KIND
    # Anything else a matcher refuses, and says what it is.
    matcher: Matcher = KINDS.load(kind if kind in KINDS else KIND).load(folder)
    return matcher
