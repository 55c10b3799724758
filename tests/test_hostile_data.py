"""A sample of what ``runs/hostile_data.py`` hands over: each is read or refused in one line."""

import subprocess
import sys
from pathlib import Path

import pytest

import visita
from visita.data.prose import read_article
from visita.errors import ConfigError, DataError
from visita.home import cache_home, data_home
from visita.search.passages import LONGEST, passages
from visita.training.config import FusionConfig

pytestmark = pytest.mark.slow

QUICK = ("CSV", "JSON", "Parquet", "tar", "folder", "TOML", "set:", "VISITA_HOME")
ALWAYS = (
    "Parquet: a text of 1 MB 6,400 times",
    "--config /dev/zero",
    "VISITA_HOME: of no user",
)


@pytest.mark.parametrize(
    "chosen",
    [
        ("--only", *ALWAYS),
        pytest.param(("--only", *QUICK, "--sample", "12"), marks=pytest.mark.campaign),
    ],
)
def test_what_a_stranger_hands_over_is_read_or_refused(tmp_path, chosen):
    out = tmp_path / "out.md"
    script = Path(__file__).parents[1] / "runs" / "hostile_data.py"
    done = subprocess.run(
        [sys.executable, script, "--out", out, *chosen],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = out.read_text("utf-8").splitlines()
    assert lines[0].endswith("hostile files, settings and homes: 0 faults")
    rows = lines[6:]
    assert len(rows) == (len(ALWAYS) if chosen[1] in ALWAYS else 12)
    assert chosen[1] not in ALWAYS or all("| error: " in row for row in rows)


# Settings and homes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a = " + "[" * 100_000, "nested too deeply"),
        (".".join("a" * 100_000) + " = 1", "has a line with more than 1000 dots"),
        ("".join(f"k{n}.a = 1\n" for n in range(20_000)), "And 19,995 more"),
        ("seed = -1", "seed: Input should be greater than or equal to 0"),
        ("seed = 4294967296", "seed: Input should be less than 4294967296"),
        ("learning_rate = nan", "learning_rate: Input should be a finite number"),
        ("weight_decay = inf", "weight_decay: Input should be a finite number"),
        ("#" * 1_000_001, "is larger than 1,000,000 bytes"),
        ("seed = " + "9" * 5000, "cannot be read as TOML"),
    ],
)
def test_settings_from_a_stranger_are_refused(tmp_path, content, message):
    (tmp_path / "x.toml").write_text(content, "utf-8")
    with pytest.raises(ConfigError, match=message) as caught:
        FusionConfig.read(tmp_path / "x.toml")
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("seed=" + "[" * 100_000, "The value of seed is nested too deeply"),
        ("a." * 100_000 + "b=1", "no settings within settings of 100,000 levels"),
        ("seed=NaN", "seed: Input should be a finite number"),
        ("weight_decay=Infinity", "weight_decay: Input should be a finite number"),
    ],
)
def test_a_setting_of_the_command_line_too(setting, message):
    with pytest.raises(ConfigError, match=message):
        FusionConfig.read(None, [setting])


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("~nosuchuser/x", "there is no such user"),
        ("{}/file", "which is not a folder"),
        ("/dev/null", "which is not a folder"),
        ("x" * 5000, "File name too long"),
    ],
)
def test_a_home_that_cannot_be_is_refused(tmp_path, monkeypatch, named, message):
    (tmp_path / "file").touch()
    monkeypatch.setenv("VISITA_HOME", named.replace("{}", str(tmp_path)))
    for home in (data_home, cache_home):
        with pytest.raises(ConfigError, match=message):
            home()


def test_a_home_of_ones_own_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("VISITA_HOME", "~/mine")
    assert data_home() == tmp_path / "mine" and cache_home() == tmp_path / "mine" / "cache"


# Articles


@pytest.mark.parametrize("piece", ["&", "<", """."')]""", ". ", "狗", "!\u0301"])
def test_an_article_of_a_megabyte_of_signs_is_refused(piece):
    article = (piece * 1_000_000)[:1_000_000]
    with pytest.raises(DataError, match="more than 300,000 words or 100,000 signs"):
        passages(read_article(article.encode()))


def test_an_article_up_to_the_limit_is_read_whole():
    text = "a dog runs. " * (LONGEST // 3)
    assert passages(text) == ["a dog runs."]
    with pytest.raises(DataError, match="give the part that matters"):
        passages(text + "one")


def test_a_text_on_stdin_without_end_is_refused(tmp_path):
    (tmp_path / "a.jpg").touch()
    with Path("/dev/zero").open("rb") as endless:
        done = subprocess.run(
            [sys.executable, "-m", "visita", "match", str(tmp_path / "a.jpg"), "-"],
            stdin=endless,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: The text is larger than 20 MB; cut it into smaller texts.\n"


def test_a_seed_is_checked_whatever_the_data(drawn_pairs):
    with pytest.raises(ConfigError, match="A seed is a whole number from 0"):
        visita.evaluate("visita-small", drawn_pairs, seed=-1)
