"""Names that people type, and the hints they get."""

from __future__ import annotations

import subprocess
import sys

import pytest

from visita.baselines import BASELINES
from visita.cli.app import COMMANDS
from visita.data.readers import READERS
from visita.encoders.table import IMAGE_ENCODERS, TEXT_ENCODERS
from visita.errors import (
    ConfigError,
    MissingExtraError,
    UnknownNameError,
    VisitaError,
    did_you_mean,
)
from visita.gallery.engines import ENGINES
from visita.kernels import KERNELS
from visita.networks import LOSSES, NETWORKS, PAIR_LOSSES, PAIR_NETWORKS
from visita.registry import Registry


def test_a_name_is_imported_when_it_is_used():
    program = """
import sys
from visita.registry import Registry
table = Registry("thing", {"colours": "colorsys:rgb_to_hsv", "gone": "no_such_module:x"})
assert table.names() == ("colours", "gone") and "gone" in table and "other" not in table
assert "colorsys" not in sys.modules
import colorsys
assert table.load("colours") is colorsys.rgb_to_hsv
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_an_unknown_name_is_refused_with_the_nearest_and_all_names():
    with pytest.raises(UnknownNameError) as caught:
        IMAGE_ENCODERS.load("efficient-lite2")
    assert "image encoder is called 'efficient-lite2'" in str(caught.value)
    assert "Did you mean 'efficientnet-lite2'?" in str(caught.value)
    for name in IMAGE_ENCODERS.names():
        assert name in str(caught.value)
    assert isinstance(caught.value, ConfigError)


def test_a_family_stands_for_every_name_after_its_colon():
    table = Registry("thing", {"alpha": "os:sep", "pick:": "operator:itemgetter"})
    assert table.names() == ("alpha",) and table.families() == ("pick:",)
    assert "pick:a" in table and "pick:a:b/c" in table
    assert all(name not in table for name in ("pick:", "pick", "alpha:", "alpha:x", ":", ""))
    assert table.load("pick:a:b")()({"a:b": 3}) == 3
    assert table.load("alpha") == "/"


def test_an_unknown_family_is_refused_with_the_nearest():
    table = Registry("thing", {"alpha": "os:sep", "pick:": "operator:itemgetter"})
    with pytest.raises(UnknownNameError, match=r"mean 'pick:a'\? Known: alpha, pick:NAME\."):
        table.load("pik:a")
    with pytest.raises(UnknownNameError, match=r"'pick:'\. Known"):
        table.load("pick:")
    with pytest.raises(UnknownNameError, match="Did you mean 'timm:resnet18'"):
        IMAGE_ENCODERS.load("tim:resnet18")
    assert {"torchvision:", "timm:", "transformers:"} < set(IMAGE_ENCODERS.families())


def test_what_is_like_nothing_gets_no_hint():
    assert did_you_mean("zzz", ["alpha", "beta"]) == ""
    assert did_you_mean("bata", iter(["alpha", "beta"])) == " Did you mean 'beta'?"
    with pytest.raises(UnknownNameError, match=r"'zzz'\. Known: alpha\."):
        Registry("thing", {"alpha": "os:path"}).load("zzz")


@pytest.mark.parametrize(
    "registry",
    [
        *(IMAGE_ENCODERS, TEXT_ENCODERS, READERS, KERNELS, NETWORKS, PAIR_NETWORKS),
        *(LOSSES, PAIR_LOSSES, BASELINES, ENGINES, COMMANDS),
    ],
    ids=lambda r: r.kind.replace(" ", "-"),
)
def test_every_name_in_our_tables_leads_somewhere(registry):
    for name in [*registry.names(), *(f"{family}name" for family in registry.families())]:
        assert callable(registry.load(name))


@pytest.mark.parametrize("name", BASELINES.names())
def test_what_a_class_states_is_read_from_its_source(name):
    stated, kind = BASELINES.stated(name), BASELINES.load(name)
    assert stated["what"] == kind.__doc__.splitlines()[0]
    assert (stated["paper"], stated.get("extra")) == (kind.paper, kind.extra)
    depth = kind.model_fields.get("depth")
    assert stated.get("depth") == (depth and depth.default)


def test_nothing_is_imported_for_what_a_class_states():
    program = """
import sys
from visita.baselines import BASELINES
assert BASELINES.stated("scan")["depth"] == 50
assert not {"torch", "sklearn", "visita.baselines.scan"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_missing_extra_names_the_line_that_installs_it():
    error = MissingExtraError("reading Parquet", "parquet")
    assert isinstance(error, VisitaError)
    assert "pip install 'visita[parquet]'" in str(error)
