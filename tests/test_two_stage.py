"""Matchers of two stages wherever a person uses a matcher, beside plain loops over their parts."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forging import GONE, forge
from tiny import two_stages

import visita
from visita.cli.models import describe
from visita.data.corruptions import corrupt
from visita.data.decode import decode
from visita.errors import ArtifactError, ConfigError, DataError, MismatchError, UnknownNameError
from visita.evaluation.measure import features_for
from visita.evaluation.pairs import best_f1_threshold, draw_pairs
from visita.evaluation.ranks import mean_ranks
from visita.evaluation.rerank import RerankedPairs
from visita.gallery.columns import PARTS, VECTOR, Taken
from visita.gallery.gallery import StoredGallery
from visita.gallery.packing import as_kept
from visita.gallery.snapshot import Snapshot
from visita.gallery.stores import discard, vectors_folder
from visita.gallery.upkeep import compact_gallery
from visita.matchers import shipped_folder
from visita.matchers.cross_modal import CrossModalReranker
from visita.matchers.probability import KeywordCalibration
from visita.matchers.rerank import DEPTH, RerankedMatcher
from visita.matchers.usual import usual_scores
from visita.reports.costs import measure, parameters
from visita.reports.demo import run as run_demo
from visita.reports.demo import sample_pictures
from visita.reports.robustness import ranks_of
from visita.reports.robustness_report import Condition, Subject
from visita.search.crowd import crowd_of
from visita.search.matches import Match
from visita.search.passages import passages
from visita.search.query import RERANKED_PASSAGES, Query, kind_of
from visita.search.search import search
from visita.store.pictures import RecipeEncoder
from visita.store.store import FeatureStore
from visita.testing import check_matcher
from visita.types import TextFeatures

pytestmark = pytest.mark.slow

SENTENCE = "a red circle and a blue square on a white background"
ARTICLE = """The exhibition opens on Sunday. There is a red circle on a blue background.
Tickets cost five euros for adults. The painter shows a red circle, in front of blue."""
WITHOUT_TORCH = """
import sys
from visita.cli import main
try:
    main()
finally:
    print("torch" in sys.modules, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def folder(drawn_pairs) -> Path:
    return two_stages(drawn_pairs)


@pytest.fixture(scope="module")
def matcher(folder) -> RerankedMatcher:
    return visita.load(folder)


@pytest.fixture(scope="module")
def pictures(drawn_folder, tmp_path_factory) -> Path:
    """Return a folder with sixty drawn pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    for path in sorted(drawn_folder.glob("*.[jp][pn]g"))[:60]:
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def gallery(pictures, matcher) -> visita.Gallery:
    one = visita.Gallery.open(pictures, matcher=matcher)
    one.sync()
    return one


@pytest.fixture(scope="module")
def columns(matcher, pictures) -> Mapping[str, np.ndarray]:
    paths = sorted(pictures.iterdir())[:4]
    return RecipeEncoder(matcher.recipe).encode_pictures([decode(path) for path in paths])


@pytest.fixture(scope="module")
def texts(gallery) -> TextFeatures:
    return gallery.finder.texts.encode([SENTENCE, "a star", "a green stripe"])


class Counting(RecipeEncoder):
    """Knows how many pictures it was given."""

    count = 0

    def encode(self, items: Iterable[Any]) -> Any:
        def counted() -> Any:
            for item in items:
                self.count += 1
                yield item

        return super().encode(counted())


def naive_probability(finder: visita.Finder, path: str, text: str) -> float:
    """Return P(match) of a picture and a text, number by number."""
    matcher, cut = finder.matcher, passages(text)
    query = Query.from_texts(cut, finder.texts, matcher)
    columns = as_kept(finder.pictures.encode_pictures([decode(Path(path))]))
    [image], text_vector = matcher.embed_images(columns), query.pooled()
    weights = [float(one) / float(query.weights.sum()) for one in query.weights]
    packed = matcher.reranker.pack_images(columns)
    second = [
        float(matcher.reranker.scores(packed, one)[0]) for one in matcher.reranker.pack_texts(cut)
    ]
    lengths = [sum(float(x) ** 2 for x in side) ** 0.5 for side in (image, text_vector)]
    product = sum(float(x) * float(y) for x, y in zip(image, text_vector, strict=True))
    known, others = matcher.match_probability, matcher.first.any_texts.astype(float)
    usual = [float(other @ image) / lengths[0] for other in others]
    height = (product / (lengths[0] * lengths[1]) - np.median(usual)) / np.std(usual)
    odds = (
        known.intercept
        + known.second * sum(w * s for w, s in zip(weights, second, strict=True))
        + known.height * height
        + known.text_length * math.log(lengths[1])
    )
    return 1 / (1 + math.exp(-odds))


def with_reranker(matcher: RerankedMatcher, **methods: Any) -> RerankedMatcher:
    """Return the matcher with other methods of its re-ranker; its fingerprint stays."""
    changed = object.__new__(type("Changed", (CrossModalReranker,), methods))
    vars(changed).update(vars(matcher.reranker))  # with the networks that it has loaded
    return replace(matcher, reranker=changed)


def naive(finder: visita.Finder, snapshot: Snapshot, text: str, depth: int) -> list[Any]:
    """Return path and score of every picture, best first, one picture and passage at a time."""
    matcher, cut = finder.matcher, passages(text)
    query = Query.from_texts(cut, finder.texts, matcher)
    vector, weights = query.pooled(), query.weights
    cosines = [float(np.dot(row.astype(float), vector.astype(float))) for row in snapshot.vectors]
    order = sorted(range(len(snapshot)), key=lambda row: (-cosines[row], snapshot.paths[row]))
    heavy = sorted(range(len(cut)), key=lambda i: (-weights[i], i))[:8]
    total = sum(float(weights[i]) for i in heavy)
    packed = {i: matcher.reranker.pack_texts([cut[i]])[0] for i in heavy}
    second = {
        row: sum(
            float(weights[i])
            / total
            * float(matcher.reranker.scores(parts(snapshot, row), packed[i])[0])
            for i in heavy
        )
        for row in order[:depth]
    }
    worst, beta = min(second.values()), matcher.weight
    both = {row: (1 - beta) * cosines[row] + beta * second.get(row, worst) for row in order}
    near = sorted(order[:depth], key=lambda row: (-both[row], snapshot.paths[row]))
    return [(Path(snapshot.paths[row]), both[row]) for row in near + order[depth:]]


def parts(snapshot: Snapshot, row: int) -> np.ndarray:
    return snapshot.packed(row)[None]


def assert_same(found: list[Match], expected: list[Any]) -> None:
    """Check paths and scores; two that differ by rounding alone may change places."""
    scores = dict(expected)
    assert len(found) == len({match.path for match in found}) == len(expected)
    for match, (_, score) in zip(found, expected, strict=True):
        assert match.score == pytest.approx(scores[match.path], abs=2e-5)
        assert match.score == pytest.approx(score, abs=2e-5)


def test_the_contract(matcher, columns, texts):
    assert 0 < matcher.weight < 1
    check_matcher(matcher, columns, texts)


def test_its_depth_is_saved_and_was_fifty_before_there_was_one(matcher, tmp_path):
    deep = replace(matcher, depth=7)
    deep.save(tmp_path / "deep")
    saved = visita.load(tmp_path / "deep")
    assert saved.depth == 7 and saved.fingerprint() == deep.fingerprint()
    assert deep.fingerprint() != matcher.fingerprint()
    forge(tmp_path / "deep", depth=GONE, match_probability=GONE)
    older = visita.load(tmp_path / "deep")
    assert older.depth == 50 and older.fingerprint() == matcher.fingerprint()
    assert older.match_probability is None


def test_what_it_does_not_look_at_keeps_its_place(matcher, drawn_pairs):
    test = features_for(matcher, drawn_pairs.take("test"), None)
    images, texts = RerankedPairs(matcher, test).vectors
    both, cosines = RerankedPairs(matcher, test).dense(), images @ texts.T
    found = RerankedPairs(replace(matcher, depth=3), test).ranks()
    truth = test.pairs.truth.toarray()
    ways = zip(found, (cosines, cosines.T), (both, both.T), (truth, truth.T), strict=True)
    for ranks, first, second, true in ways:
        for row, rank in enumerate(mean_ranks(ranks)):
            order = np.argsort(-first[row], kind="stable")
            near = sorted(order[:3], key=lambda item: -second[row, item])
            wanted = [true[row, item] for item in [*near, *order[3:]]]
            assert rank == 1 + wanted.index(True)


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({"packed_shape": (26, 100)}, "may take 4096 bytes"),
        ({"pack_images": lambda s, c: CrossModalReranker.pack_images(s, c)[:, 1:]}, "must return"),
        (
            {"pack_images": lambda s, c: CrossModalReranker.pack_images(s, c).astype(float)},
            "float16",
        ),
        (
            {"pack_images": lambda s, c: CrossModalReranker.pack_images(s, c)[::-1]},
            "alone and among others",
        ),
        (
            {"pack_images": lambda s, c: 0 * CrossModalReranker.pack_images(s, c)},
            "tell pictures apart",
        ),
        ({"pack_texts": lambda s, t: CrossModalReranker.pack_texts(s, t)[:-1]}, "one array a text"),
        (
            {"scores": lambda s, i, t: CrossModalReranker.scores(s, i, t) + np.float32(np.nan)},
            "finite",
        ),
        (
            {"scores": lambda s, i, t: CrossModalReranker.scores(s, i, t) + np.float32(len(i))},
            "a pair must",
        ),
    ],
)
def test_a_second_stage_that_breaks_the_contract_is_found(
    matcher, columns, texts, methods, message
):
    with pytest.raises(AssertionError, match=message):
        check_matcher(with_reranker(matcher, **methods), columns, texts)


def test_a_second_stage_that_needs_torch_each_time_is_found(matcher, columns, texts):
    def scores(self, images, text):
        import torch  # noqa: PLC0415

        network = self.torch_network()
        with torch.inference_mode():
            found = network.score(
                torch.from_numpy(images.astype(np.float32)), torch.from_numpy(text)[None]
            )
        return found[:, 0].numpy()

    with pytest.raises(AssertionError, match="must not need torch"):
        check_matcher(with_reranker(matcher, scores=scores), columns, texts)
    assert sys.modules["torch"].inference_mode


def test_saved_and_loaded_it_is_the_same_to_the_bit(matcher, columns, tmp_path):
    matcher.save(tmp_path / "again")
    again = visita.load(tmp_path / "again")
    assert isinstance(again, RerankedMatcher)
    assert again.fingerprint() == matcher.fingerprint()
    numbers = ("threshold", "calibration", "keyword_calibration", "match_probability")
    for name in ("name", "weight", "facts", *numbers):
        assert getattr(again, name) == getattr(matcher, name)
    one, other = (m.embed_images(columns) for m in (matcher, again))
    assert np.array_equal(one, other)
    one, other = (m.reranker.pack_images(columns) for m in (matcher, again))
    assert np.array_equal(one, other)
    texts = [m.reranker.pack_texts([SENTENCE])[0] for m in (matcher, again)]
    assert np.array_equal(*texts)
    scores = [m.reranker.scores(one, texts[0]) for m in (matcher, again)]
    assert np.array_equal(*scores)


def test_a_damaged_second_stage_is_refused(matcher, tmp_path):
    place = tmp_path / "m"
    matcher.save(place)
    weights = place / "second" / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"weights\.safetensors is missing or changed"):
        visita.load(place)
    shutil.rmtree(place / "second")
    with pytest.raises(ArtifactError, match="is missing or changed"):
        visita.load(place)
    forge(place)
    with pytest.raises(ArtifactError, match="second is not a saved rescorer"):
        visita.load(place)


def test_tokens_of_another_encoder_are_refused(matcher, tmp_path):
    encoders = {**matcher.reranker.encoders, "minilm-l6": "0123456789abcdef"}
    replace(matcher, reranker=replace(matcher.reranker, encoders=encoders)).save(tmp_path / "m")
    with pytest.raises(MismatchError, match="another minilm-l6"):
        visita.load(tmp_path / "m")


def test_a_gallery_keeps_the_packed_parts_of_each_picture(gallery, matcher, pictures):
    paths = [Path(path) for path in gallery.snapshot.paths]
    assert paths == sorted(pictures.iterdir())
    fresh = RecipeEncoder(matcher.recipe).encode_pictures([decode(path) for path in paths[:5]])
    packed = matcher.reranker.pack_images(fresh)
    for row in range(5):
        kept = gallery.snapshot.packed(row)
        assert kept.dtype == np.float16 and kept.shape == matcher.reranker.packed_shape
        assert kept.nbytes <= 4096
        assert np.allclose(kept, packed[row], atol=2e-3)
    assert not np.allclose(packed[0], packed[1], atol=2e-2)


def test_what_is_known_is_never_computed_again(matcher, pictures, tmp_path):
    encoder, place = Counting(matcher.recipe), StoredGallery.open(pictures, home=tmp_path)
    place.sync(matcher, encoder)
    assert encoder.count == 60
    unable = with_reranker(matcher, pack_images=None)
    assert place.sync(unable, encoder).unchanged == 60
    other = replace(matcher, weight=matcher.weight / 2)
    assert place.sync(other, encoder).unchanged == 60  # packed again, from what is stored
    assert encoder.count == 60
    snapshots = [place.snapshot(one.fingerprint()) for one in (matcher, other)]
    for row in (0, 59):
        assert np.allclose(*(one.packed(row) for one in snapshots), atol=2e-3)


def test_a_snapshot_keeps_its_parts_while_pictures_come_and_go(matcher, pictures, tmp_path):
    folder = tmp_path / "some"
    shutil.copytree(pictures, folder)
    encoder, place = (
        RecipeEncoder(matcher.recipe),
        StoredGallery.open(folder, home=tmp_path / "home"),
    )
    place.sync(matcher, encoder)
    before = place.snapshot(matcher.fingerprint())
    kept = [before.packed(row) for row in range(60)]
    for path in sorted(folder.iterdir())[5:]:
        path.unlink()
    place.sync(matcher, encoder)
    compact_gallery(place.path)  # most rows are dropped from the store
    after = place.snapshot(matcher.fingerprint())
    assert len(after) == 5 and len(after.store) < 60
    for row in range(60):
        assert np.array_equal(before.packed(row), kept[row])
    for row in range(5):
        assert np.array_equal(after.packed(row), kept[row])


def test_of_a_matcher_with_one_stage_there_are_vectors_alone(matcher, pictures, tmp_path):
    place, first = StoredGallery.open(pictures, home=tmp_path), matcher.first
    place.sync(first, RecipeEncoder(matcher.recipe))
    store = FeatureStore.open(vectors_folder(place.path, first.fingerprint()))
    assert store.columns == {VECTOR: (first.dim,)}
    snapshot = place.snapshot(first.fingerprint())
    with pytest.raises(DataError, match="nothing for a second stage"):
        snapshot.packed(0)
    query = replace(Query.from_vectors(snapshot.vectors[:1]), matcher=matcher)
    assert query.reranker is None
    assert replace(query, texts=(SENTENCE,)).reranker is not None
    assert replace(query, texts=(SENTENCE,), matcher=first).reranker is None


def test_vectors_without_parts_are_made_anew(matcher, pictures, tmp_path):
    encoder, place = Counting(matcher.recipe), StoredGallery.open(pictures, home=tmp_path)
    place.sync(matcher, encoder)
    where = vectors_folder(place.path, matcher.fingerprint())
    store = FeatureStore.open(where)
    ids, vectors = store.ids, np.array(store.column(VECTOR))
    discard(where)
    with FeatureStore.create(where, {VECTOR: matcher.dim}, store.facts) as bare:
        bare.append(ids, {VECTOR: vectors})
    place.sync(matcher, encoder)
    assert encoder.count == 60
    assert set(FeatureStore.open(where).columns) == {VECTOR, PARTS}
    assert place.snapshot(matcher.fingerprint()).packed(3).any()


@pytest.mark.parametrize("k", [1, 7, 20, 60, 1000])
@pytest.mark.parametrize("text", [SENTENCE, ARTICLE, "a small green star"])
def test_the_best_of_the_first_stage_come_in_the_order_of_both(gallery, matcher, text, k):
    finder = gallery.finder
    query = Query.from_texts(passages(text), finder.texts, replace(matcher, depth=7))
    found = search(query, [gallery], k)
    expected = naive(gallery.finder, gallery.snapshot, text, depth=7)
    assert_same(found, expected[:k])
    scores = [match.score for match in found]
    assert scores == sorted(scores, reverse=True)
    known = np.array([score for _, score in expected], np.float32)
    crowd = crowd_of(query, [gallery.snapshot], known[:7])
    calibrated = matcher.probability(known[:k], 60, crowd=crowd).tolist()
    assert [match.probability for match in found] == pytest.approx(calibrated, abs=1e-4)
    first = gallery.snapshot.vectors @ query.pooled()
    order = [list(gallery.snapshot)[row] for row in np.argsort(-first)]
    assert {m.path for m in found[:7]} <= set(order[:7])
    assert [m.path for m in found[7:]] == order[7:k]
    if k == 60:
        assert [m.path for m in found[:7]] != order[:7]


def test_a_search_looks_at_fifty_again_whatever_is_asked_for(gallery):
    expected = naive(gallery.finder, gallery.snapshot, SENTENCE, DEPTH)
    assert DEPTH == 50
    every = gallery.search(SENTENCE, 60)
    assert_same(every, expected)
    assert gallery.search(SENTENCE, 3) == every[:3]
    cut = every[20].probability
    assert gallery.search(SENTENCE, 60, threshold=cut) == [
        match for match in every if match.probability >= cut
    ]
    with pytest.raises(ConfigError, match="at least 1"):
        gallery.search(SENTENCE, 0)


def test_of_a_long_text_the_passages_that_weigh_most_are_read(gallery, matcher):
    scenes = [f"There is a red circle on blue, seen from place {i}." for i in range(9)]
    noise = [f"The mayor spoke for {i} hours about taxes and roads." for i in range(40)]
    text = " ".join([*noise[:20], *scenes, *noise[20:]])
    query = Query.from_texts(passages(text), gallery.finder.texts, matcher)
    packed, weights = query.packed
    assert len(packed) == len(weights) == RERANKED_PASSAGES == 8
    assert weights.sum() == pytest.approx(1)
    heavy = np.argsort(-query.weights, kind="stable")[:8]
    expected = matcher.reranker.pack_texts([query.texts[row] for row in heavy])
    for one, other in zip(packed, expected, strict=True):
        assert np.array_equal(one, other)
    assert_same(gallery.search(text, 60), naive(gallery.finder, gallery.snapshot, text, DEPTH))


def test_keywords_of_a_matcher_that_learnt_no_words_are_reranked(pictures, matcher):
    bare = replace(matcher, first=replace(matcher.first, words=None))
    gallery = visita.Gallery.open(pictures, matcher=bare)
    every = naive(gallery.finder, gallery.snapshot, "red star", 60)
    assert_same(gallery.search("red star", 60), every)
    some = naive(gallery.finder, gallery.snapshot, "red star", DEPTH)
    assert_same(gallery.search("red star", 20), some[:20])
    of_words = KeywordCalibration(-1.0, 0.5, 3.0, 0.2)
    told = replace(bare, keyword_calibration=of_words)
    again = visita.Gallery.open(pictures, matcher=told)
    for one, other in zip(again.search("red star", 5), gallery.search("red star", 5), strict=True):
        assert (one.path, one.score) == (other.path, other.score)
        [vector] = gallery.finder.embed_texts(["red star"])
        usual = usual_scores(bare.background, vector)
        [expected] = of_words.probability(np.array([one.score], np.float32), usual)
        assert one.probability == pytest.approx(expected) != other.probability


def test_keywords_are_found_by_what_was_learnt_of_words(gallery, matcher):
    [vector] = matcher.words(gallery.finder.embed_texts(["red star"]))
    scores = gallery.snapshot.vectors @ vector
    found = gallery.search("red star", 60)
    by_path = dict(zip(gallery.snapshot, scores.tolist(), strict=True))
    assert [one.score for one in found] == pytest.approx(sorted(scores, reverse=True), abs=1e-5)
    for one in found[:5]:
        assert one.score == pytest.approx(by_path[one.path], abs=1e-5)
        pair = gallery.finder.match(one.path, "red star")
        assert pair.score == pytest.approx(one.score, abs=1e-3)
        assert pair.probability == pytest.approx(one.probability, abs=2e-3)


def test_a_picture_is_compared_by_vectors_alone(gallery):
    snapshot = gallery.snapshot
    found = gallery.search_like(snapshot.paths[7], 60)
    vectors, _ = visita.unit_and_length(snapshot.vectors)  # local scaling shortens them
    cosines = dict(zip(snapshot, vectors @ vectors[7], strict=True))
    assert found[0].path == Path(snapshot.paths[7]) and found[0].probability is None
    assert {match.path for match in found} == set(cosines)
    for match in found:
        assert match.score == pytest.approx(float(cosines[match.path]), abs=1e-3)


def test_several_galleries_are_one_and_a_file_reached_twice_is_found_once(
    gallery, pictures, drawn_folder, tmp_path
):
    more = tmp_path / "more"
    more.mkdir()
    for path in sorted(drawn_folder.glob("*.[jp][pn]g"))[60:70]:
        shutil.copy(path, more)
    (more / "again.png").symlink_to(sorted(pictures.iterdir())[0])
    other = visita.Gallery.open(more, matcher=gallery.finder)
    other.sync()
    found = visita.find([gallery, other], SENTENCE, 100)
    assert len({match.path.resolve() for match in found}) == len(found) == 70
    one, two = gallery.snapshot, other.snapshot
    own = [row for row, path in enumerate(two.paths) if not path.endswith("again.png")]
    packed = [*(one.packed(row) for row in range(60)), *(two.packed(row) for row in own)]
    paths = [*one.paths, *(two.paths[row] for row in own)]
    with FeatureStore.create(tmp_path / "both", {PARTS: packed[0].shape}, {}) as store:
        store.append(paths, {PARTS: np.stack(packed)})
    both = Snapshot(
        paths,
        Taken.all_of(np.concatenate([one.vectors, two.vectors[own]])),
        paths,
        store,
    )
    links = {more / "again.png": sorted(pictures.iterdir())[0]}
    found = [replace(match, path=links.get(match.path, match.path)) for match in found]
    assert_same(found, naive(gallery.finder, both, SENTENCE, DEPTH))


def test_a_search_that_meets_damaged_parts_makes_them_again(gallery, pictures, tmp_path, capfd):
    own = visita.Gallery.open(pictures, matcher=gallery.finder, home=tmp_path)
    own.sync()
    expected = visita.find([own], SENTENCE, 10)
    (column,) = own.stored.path.glob("vectors-*/data-1/01-parts")
    column.write_bytes(bytes(column.stat().st_size))
    again = visita.Gallery.open(pictures, matcher=gallery.finder, home=tmp_path)
    assert visita.find([again], SENTENCE, 10) == expected
    assert "What is damaged is made again" in capfd.readouterr().err
    assert again.snapshot.packed(0).any()


@pytest.mark.parametrize("text", [SENTENCE, ARTICLE])
def test_match_is_of_both_stages(gallery, matcher, text):
    finder, snapshot = gallery.finder, gallery.snapshot
    scores = dict(naive(finder, snapshot, text, len(snapshot)))
    for path in snapshot.paths[:6]:
        pair = finder.match(path, text)
        assert pair.score == pytest.approx(scores[Path(path)], abs=1e-3)
        assert pair.probability == pytest.approx(naive_probability(finder, path, text), abs=1e-4)
        assert (pair.threshold, pair.match) == (0.5, pair.probability >= 0.5)
        verdict = "match" if pair.match else "no match"
        numbers = f"probability {pair.probability:.3f}, score {pair.score:.3f}"
        assert str(pair) == f"{verdict}: {numbers}"
    bare = visita.Finder(replace(matcher, match_probability=None, threshold=pair.score + 0.01))
    found = bare.match(path, text)
    assert (found.score, found.probability, found.match) == (pair.score, None, False)
    with pytest.raises(DataError, match="describe what the picture should show"):
        finder.match(snapshot.paths[0], " ")


def test_an_article_is_recommended_what_it_finds_in_both_stages(gallery):
    found = visita.recommend([gallery], ARTICLE, k=60)
    assert [(m.path, m.score, m.probability) for m in found] == [
        (m.path, m.score, m.probability) for m in gallery.search(ARTICLE, 60)
    ]
    assert {match.passage for match in found} <= set(passages(ARTICLE))


def test_the_past_is_added_to_the_first_stage(gallery, matcher, drawn_pairs):
    past = visita.Past.learn(gallery.finder, drawn_pairs.subset(np.arange(30)))
    assert past.judge.fingerprint() == matcher.first.fingerprint()
    found = visita.recommend([gallery], drawn_pairs.texts[0], past=past, k=60)
    query = Query.from_texts([drawn_pairs.texts[0]], gallery.finder.texts, matcher)
    vector = past.advise(drawn_pairs.texts[0]).combine(query.pooled())
    cosines = dict(zip(gallery.snapshot.paths, gallery.snapshot.vectors @ vector, strict=True))
    assert [m.score for m in found] == pytest.approx(
        sorted((float(one) for one in cosines.values()), reverse=True), abs=1e-5
    )
    assert found[0].precedent is not None


def test_fused_it_takes_part_with_its_first_stage_and_says_so(
    folder, drawn_pairs, tmp_path, capsys
):
    with pytest.raises(ConfigError, match="The same matcher is given twice"):
        visita.fuse([folder, folder / "first"], drawn_pairs, tmp_path / "both")
    assert "has two stages: its first is fused" in capsys.readouterr().err


def test_a_threshold_that_is_fitted_is_of_both_stages(matcher, drawn_pairs):
    unsure = replace(matcher, match_probability=None, threshold=None)
    found = visita.evaluate(unsure, drawn_pairs, split="test", protocols=["pairs"])
    dev = features_for(matcher, drawn_pairs.take("dev"), None)
    drawn = draw_pairs(dev.pairs.truth.tocsr(), seed=0)
    scores = RerankedPairs(matcher, dev).dense()[drawn.images, drawn.texts]
    assert found["protocols"]["pairs"]["threshold"] == pytest.approx(
        best_f1_threshold(scores.astype(float), drawn.labels), abs=1e-4
    )
    assert found["protocols"]["pairs"]["threshold_from"] == "dev"


def test_what_two_stages_cost(matcher, drawn_pairs):
    found = measure(matcher, drawn_pairs.image_paths[:8], drawn_pairs.texts[:3])
    rows, width = matcher.reranker.packed_shape
    assert found["bytes_per_picture"] == 4 * matcher.dim + 2 * rows * width
    assert parameters(matcher) > parameters(matcher.first)


def test_robustness_is_of_both_stages(folder, matcher, drawn_pairs):
    dev = drawn_pairs.take("dev")
    subject = Subject("tiny", "dev", matcher, features_for(matcher, dev, None))
    measured = visita.evaluate(folder, drawn_pairs, split="dev", protocols=["retrieval"])
    found = ranks_of(Condition(subject))
    expected = measured["protocols"]["retrieval"]
    assert Condition(subject).measure(found, 0).to_dict() == expected
    assert expected != measured["protocols"]["first stage"]
    worse = ranks_of(Condition(subject, "noise", 5)).arrays
    assert all(not np.array_equal(worse[side], found.arrays[side]) for side in worse)
    pictures = [
        corrupt(decode(path), "noise", 5, sha256(path.read_bytes()).hexdigest())
        for path in dev.image_paths
    ]
    columns = RecipeEncoder(matcher.recipe).encode_pictures(pictures)
    scores = RerankedPairs(matcher, replace(subject.features, columns=columns)).dense()
    right = dev.truth.toarray()
    rows = [row[true].max() for row, true in zip(scores, right, strict=True)]
    wrong = np.where(right, -np.inf, scores)
    naive_ranks = [1 + (row > best).sum() for row, best in zip(wrong, rows, strict=True)]
    # 18 pictures and 54 texts: nearly all are looked at again, and rounding moves few.
    assert np.mean(mean_ranks(worse["images"]) == naive_ranks) > 0.8


def test_folds_are_galleries_of_their_own(matcher, drawn_pairs):
    dev = drawn_pairs.take("dev")
    mean = visita.evaluate(matcher, dev, split="all", protocols=["retrieval"], folds=2)
    halves = [
        visita.evaluate(matcher, dev.subset(rows), split="all", protocols=["retrieval"])
        for rows in np.array_split(np.arange(len(dev.image_ids)), 2)
    ]
    assert mean["protocols"]["retrieval"]["folds"] == [9, 9]
    for stage in ("retrieval", "first stage"):
        found = mean["protocols"][stage]
        parts = [half["protocols"][stage] for half in halves]
        assert found["rsum"]["value"] == pytest.approx(
            np.mean([part["rsum"]["value"] for part in parts])
        )
        for way, metric in product(("image_to_text", "text_to_image"), ("R@1", "MedR")):
            expected = np.mean([part[way][metric]["value"] for part in parts])
            assert found[way][metric]["value"] == pytest.approx(expected)
    assert mean["protocols"]["retrieval"]["rsum"] != mean["protocols"]["first stage"]["rsum"]


def test_what_cannot_be_measured_is_said(matcher, drawn_pairs):
    with pytest.raises(UnknownNameError, match="Did you mean 'pairs'"):
        visita.evaluate(matcher, drawn_pairs, split="dev", protocols=["pair"])
    with pytest.raises(ConfigError, match="Folds are of the protocol 'retrieval'"):
        visita.evaluate(matcher, drawn_pairs, split="dev", protocols=["pairs"], folds=2)


def test_adapting_asks_for_the_first_stage(folder, drawn_pairs, tmp_path):
    with pytest.raises(ConfigError, match="two stages, and vectors alone are adapted"):
        visita.adapt(folder, drawn_pairs, tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_the_demo_is_of_both_stages(matcher):
    pytest.importorskip("skimage", reason="needs the extra demo")
    answer = next(one for one in run_demo(matcher) if kind_of(one.query) == "text")
    gallery = visita.Gallery.open(sample_pictures(), matcher=matcher)
    assert_same(answer.matches, naive(gallery.finder, gallery.snapshot, answer.query, DEPTH))


def test_models_tells_of_the_second_stage(folder, matcher):
    told = describe(folder)
    parts, numbers = matcher.reranker.packed_shape
    assert told["second"] == {"depth": 50, "bytes_per_picture": 2 * parts * numbers}
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert told["bytes"] == sum(path.stat().st_size for path in files)
    assert sum("weights" in path.name for path in files) == 2
    assert describe(shipped_folder("visita-small"))["second"] is None


def test_searching_and_matching_need_no_torch(folder, gallery, pictures):
    expected = gallery.search(SENTENCE, 5)  # whatever graphs it needs exist from here on
    done = run("search", SENTENCE, pictures, "-k", "5", "--matcher", folder, "--json")
    assert [(one["path"], one["score"]) for one in done["matches"]] == [
        (str(match.path), pytest.approx(match.score, abs=1e-5)) for match in expected
    ]
    pair = gallery.finder.match(expected[0].path, SENTENCE)
    done = run("match", expected[0].path, SENTENCE, "--matcher", folder, "--json")
    assert done["score"] == pytest.approx(pair.score, abs=1e-5)


def run(*words: object) -> Any:
    """Return the JSON that a command prints, in a process that does not import torch."""
    command = [sys.executable, "-c", WITHOUT_TORCH, *map(str, words)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert done.stderr.splitlines()[-1] == "False", done.stderr
    return json.loads(done.stdout)
