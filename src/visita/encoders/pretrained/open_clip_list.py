"""What open_clip lists: its architectures and their weights, told without importing it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split

from visita.encoders.library.networks import imported
from visita.encoders.pretrained.tokens import Reading
from visita.errors import UnknownNameError, did_you_mean

QUICK = "-quickgelu"
PATTERN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
"""Words, as CLIP's tokenizer finds them."""


def configurations() -> dict[str, Path]:
    """Return each architecture of open_clip with its configuration."""
    files = _folder().glob("model_configs/*.json")
    return {file.stem: file for file in sorted(files)}


def configuration(architecture: str) -> Path:
    """Return the configuration of an architecture.

    Raises
    ------
    UnknownNameError
        If open_clip has no such architecture.
    """
    known = configurations()
    if architecture not in known:
        hint = did_you_mean(architecture, known)
        raise UnknownNameError(f"open_clip has no model {architecture!r}.{hint}")
    return known[architecture]


def place(architecture: str, tag: str) -> tuple[str, str]:
    """Return the repository and the file of weights; the file is empty where it is the usual one.

    Raises
    ------
    UnknownNameError
        If open_clip has no such weights of the architecture.
    """
    known = _weights().get(architecture.removesuffix(QUICK), {})
    found = known.get(tag.lower().replace("-", "_"))
    if not found:
        raise UnknownNameError(
            f"open_clip has no weights {tag!r} of {architecture}. Known: "
            f"{', '.join(f'{architecture}/{name}' for name in known) or 'none'}."
        )
    repository, _, file = found.rpartition("/")
    return repository, file


def _folder() -> Path:
    spec = find_spec("open_clip")
    assert spec and spec.submodule_search_locations  # installed, as the family has asked before
    return Path(spec.submodule_search_locations[0])


@cache
def _weights() -> Mapping[str, Mapping[str, str]]:
    """Return ORGANISATION/REPOSITORY/FILE of all weights of each architecture.

    The table is read from its source, as importing it imports torch.
    """
    source = (_folder() / "pretrained.py").read_text("utf-8")
    assigned: dict[str, Any] = {
        target.id: node.value
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    table = assigned["_PRETRAINED"]
    return {
        key.value: _places(assigned[value.id] if isinstance(value, ast.Name) else value)
        for key, value in zip(table.keys, table.values, strict=True)
    }


def _places(call: ast.Call) -> dict[str, str]:
    """Return the places in ``dict(tag=…(hf_hub="…"), …)``."""
    return {
        tag.arg: str(option.value.value)
        for tag in call.keywords
        if tag.arg and isinstance(tag.value, ast.Call)
        for option in tag.value.keywords
        if option.arg == "hf_hub" and isinstance(option.value, ast.Constant)
    }


def byte_pairs(file: Path, longest: int, clean: str) -> Reading:
    """Return how open_clip's own tokenizer reads texts; it is written to ``file``."""
    theirs = imported("open_clip_torch").SimpleTokenizer()
    merges = sorted(theirs.bpe_ranks, key=theirs.bpe_ranks.__getitem__)
    ours = Tokenizer(BPE(theirs.encoder, merges, end_of_word_suffix="</w>"))
    words = Split(Regex(PATTERN), "removed", invert=True)
    ours.pre_tokenizer = Sequence([words, ByteLevel(add_prefix_space=False, use_regex=False)])
    ours.save(str(file))
    around = (theirs.sot_token_id,), (theirs.eot_token_id,)
    return Reading(str(file), *around, 0, longest, fixed=True, clean=f"open-clip-{clean}")
