"""Topic models: fitted on texts, saved as arrays, the same bits in every process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from forging import forge
from gensim.models import doc2vec as gensim
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from visita.artifact import MANIFEST
from visita.encoders.table import TOPIC_MODELS
from visita.encoders.topics.corpus import read_corpus, words
from visita.encoders.topics.doc2vec import EPOCHS, PIECE, RATES, Doc2Vec
from visita.encoders.topics.lsa import LSA
from visita.encoders.topics.model import ARRAYS, VOCABULARY
from visita.errors import ArtifactError, ConfigError, DataError, MismatchError, UnknownNameError
from visita.testing import TEXTS, check_text_encoder

NOUNS = ("dog", "boat", "child", "snow", "beach", "horse", "狗", "海滩")
VERBS = ("runs", "sleeps", "jumps", "floats", "plays", "and", "在")
PLACES = ("over the lazy fox", "on a beach", "in the park", "near water", "海滩上", "quick brown")
NEW = ["a dog jumps", "", "unheard-of, zzz!", "THE DOG", "狗在海滩上", *TEXTS]


def written(count: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    parts = [[part[i] for i in rng.integers(len(part), size=count)] for part in (NOUNS, VERBS)]
    places = [PLACES[i] for i in rng.integers(len(PLACES), size=count)]
    return [f"A {noun} {verb} {place}." for noun, verb, place in zip(*parts, places, strict=True)]


CORPUS = written(300)


@pytest.fixture(scope="module", params=TOPIC_MODELS.names())
def model(request):
    """Return each topic model, fitted on the corpus."""
    return TOPIC_MODELS.load(request.param).fit(CORPUS, 12, 0)


def test_the_registered_models_keep_the_contract(model):
    assert model.name in TOPIC_MODELS and type(model) is TOPIC_MODELS.load(model.name)
    assert (model.levels, model.dim) == (("topics",), 12)
    check_text_encoder(model)
    with pytest.raises(UnknownNameError, match="'lsa'"):
        TOPIC_MODELS.load("lda")


def test_every_text_is_one_passage_of_unit_length_or_zero(model):
    found = model.encode(NEW)
    assert found.offsets.tolist() == list(range(len(NEW) + 1))
    lengths = np.linalg.norm(found.vectors, axis=1)
    known = [any(word in model.words for word in words(text)) for text in NEW]
    assert not all(known) and any(known)
    assert np.allclose(lengths[known], 1, atol=1e-6)
    assert (found.vectors[~np.array(known)] == 0).all()


def test_a_text_gives_the_same_bits_alone_among_others_and_after_loading(model, tmp_path):
    found = model.encode(NEW).vectors
    model.save(tmp_path / "model")
    loaded = type(model).load(tmp_path / "model")
    assert loaded.fingerprint() == model.fingerprint()
    assert np.array_equal(loaded.encode(NEW[::-1]).vectors[::-1], found)
    for text, vector in zip(NEW, found, strict=True):
        assert np.array_equal(loaded.encode([text]).vectors[0], vector)


PROGRAM = """
import json, sys
from pathlib import Path
from visita.encoders.table import TOPIC_MODELS
folder, texts = json.load(sys.stdin)
for name in TOPIC_MODELS.names():
    kind = TOPIC_MODELS.load(name)
    for model in (kind.fit(texts, 12, 0), kind.load(Path(folder, name))):
        print(name, model.fingerprint(), model.encode(texts).vectors.tobytes().hex())
"""


@pytest.mark.slow
def test_another_process_fits_and_encodes_the_same_bits(tmp_path):
    expected = []
    for name in TOPIC_MODELS.names():
        model = TOPIC_MODELS.load(name).fit(CORPUS, 12, 0)
        model.save(tmp_path / name)
        bits = model.encode(CORPUS).vectors.tobytes().hex()
        expected += [f"{name} {model.fingerprint()} {bits}"] * 2
    command = [sys.executable, "-W", "error", "-c", PROGRAM]
    told = json.dumps([str(tmp_path), CORPUS])
    one_hash = {**os.environ, "PYTHONHASHSEED": "1"}
    done = subprocess.run(
        command, input=told, capture_output=True, encoding="utf-8", check=True, env=one_hash
    )
    assert done.stdout.splitlines() == expected
    assert done.stderr == ""


@pytest.mark.slow
def test_the_fingerprint_tells_other_texts_seeds_and_sizes_apart():
    fits = [(CORPUS, 12, 0), (CORPUS, 12, 1), (CORPUS, 11, 0), (written(300, 1), 12, 0)]
    for kind in (LSA, Doc2Vec):
        assert len({kind.fit(*fit).fingerprint() for fit in fits}) == len(fits)


def test_texts_of_like_content_are_near(model):
    pairs = ["a dog sleeps near water", "near water sleeps the dog", "a boat floats in the park"]
    vectors = model.encode(pairs).vectors
    near, far = vectors[1:] @ vectors[0]
    assert near > 0.9 and near > far


def test_lsa_is_tf_idf_and_svd_by_definition():
    """Written out with loops: ln((1 + n) / (1 + df)) + 1, 1 + ln tf, unit rows, exact SVD."""
    texts = [*CORPUS[:60], "dog dog dog runs runs", "alone"]
    bags = [Counter(words(text)) for text in texts]
    frequency = Counter(word for bag in bags for word in bag)
    vocabulary = sorted(word for word, count in frequency.items() if count >= 2)
    assert "alone" not in vocabulary
    idf = [np.log((1 + len(texts)) / (1 + frequency[word])) + 1 for word in vocabulary]
    table = np.zeros((len(texts), len(vocabulary)))
    for row, bag in enumerate(bags):
        for column, word in enumerate(vocabulary):
            if bag[word]:
                table[row, column] = (1 + np.log(bag[word])) * idf[column]
        table[row] /= np.linalg.norm(table[row]) or 1
    left, sizes, _ = np.linalg.svd(table, full_matrices=False)
    rank = int((sizes > 1e-9 * sizes[0]).sum())
    expected = left[:, :rank] * sizes[:rank]
    found = LSA.fit(texts, rank, 0)
    assert found.words == tuple(vocabulary)
    assert np.allclose(found.weights, idf, rtol=1e-6)
    # Topics of equal size may be turned among themselves; inner products of texts may not.
    vectors = found.encode(texts).vectors
    assert np.allclose(vectors[:-1] @ vectors[:-1].T, expected[:-1] @ expected[:-1].T, atol=1e-5)
    assert (vectors[-1] == 0).all()


def test_lsa_is_what_scikit_learn_fits_and_transforms():
    vectorizer = TfidfVectorizer(analyzer=words, sublinear_tf=True, min_df=2, dtype=np.float32)
    table = vectorizer.fit_transform(CORPUS)
    svd = TruncatedSVD(12, n_iter=5, random_state=0).fit(table)
    found = LSA.fit(CORPUS, 12, 0)
    signs = np.sign(np.sum(found.topics * svd.components_.T, axis=0))
    assert np.allclose(found.topics * signs, svd.components_.T, atol=1e-4)
    projected = vectorizer.transform(NEW) @ found.topics
    lengths = np.linalg.norm(projected, axis=1, keepdims=True)
    expected = projected / np.where(lengths > 0, lengths, 1)
    assert np.array_equal(found.encode(NEW).vectors, expected)


def test_lsa_has_as_many_topics_as_the_rank_and_no_more():
    texts = ["one two", "one two", "one three", "three two", "three two one"] * 3
    assert LSA.fit(texts, 3, 0).dim == 3
    with pytest.raises(ConfigError, match=r"topics=500 .* 15 texts with 3 words: at most 3; set t"):
        LSA.fit(texts, 500, 0)
    twins = ["one two", "one two", "three four", "three four"]
    with pytest.raises(ConfigError, match=r"topics=4 .* at most 2; set topics=2 "):
        LSA.fit(twins, 4, 0)
    assert LSA.fit(["snow", "snow"], 1, 0).encode(["snow"]).vectors.tolist() == [[1.0]]


@pytest.mark.parametrize("kind", [LSA, Doc2Vec])
@pytest.mark.parametrize(
    ("texts", "topics", "error", "message"),
    [
        ([], 3, DataError, "no texts"),
        (["", " ?! "], 3, DataError, "No two of the 2 texts share a word"),
        (["a dog", "the cat"], 3, DataError, "No two of the 2 texts share a word"),
        (CORPUS, 0, ConfigError, "topics=0 is too small"),
    ],
)
def test_texts_that_cannot_be_fitted_are_refused(kind, texts, topics, error, message):
    with pytest.raises(error, match=message):
        kind.fit(texts, topics, 0)


def test_doc2vec_infers_as_gensim_does(monkeypatch):
    found = Doc2Vec.fit(CORPUS, 12, 0)
    text = words(CORPUS[0])
    random = np.random.RandomState(0)
    start = ((random.random_sample(12) - 0.5) / 12).astype(np.float32)
    # gensim draws its start from Python's hash of the text, new in every process.
    monkeypatch.setattr(gensim, "pseudorandom_weak_vector", lambda *_, **__: start.copy())
    library = gensim.Doc2Vec(
        dm=0, vector_size=12, min_count=1, sorted_vocab=0, epochs=EPOCHS, min_alpha=RATES[1]
    )
    library.build_vocab_from_freq(dict(zip(found.words, found.weights.tolist(), strict=True)))
    library.syn1neg, library.random = found.topics, random
    expected = library.infer_vector(text)
    vector = found.encode([CORPUS[0]]).vectors[0]
    assert np.allclose(vector, expected / np.linalg.norm(expected), atol=1e-5)


@pytest.mark.slow
def test_doc2vec_reads_a_book_to_its_end():
    fitted = Doc2Vec.fit(CORPUS, 4, 0)
    book = "dog runs " * PIECE  # two pieces
    found = fitted.encode([book, book + "boat floats in the park " * 2000]).vectors
    assert not np.allclose(found[0], found[1], atol=0.01)
    long = Doc2Vec.fit([*CORPUS, "dog " * PIECE + "ending " * 50, "ending"], 4, 0)
    assert long.weights[long.words.index("ending")] == 51


def test_words_of_english_are_casefolded_runs_of_letters_and_digits():
    assert words("The NAÏVE dog's cafe\u0301, Straße_7 — ＡＢＣ!") == [
        *("the", "naïve", "dog", "s", "café", "strasse", "7", "abc"),
    ]
    assert words("") == words(" \ud83d \x00 🐕 _") == []


def test_chinese_is_cut_by_jieba_beside_other_words():
    assert words("我来到北京清华大学。") == ["我", "来到", "北京", "清华大学"]
    assert words("naïve 小狗在T恤上, ok") == ["naïve", "小狗", "在", "t恤", "上", "ok"]


@pytest.mark.slow
def test_jieba_leaves_no_file_and_no_line_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    program = "from visita.encoders.topics.corpus import words; print(*words('我来到北京清华大学'))"
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.split() == ["我", "来到", "北京", "清华大学"]
    assert done.stderr == "" and list(tmp_path.iterdir()) == []


def without(library: str, program: str) -> str:
    """Return what ``program`` prints where ``library`` cannot be imported."""
    lines = f"import sys\nsys.modules[{library!r}] = None\n{program}"
    return subprocess.run(
        [sys.executable, "-c", lines], capture_output=True, encoding="utf-8", check=True
    ).stdout


@pytest.mark.slow
def test_missing_libraries_are_named_only_when_needed():
    report = "from visita.errors import MissingExtraError as E\ntry: {}\nexcept E as e: print(e)"
    cut = "from visita.encoders.topics.corpus import words\n"
    assert "visita[chinese]" in without("jieba", cut + report.format("words('a 狗')"))
    assert without("jieba", cut + "print(*words('A dog'))").split() == ["a", "dog"]
    load = "from visita.encoders.table import TOPIC_MODELS as T\n"
    assert "visita[doc2vec]" in without("gensim", load + report.format("T.load('doc2vec')"))


@pytest.mark.parametrize("name", [MANIFEST, VOCABULARY, ARRAYS])
@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_a_damaged_model_is_refused(tmp_path, name, damage):
    fitted = LSA.fit(CORPUS, 5, 0)
    fitted.save(tmp_path / "model")
    file = tmp_path / "model" / name
    raw = file.read_bytes()
    file.unlink()
    if damage != "missing":
        file.write_bytes(raw[:-9] if damage == "cut" else b"{}")
    with pytest.raises(ArtifactError, match="model"):
        LSA.load(tmp_path / "model")


def test_a_forged_manifest_does_not_hide_damage(tmp_path):
    """A manifest that vouches for other files still meets files that do not fit."""
    fitted = LSA.fit(CORPUS, 5, 0)
    folder = tmp_path / "model"
    fitted.save(folder)
    saved = json.loads((folder / VOCABULARY).read_text("utf-8"))["words"]
    for value in ({"words": saved[1:]}, {"words": "no list"}, {}):
        (folder / VOCABULARY).write_text(json.dumps(value), "utf-8")
        forge(folder)
        with pytest.raises(ArtifactError, match=r"damaged|lists no words"):
            LSA.load(folder)
    (folder / VOCABULARY).write_text(json.dumps({"words": saved}), "utf-8")
    forge(folder)
    assert LSA.load(folder).fingerprint() == fitted.fingerprint()
    (folder / ARRAYS).write_bytes(b"nothing")
    forge(folder)
    with pytest.raises(ArtifactError, match="cannot be read"):
        LSA.load(folder)


def test_a_model_of_another_kind_or_segmenter_is_refused(tmp_path):
    LSA.fit(CORPUS, 5, 0).save(tmp_path / "model")
    with pytest.raises(ArtifactError, match="holds a lsa topic model, not a doc2vec"):
        Doc2Vec.load(tmp_path / "model")
    forge(tmp_path / "model", segmenter="words-0")
    with pytest.raises(MismatchError, match="fit it again"):
        LSA.load(tmp_path / "model")


def test_a_corpus_is_a_file_of_lines_or_a_folder_of_texts(tmp_path, capfd):
    file = tmp_path / "texts.txt"
    file.write_bytes("\ufeffa dog\r\n\n  一只狗 \n".encode() + b"caf\xe9\nlast")
    assert read_corpus(file) == ["a dog", "一只狗", "last"]
    assert capfd.readouterr().err.startswith(f"skipped {file}:4: not UTF-8")
    folder = tmp_path / "folder"
    (folder / "b").mkdir(parents=True)
    (folder / "b" / "2.txt").write_text("second\nline", "utf-8")
    (folder / "a.txt").write_text("first", "utf-8")
    (folder / "c.txt").write_bytes(b"\xff")
    (folder / "picture.jpg").write_bytes(b"\xff")
    (folder / "d.txt").mkdir()
    (folder / "e.txt").symlink_to(tmp_path / "nowhere")
    assert read_corpus(folder) == ["first", "second\nline"]
    skipped = capfd.readouterr().err.splitlines()
    assert [Path(line.split(": ")[0]).name for line in skipped] == ["c.txt", "d.txt", "e.txt"]


def test_a_corpus_that_is_not_there_or_holds_nothing_is_refused(tmp_path):
    with pytest.raises(DataError, match="nowhere cannot be read"):
        read_corpus(tmp_path / "nowhere")
    (tmp_path / "blank").write_text("\n \n", "utf-8")
    for path in (tmp_path / "blank", tmp_path):
        with pytest.raises(DataError, match="holds no text"):
            read_corpus(path)
