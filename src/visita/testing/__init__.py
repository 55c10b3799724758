"""Checks that a plug-in keeps the contracts of visita, for our tests and for yours."""

from visita.testing.encoders import TEXTS, check_encoder, check_text_encoder
from visita.testing.matchers import check_matcher
from visita.testing.parts import check_index, check_loss

__all__ = [
    "TEXTS",
    "check_encoder",
    "check_index",
    "check_loss",
    "check_matcher",
    "check_text_encoder",
]
