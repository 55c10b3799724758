"""The kinds of saved matchers; a new one is a line here."""

from pathlib import Path

from visita.artifact import MANIFEST
from visita.encoders.library.hub import no_fetching
from visita.errors import ArtifactError
from visita.jsonfile import read_json
from visita.matchers.joint import KIND
from visita.matchers.match_probability import MatchProbability
from visita.registry import Registry
from visita.types import Matcher, TwoStage

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
    """Return the matcher saved in ``folder``, of whatever kind; nothing that it names is fetched.

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
    kinds = KINDS.load(kind if kind in KINDS else KIND)
    try:
        with no_fetching():
            matcher: Matcher = kinds.load(folder)
    except RecursionError as error:
        raise ArtifactError(f"{folder} holds too many matchers within each other.") from error
    known = matcher.match_probability
    if isinstance(known, MatchProbability) and (known.second is None) == isinstance(
        matcher, TwoStage
    ):
        raise ArtifactError(f"{folder} tells matches by other stages than it has.")
    return matcher
