"""What the multi-level fusion paper compares in its Tables 2 to 5 and Fig. 3, and says of it.

Its small gallery is Sohu-400 and its full ones Sohu-20000 and Flickr30K. Deltas are in points
of recall as the paper's text gives them; where it gives none, its words stand.
"""

from __future__ import annotations

from visita.report.claims import Claim, Comparison

RECOMMEND_FC = "recommendation, fc"
RECOMMEND_BOTH = "recommendation, fc + mixed9"
RECOMMEND_FUSED = "recommendation, fused"
DIRECT_FC = "direct, MLP(fc)"
DIRECT_FUSED = "direct, MLP(fc + mixed9)"
LINEAR = "linear, no L2"
SIGMOID = "sigmoid, no L2"
LINEAR_L2 = "linear, L2"
SIGMOID_L2 = "sigmoid, L2"
RECOMMENDED = (RECOMMEND_FC, RECOMMEND_BOTH, RECOMMEND_FUSED)
MATCHED = (DIRECT_FC, DIRECT_FUSED)
VARIANTS = (LINEAR, SIGMOID, LINEAR_L2, SIGMOID_L2)
DIRECT, RECOMMEND = "direct", "recommendation"
SYSTEMS = {
    RECOMMEND_FC: ("fc", RECOMMEND),
    RECOMMEND_BOTH: ("fc + mixed9", RECOMMEND),
    RECOMMEND_FUSED: ("MLP(fc + mixed9)", RECOMMEND),
    DIRECT_FC: ("MLP(fc)", DIRECT),
    DIRECT_FUSED: ("MLP(fc + mixed9)", DIRECT),
    LINEAR: ("MLP(fc + mixed9), linear, no L2", RECOMMEND),
    SIGMOID: ("MLP(fc + mixed9), no L2", RECOMMEND),
    LINEAR_L2: ("MLP(fc + mixed9), linear", RECOMMEND),
    SIGMOID_L2: ("MLP(fc + mixed9)", RECOMMEND),
}
"""What each system is computed from, the features or a network, and how it answers."""
EVERY = ("R@1", "R@5", "R@10")
MOST = 2
"""Of three."""


def claims(small: str, whole: str) -> list[Claim]:
    """Return all claims; ``small`` and ``whole`` name the two galleries of the reproduction."""
    return [
        Claim(
            "recommendation-levels-small",
            *("Recommendation: fc + mixed9 is better than fc", small),
            _at(RECOMMEND_BOTH, RECOMMEND_FC, "R@10"),
            paper={"Sohu-400": "+0.5"},
        ),
        Claim(
            "recommendation-levels-sohu",
            *("Recommendation: fc + mixed9 is better than fc at most K", whole),
            _at(RECOMMEND_BOTH, RECOMMEND_FC, *EVERY),
            enough=MOST,
            paper={"Sohu-20000": "slightly"},
        ),
        Claim(
            "recommendation-levels-flickr30k",
            *("Recommendation: fc + mixed9 is worse than fc at most K", whole),
            _at(RECOMMEND_BOTH, RECOMMEND_FC, *EVERY),
            enough=MOST,
            lower=True,
            paper={"Flickr30K": "worse"},
        ),
        Claim(
            "recommendation-fused-small",
            *("Recommendation: fused features are better than fc", small),
            _at(RECOMMEND_FUSED, RECOMMEND_FC, "R@10"),
            paper={"Sohu-400": "+9.5"},
        ),
        Claim(
            *("recommendation-fused", "Recommendation: fused features are better than fc", whole),
            _at(RECOMMEND_FUSED, RECOMMEND_FC, "R@10"),
            paper={"Sohu-20000": "+0.6", "Flickr30K": "+1.0"},
        ),
        Claim(
            "recommendation-fused-first",
            *("Recommendation: fused features are worse than fc at R@1", whole),
            _at(RECOMMEND_FUSED, RECOMMEND_FC, "R@1"),
            lower=True,
            paper={"Flickr30K": "worse"},
        ),
        Claim(
            "direct-levels-small",
            *("Direct matching: MLP(fc + mixed9) is better than MLP(fc) at R@5 and R@10", small),
            _at(DIRECT_FUSED, DIRECT_FC, "R@5", "R@10"),
            enough=2,
            paper={"Sohu-400": "better"},
        ),
        Claim(
            "direct-levels-small-first",
            *("Direct matching: MLP(fc + mixed9) is worse than MLP(fc) at R@1", small),
            _at(DIRECT_FUSED, DIRECT_FC, "R@1"),
            lower=True,
            paper={"Sohu-400": "poor"},
        ),
        Claim(
            "direct-levels",
            *("Direct matching: MLP(fc + mixed9) is better than MLP(fc) at every K", whole),
            _at(DIRECT_FUSED, DIRECT_FC, *EVERY),
            enough=3,
            paper={"Sohu-20000": "better", "Flickr30K": "better"},
        ),
        Claim(
            "direct-small",
            "Direct matching is better than recommendation, both with fused features, "
            "at R@5 and R@10",
            small,
            _at(DIRECT_FUSED, RECOMMEND_FUSED, "R@5", "R@10"),
            enough=2,
            paper={"Sohu-400": "better"},
        ),
        Claim(
            "direct-sohu",
            "Direct matching is better than recommendation, both with fused features, "
            "at R@5 and R@10",
            whole,
            _at(DIRECT_FUSED, RECOMMEND_FUSED, "R@5", "R@10"),
            enough=2,
            paper={"Sohu-20000": "better"},
        ),
        Claim(
            "direct-flickr30k",
            "Direct matching is better than recommendation, both with fused features, at every K",
            whole,
            _at(DIRECT_FUSED, RECOMMEND_FUSED, *EVERY),
            enough=3,
            paper={"Flickr30K": "better"},
        ),
        Claim(
            "direct-against-fc-small",
            *("Direct matching with fused features is better than recommendation with fc", small),
            _at(DIRECT_FUSED, RECOMMEND_FC, "R@10"),
            paper={"Sohu-400": "+14.0"},
        ),
        Claim(
            "direct-against-fc",
            *("Direct matching with fused features is better than recommendation with fc", whole),
            _at(DIRECT_FUSED, RECOMMEND_FC, "R@10"),
            paper={"Sohu-20000": "+1.3", "Flickr30K": "+20.6"},
        ),
        Claim(
            "activation-alone",
            "Fig. 3, recommendation: without L2, a sigmoid in the hidden layer is worse than none",
            whole,
            _at(SIGMOID, LINEAR, "R@10"),
            lower=True,
            paper={"Sohu": "worse"},
        ),
        Claim(
            "activation-with-l2",
            "Fig. 3, recommendation: a sigmoid hidden layer with L2 is the best of the four",
            whole,
            tuple(
                Comparison(SIGMOID_L2, baseline, "R@10")
                for baseline in (LINEAR, SIGMOID, LINEAR_L2)
            ),
            enough=3,
            paper={"Sohu": "best"},
        ),
    ]


def _at(system: str, baseline: str, *metrics: str) -> tuple[Comparison, ...]:
    return tuple(Comparison(system, baseline, metric) for metric in metrics)
