"""What a person sees from Python: one line about everything, pictures in a notebook, errors."""

from __future__ import annotations

import base64
import inspect
import re
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from standin import draw_noise

import visita
from visita import kernels
from visita.arguments import listed, number, one_of, whole
from visita.data import PairSet
from visita.data.thumbnails import MOST, SIDE
from visita.errors import ConfigError, UnknownNameError
from visita.search.matches import Match, Matches
from visita.store.store import FeatureStore
from visita.types import Recipe, TextFeatures, Tokens

EVIL = "<img src=x onerror=alert(1)>\"'&.png"
LONGEST = 1000
TAGS = {"div", "p", "figure", "img", "figcaption", "br", "em"}
MODULES = ("visita", "visita.kernels", "visita.data", "visita.evaluation", "visita.types")
MODULES += ("visita.errors", "visita.matchers", "visita.training.config")


@pytest.fixture(scope="module")
def finder() -> visita.Finder:
    return visita.Finder("visita-small")


@pytest.fixture
def found(tmp_path) -> Matches[Match]:
    """Return thirty matches, of which the first two are named to do harm and broken."""
    names = [EVIL.replace("/", ""), "broken.png", *(f"{n:02d}.png" for n in range(28))]
    paths = [draw_noise(tmp_path / name, seed) for seed, name in enumerate(names)]
    paths[1].write_bytes(b"<script>")
    return Matches(Match(path, 0.5, 0.9) for path in paths)


def configurations() -> list[object]:
    return [getattr(visita, name)() for name in visita.__all__ if name.endswith("Config")]


def objects(drawn_pairs: PairSet, finder: visita.Finder, folder: Path) -> list[object]:
    zeros = np.zeros((500, 8), np.float32)
    offsets = np.arange(501)
    recipe = Recipe({"encoder": tuple(f"level{n}" for n in range(200))})
    columns = kernels.Columns.stack({"a": zeros, "b": zeros})
    rbf = kernels.Kernel(function="rbf", gamma=0.5)
    store = FeatureStore.create(folder / "store", {"a": 3}, {"made by": "a test"})
    with store:
        store.append(["one"], {"a": np.zeros((1, 3), np.float32)})
    return [
        *(drawn_pairs, finder, finder.matcher, visita.load("visita-base"), recipe, store, columns),
        *(TextFeatures(offsets, zeros), Tokens(offsets, zeros), *configurations()),
        *(visita.Gallery.open(folder), visita.Captioner(["a dog", "a cat"], matcher=finder)),
        *(rbf, kernels.Product(factors=(rbf, rbf)), kernels.SimpleMKL()),
        kernels.Space(zeros, zeros),
        kernels.NystroemMap.fit(rbf, np.eye(40), components=20, seed=0),
        kernels.sample_pairs(drawn_pairs.truth, seed=0),
    ]


@pytest.mark.slow
def test_everything_says_what_it_is_in_one_line(drawn_pairs, finder, tmp_path):
    for one in objects(drawn_pairs, finder, tmp_path):
        told = repr(one)
        assert len(told) < LONGEST and "\n" not in told, told
        assert type(one).__name__ in told
        assert " object at 0x" not in told


def test_every_public_class_has_a_line_of_its_own():
    classes = [getattr(visita, name) for name in visita.__all__]
    for one in filter(inspect.isclass, classes):
        assert one.__repr__ is not object.__repr__, one


def test_a_pair_set_tells_where_it_is_from_and_gives_its_pairs(drawn_pairs):
    assert re.search(r"120 images \(train 84, dev 18, test 18\), \d+ texts", repr(drawn_pairs))
    pairs = list(drawn_pairs)
    assert len(pairs) == len(drawn_pairs) == drawn_pairs.truth.nnz
    texts = dict.fromkeys(text for _, text in pairs)
    assert set(texts) == set(drawn_pairs.texts)
    path, text = pairs[0]
    image, row = drawn_pairs.image_paths.index(path), drawn_pairs.texts.index(text)
    assert drawn_pairs.truth[image, row]


def test_settings_show_what_was_changed():
    assert repr(visita.FusionConfig()) == "FusionConfig()"
    assert str(visita.FusionConfig(epochs=3)) == "FusionConfig(epochs=3)"


def test_a_list_of_matches_is_a_list_and_says_the_first(found):
    assert isinstance(found, list) and found == list(found)
    assert repr(Matches()) == "<Matches: 0>"
    assert repr(found).startswith("<Matches: 30: ") and "(probability 0.900)" in repr(found)
    assert len(repr(found)) < LONGEST


def test_matches_show_a_few_small_pictures(found):
    page = found._repr_html_()
    uris = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    assert len(uris) == MOST - 1  # one is broken
    assert "and 6 more" in page and len(page) < 1_000_000
    for uri in uris:
        assert max(Image.open(BytesIO(base64.b64decode(uri))).size) <= SIDE
    assert "is not a picture" in page


def test_nothing_that_is_shown_becomes_part_of_the_page(found, tmp_path):
    from visita.search.past import Precedent  # noqa: PLC0415  it learns by what is in an extra

    precedent = Precedent("x", tmp_path / EVIL, EVIL, 0.5)
    why = visita.Recommendation(found[0].path, 0.5, None, EVIL, 0.4, precedent)
    for page in (found._repr_html_(), found[0]._repr_html_(), Matches([why])._repr_html_()):
        assert "<img src=x" not in page and "<script" not in page
        assert "&lt;img src=x onerror=alert(1)&gt;" in page
        assert set(re.findall(r"<(\w+)", page)) <= {
            "div",
            "p",
            "figure",
            "img",
            "figcaption",
            "br",
            "em",
        }
        assert not re.search(r'(?:src|href)="(?!data:)', page)


def test_a_name_without_unicode_can_be_shown(tmp_path):
    page = Match(tmp_path / "a\udcff.png", 0.5, None)._repr_html_()
    assert "a\\udcff.png" in page.encode("utf-8").decode()


def test_a_gallery_without_a_sync_says_so(finder, tmp_path):
    draw_noise(tmp_path / "a.png", 0)
    gallery = visita.Gallery.open(tmp_path, matcher=finder)
    assert "synchronize" in gallery._repr_html_() and gallery


@pytest.mark.parametrize("module", MODULES)
def test_dir_lists_public_names_only(module):
    found = __import__(module, fromlist=["__all__"])
    assert dir(found) == sorted(found.__all__)
    for name in dir(found):
        assert getattr(found, name) is not None


def test_dir_of_settings_lists_settings():
    names = {name for name in dir(visita.AdaptConfig()) if not name.startswith("_")}
    assert names == {*visita.AdaptConfig.model_fields, "read", "of"}


CALLS = {
    "evaluate(3, pairs)": "A matcher is a Matcher.* not an int",
    "load(None)": "A matcher is .* not None",
    "find('folder', 'a dog')": "Galleries are a list of Gallery; number 1 is a str",
    "find([gallery], None)": "What is searched for is a str or a list of Term; not None",
    "find_like([gallery], array)": "A picture is a PIL image .*Image.fromarray.* not a ndarray",
    "recommend([gallery], 3)": "An article is a text.* not an int",
    "answer(finder, 'a.png', 'red?', 'red')": "Choices are a list of str; not a str alone",
    "compare('visita-small', pairs, out)": "Matchers are a list .* not a str alone",
    "fuse(['visita-small', 3], pairs, out)": "number 2 is an int",
    "robustness('visita-small', pairs, out)": "not a str alone",
    "train(pairs, out, config={})": "config is a FusionConfig.* not a dict",
    "adapt('visita-small', pairs, out, config={})": "config is an AdaptConfig; not a dict",
    "train_encoder(pairs, out, config={})": "config is an EndToEndConfig; not a dict",
    "explain(finder, 3, 'a dog')": "A picture is",
    "Captioner([1, 2], matcher=finder)": "Texts are a list of str.* number 1 is an int",
    "evaluate('visita-small', 3)": "Pairs are .* not int",
}


@pytest.mark.parametrize("call", CALLS)
def test_a_wrong_kind_of_thing_is_told_what_is_taken(call, drawn_pairs, finder, tmp_path):
    known = {"pairs": drawn_pairs, "out": tmp_path / "out", "finder": finder, "array": np.eye(3)}
    known["gallery"] = visita.Gallery.open(tmp_path, matcher=finder)
    with pytest.raises(TypeError, match=CALLS[call]):
        eval(f"visita.{call}", {"visita": visita, **known})


def test_texts_are_a_list(finder):
    for wrong in ("a dog", [1, 2], None, [b"a dog"]):
        with pytest.raises(TypeError, match="Texts are a list of str"):
            finder.embed_texts(wrong)


def test_a_wrong_setting_is_an_error_of_visita(drawn_pairs):
    with pytest.raises(UnknownNameError, match="Did you mean 'test'"):
        visita.evaluate("visita-small", drawn_pairs, split="tset")
    with pytest.raises(ConfigError, match="Did you mean 'epochs'"):
        visita.FusionConfig(epoch=3)
    with pytest.raises(ConfigError, match="epochs: "):
        visita.FusionConfig(epochs="many")
    with pytest.raises(ConfigError, match="gamma: "):
        kernels.Kernel(function="rbf", gamma="wide")
    with pytest.raises(ConfigError, match="one gallery or more"):
        visita.find([], "a dog")


@pytest.mark.parametrize("value", [0, -1, 2.5, "3", None, True])
def test_whole_numbers_are_whole(value):
    with pytest.raises(ConfigError, match="k is a whole number of at least 1"):
        whole(value, "k", 1)
    assert whole(np.int64(3), "k", 1) == 3


@pytest.mark.parametrize("value", ["a", None, float("nan"), 1.5, True])
def test_numbers_lie_within_their_range(value):
    with pytest.raises(ConfigError, match="threshold is a number from -1 to 1"):
        number(value, "threshold", -1, 1)
    assert number(np.float32(0.5), "threshold", -1, 1) == 0.5


def test_lists_are_lists_of_one_kind():
    assert listed(iter(["a"]), str, "texts are a list of str") == ["a"]
    assert one_of("a", "letter", ["a", "b"]) == "a"


def test_options_are_given_by_keyword():
    """Of each call at most the first three or four arguments are given by place."""
    calls = [getattr(visita, name) for name in visita.__all__ if name[0].islower()]
    for call in filter(inspect.isfunction, calls):
        names = inspect.signature(call).parameters.values()
        placed = [one.name for one in names if one.kind is one.POSITIONAL_OR_KEYWORD]
        options = [one.name for one in names if one.default is not one.empty and one.name in placed]
        assert options in ([], ["k"]), (call, options)
