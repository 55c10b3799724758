"""Emoji are read by their names where an encoder knows none of them."""

import numpy as np
import pytest

from visita.encoders.minilm import MiniLM
from visita.encoders.symbols import in_words


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a 🐶 on a beach", "a dog face on a beach"),
        ("👍🏽", "thumbs up sign"),
        ("👨‍👩‍👧", "man woman girl"),
        ("🇫🇷 flag", "f r flag"),
        ("🏖️🐕", "beach with umbrella dog"),
        ("Grüße, 日本", "Grüße, 日本"),
        ("a dog", "a dog"),
    ],
)
def test_each_symbol_is_named(text, said):
    assert in_words(text, lambda _: False) == said


def test_what_an_encoder_knows_stays():
    assert in_words("a ♥ b 🐶", lambda symbol: symbol == "♥") == "a ♥ b dog face"


@pytest.mark.slow
def test_the_encoder_reads_the_name():
    encoder = MiniLM(["layer6"])
    dog, named, cat = encoder.encode(["🐶", "dog face", "🐱"]).vectors
    assert np.allclose(dog, named, atol=1e-5)
    assert not np.allclose(dog, cat, atol=1e-2)
