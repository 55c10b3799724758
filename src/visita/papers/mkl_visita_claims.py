"""What is claimed of MKL-VisITA, by its paper and by visita, to be tested.

The paper compares the whole with three other systems, on data and by a protocol that it does
not describe, and says of the parts, in words, that each helps; only the parts can be tested.
"""

from __future__ import annotations

from collections.abc import Sequence

from visita.report.claims import Claim, Comparison

FUSION = "fusion, one encoder"
FIRST = "first stage"
SECOND = "second stage"
BOTH = "both stages"
MAIN = (FUSION, FIRST, SECOND, BOTH)
UNSCALED = "first stage without local scaling"
REFERENCE = "nothing changed"
NO_TRANSFORMER = "no visual transformer"
NO_ATTENTION = "no cross-modal attention"
NO_HIERARCHY = "no hierarchy: words alone"
ONE_CNN_LEVEL = "last CNN level alone"
RECURRENT = "words learnt, read by an RNN"
TRANSFORMER = "words learnt, read by a transformer"
MATCH_ERROR = "squared match error"
REFITTED = "kernels weighed by SimpleMKL"
PAPER_RNN = "the paper’s training, RNN"
PAPER_TRANSFORMER = "the paper’s training, transformer"
TABLED = (FUSION, UNSCALED, FIRST, SECOND, BOTH, PAPER_RNN, PAPER_TRANSFORMER)
MKL_VISITA = "MKL-VisITA"
PAPER = {
    "MSCOCO": {
        MKL_VISITA: "96.32 / 90.36 / 94.81",
        "CLIP": "91.26 / 88.21 / 92.11",
        "BLIP": "92.87 / 87.39 / 90.74",
        "ALBEF": "90.37 / 85.22 / 89.32",
    },
    "Flickr30K": {
        MKL_VISITA: "90.32 / 95.21 / 96.84",
        "CLIP": "84.21 / 88.58 / 92.12",
        "BLIP": "85.96 / 89.68 / 93.67",
        "ALBEF": "86.77 / 90.31 / 90.24",
    },
}
"""Recall / precision / mAP of its Tables 1 and 2."""
OWN = {"visita": "own claim"}


def one_kernel(kernel: str) -> str:
    """Return the name of the ablation that leaves one kernel."""
    return f"{kernel} alone"


def claims(queries: str, kernels: Sequence[str], others: Sequence[str] = ()) -> list[Claim]:
    """Return all claims.

    Parameters
    ----------
    queries : str
        Names the texts and pictures.
    kernels : sequence of str
        Those mixed.
    others : sequence of str
        Measured matchers beside, such as ``clip:NAME``, with which the paper's tables compare.
    """
    return [
        *(
            claim
            for rival in ("CLIP", "BLIP", "ALBEF")
            for claim in _of_tables(rival, queries, others)
        ),
        _helps(
            *("visual-transformer", "The visual transformer helps", queries),
            NO_TRANSFORMER,
            "“to better encode the image”",
        ),
        _helps(
            *("attention", "Cross-modal attention helps", queries),
            NO_ATTENTION,
            "“advanced cross-modal attention mechanisms”",
        ),
        _helps(
            *("hierarchy", "Phrases, cells and the whole help beside the words", queries),
            NO_HIERARCHY,
            "“hierarchical feature fusion”",
        ),
        _helps(
            *("cnn-levels", "Earlier CNN levels help beside the last", queries),
            ONE_CNN_LEVEL,
            "“hierarchical feature fusion”",
        ),
        Claim(
            *("kernels", "Several kernels together are better than each alone", queries),
            tuple(Comparison(REFERENCE, one_kernel(kernel), "rsum") for kernel in kernels),
            enough=len(kernels),
            paper={"in words": "“more accurate matching”"},
        ),
        Claim(
            "joint-weights",
            "Kernel weights learnt with the rest are better than SimpleMKL’s in the end",
            queries,
            (Comparison(REFERENCE, REFITTED, "rsum"),),
            paper=OWN,
        ),
        Claim(
            *("text-side", "A transformer reads words better than an RNN", queries),
            (Comparison(TRANSFORMER, RECURRENT, "rsum"),),
            paper={"in words": "either may do"},
        ),
        Claim(
            *("loss", "InfoNCE is better than the paper’s squared error of the match", queries),
            (Comparison(REFERENCE, MATCH_ERROR, "rsum"),),
            paper=OWN,
        ),
        Claim(
            *("local-scaling", "Local scaling helps the first stage", queries),
            (Comparison(FIRST, UNSCALED, "rsum"),),
            paper=OWN,
        ),
        _ours("both-first", "Both stages are better than the first alone", queries, FIRST),
        _ours("both-second", "Both stages are better than the second alone", queries, SECOND),
        _ours(
            *("both-fusion", "Both stages are better than fusion of one encoder’s levels", queries),
            FUSION,
        ),
    ]


def _of_tables(rival: str, queries: str, matchers: Sequence[str]) -> list[Claim]:
    """Return a claim for each matcher that is such an ``other``, if none one that is untested."""
    family = f"{rival.lower()}:"
    measured = [(name, BOTH, queries) for name in matchers if name.startswith(family)]
    return [
        Claim(
            name.lower(),
            f"MKL-VisITA is better than {name} in recall, precision and mAP",
            where,
            tuple(Comparison(ours, name, metric) for metric in ("recall", "precision", "mAP")),
            enough=3,
            paper={
                data: f"{said[MKL_VISITA]} against {said[rival]}" for data, said in PAPER.items()
            },
        )
        for name, ours, where in measured or [(rival, MKL_VISITA, "the paper’s pictures")]
    ]


def _helps(id: str, sentence: str, queries: str, without: str, words: str) -> Claim:
    return Claim(
        id, sentence, queries, (Comparison(REFERENCE, without, "rsum"),), paper={"in words": words}
    )


def _ours(id: str, sentence: str, queries: str, baseline: str) -> Claim:
    return Claim(id, sentence, queries, (Comparison(BOTH, baseline, "rsum"),), paper=OWN)
