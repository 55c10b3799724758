"""The report: one file without a network, safe whatever a picture is called, all three alike."""

from __future__ import annotations

import base64
import json
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from visita.evaluation.intervals import Difference, Estimate
from visita.report import (
    Bars,
    Column,
    Curves,
    Example,
    Examples,
    Picture,
    Report,
    Row,
    Table,
    write_report,
)
from visita.report.claims import Claim, Comparison, Verdict
from visita.report.write import plain
from visita.types import Skipped

HOSTILE = '<script>alert("x")</script> & $x_1$ | `a` *b* {{ 1 + 1 }} </title>'
VOID = {"meta", "img", "link", "br"}


def shown_as(value: float) -> str:
    return f"{value:.1f}".replace("-", "−")


def estimate(value: float, margin: float = 2.0) -> Estimate:
    return Estimate(value, value - margin, value + margin)


def make_report(folder: Path, name: str = "direct, MLP(fc)", text: str = "A dog runs.") -> Report:
    Image.new("RGB", (400, 200), "red").save(folder / "red.png")
    pictures = (
        Picture("red.png", folder / "red.png", True),
        Picture(f"gone {name}.png", folder / "gone.png", False),
    )
    columns = tuple(Column(g, k) for g in ("400 images", "1,000 images") for k in ("R@1", "R@10"))
    rows = (
        Row("recommendation, fc", tuple(map(estimate, (3.14, 20.25, 1.5, 14.75)))),
        Row(name, (*map(estimate, (9.11, 45.55, 5.05)), None)),
    )
    lines = {
        "recommendation, fc": [estimate(3.0 * k) for k in range(1, 11)],
        name: [estimate(4.5 * k) for k in range(1, 11)],
    }
    claim = Claim(
        "direct",
        "Direct matching beats recommendation",
        "1,000 images",
        (Comparison(name, "recommendation, fc", "R@10"),),
        paper={"Sohu-400": "+14.0", "Flickr30K": "+20.6"},
    )
    verdict = Verdict(claim, (Difference(-5.5, -6.5, -4.5, 0.0002),), 0.003, "does not hold")
    missing = Verdict(replace(claim, id="missing"), (), None, "not measured")
    return Report(
        title=f"Multi-level fusion with {name}",
        lead=("One claim does not hold.",),
        setting={"pairs": "flickr8k", "image encoder": name},
        command="visita reproduce fusion --data flickr8k:PATH --out DIR",
        parts=(
            Table("Recommendation and direct matching", "Recall in percent.", columns, rows),
            Curves("Recall at K", "1,000 images", "K", "recall, %", lines),
            Bars("Fig. 3", "Recommendation", "R@10, %", {"none": estimate(8), name: estimate(11)}),
        ),
        verdicts=(verdict, missing),
        verdicts_note="Paired bootstrap.",
        examples=(
            Examples("Worst", "By rank", (Example("red.png, text 1", text, "rank 7", pictures),)),
        ),
        warnings=(f"Topics come from all texts of {name}.",),
        failed=(Skipped("MLP(fc), seed 3", "the disk is full"),),
    )


class Page(HTMLParser):
    """Collects what a page shows and asks for, and checks that its tags nest."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.shown: list[str] = []
        self.drawn: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        (self.drawn if "svg" in self.open else self.shown).append(data)
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += f"{data} "


@pytest.fixture
def report(tmp_path) -> Report:
    return make_report(tmp_path)


@pytest.fixture
def page(report, tmp_path) -> Page:
    write_report(report, tmp_path)
    return Page((tmp_path / "report.html").read_text("utf-8"))


@pytest.mark.slow
def test_the_page_asks_for_nothing_outside_itself(page):
    asked = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href", "srcset", "data", "action") and value
    ]
    assert asked
    assert all(value.startswith(("data:image/jpeg;base64,", "#")) for value in asked)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    styles = " ".join(page.shown)
    assert "url(" not in styles
    assert "@import" not in styles
    policies = [a["content"] for tag, a in page.tags if "http-equiv" in a]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]


def test_pictures_are_small_copies_and_a_lost_one_is_named(page):
    sources = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(sources) == 1
    with Image.open(BytesIO(base64.b64decode(sources[0].partition(",")[2]))) as picture:
        assert picture.size == (300, 150)
        red, green, blue = picture.convert("RGB").getpixel((75, 75))
    assert red > 240
    assert max(green, blue) < 20
    assert any("gone direct, MLP(fc).png cannot be read" in text for text in page.shown)


def test_every_number_of_the_json_is_on_the_page_and_in_the_markdown(page, tmp_path):
    numbers = json.loads((tmp_path / "report.json").read_text("utf-8"))
    markdown = (tmp_path / "report.md").read_text("utf-8")
    [table] = numbers["tables"]
    for row in table["rows"]:
        [shown] = [r[1:] for r in page.rows if r and r[0].strip() == row["name"]]
        cells = [[shown_as(one) for one in c.values()] if c else None for c in row["cells"]]
        assert [" ".join(cell.split()) for cell in shown] == [
            f"{c[0]} {c[1]}–{c[2]}" if c else "–" for c in cells
        ]
        line = next(li for li in markdown.splitlines() if li.startswith(f"| {row['name']} |"))
        assert [cell.strip() for cell in line.replace("**", "").split("|")[2:-1]] == [
            f"{c[0]} [{c[1]}, {c[2]}]" if c else "–" for c in cells
        ]
    [difference] = numbers["claims"][0]["differences"]
    assert (difference["value"], difference["low"], difference["high"]) == (-5.5, -6.5, -4.5)
    [shown] = [r for r in page.rows if "does not hold" in " ".join(r)]
    assert " ".join(shown[2].split()) == "R@10 −5.5 −6.5 to −4.5"
    assert "R@10 −5.5 [−6.5, −4.5] | 0.003 | does not hold |" in markdown
    for name, line in numbers["figures"][0]["lines"].items():
        values = [f"{p['value']:.1f} [{p['low']:.1f}, {p['high']:.1f}]" for p in line]
        assert f"| {name} | {' | '.join(values)} |" in markdown.replace("**", "")


def test_figures_name_their_lines_and_bars(page):
    drawn = [text.strip() for text in page.drawn]
    assert {"recommendation, fc", "direct, MLP(fc)", "none", "recall, %", "R@10, %"} <= set(drawn)


def test_the_best_of_a_column_is_bold(report, tmp_path):
    write_report(report, tmp_path)
    bold = re.findall(r"<b>([\d.]+)</b>", (tmp_path / "report.html").read_text("utf-8"))
    assert bold == ["14.8", "9.1", "45.5", "5.0"]


@pytest.mark.slow
def test_warnings_failures_and_what_was_not_measured_are_said(page, tmp_path):
    for text in (" ".join(page.shown), (tmp_path / "report.md").read_text("utf-8")):
        assert "Topics come from all texts" in text
        assert "the disk is full" in text
        assert "not measured" in text


def test_markdown_and_json_hold_ids_and_neither_texts_nor_files(page, tmp_path):
    assert any("A dog runs." in text for text in page.shown)
    for name in ("report.md", "report.json"):
        text = (tmp_path / name).read_text("utf-8")
        assert "red.png, text 1" in text
        assert "A dog runs." not in text
        assert str(tmp_path) not in text
        assert "base64" not in text


def test_hostile_names_and_texts_stay_text(tmp_path):
    write_report(make_report(tmp_path, HOSTILE, HOSTILE), tmp_path)
    page = Page((tmp_path / "report.html").read_text("utf-8"))
    assert "script" not in {tag for tag, _ in page.tags}
    shown = "".join(page.shown)
    assert shown.count(HOSTILE) >= 6  # heading, warning, table, example, lost picture, setting
    assert sum(HOSTILE[:20] in text for text in page.drawn) == 2
    assert f"gone {HOSTILE}.png" in shown
    markdown = (tmp_path / "report.md").read_text("utf-8")
    assert "<script>" not in markdown
    cells = [re.sub(r"\\.", "", li).count("|") for li in markdown.splitlines() if li[:2] == "| "]
    assert set(cells) == {6, 12, 3}


def test_an_id_that_is_no_text_is_written_as_an_escape(report, tmp_path):
    odd = os.fsdecode(b"caf\xe9.png")
    group = replace(report.examples[0], examples=(replace(report.examples[0].examples[0], id=odd),))
    write_report(replace(report, examples=(group,)), tmp_path)
    for name in ("report.html", "report.md"):
        assert r"caf\udce9.png" in (tmp_path / name).read_text("utf-8")
    numbers = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert numbers["examples"][0]["examples"][0]["query"] == odd


def test_markdown_shows_a_text_as_it_is():
    assert plain("a|b\n*c* <d> `e`") == r"a\|b \*c\* &lt;d&gt; \`e\`"


@pytest.mark.slow
def test_the_same_report_is_written_in_the_same_bytes(report, tmp_path):
    first = {}
    for _ in range(2):
        write_report(report, tmp_path / "out")
        found = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
        assert set(found) == {"report.html", "report.md", "report.json"}
        first = first or found
    assert found == first
