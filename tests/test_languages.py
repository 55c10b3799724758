"""Languages: which one a query is in, who is told so, and recall by language."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_pretrained as tiny
import tiny_sentences
from typer.testing import CliRunner

import visita
from visita.cli.app import app
from visita.data import PairSet, check_pairs, open_pairs
from visita.data.articles import articles
from visita.data.croissant import write_croissant
from visita.data.join import join_pairs
from visita.data.pairs import held_out
from visita.encoders.joined_text import JoinedText
from visita.encoders.pretrained.dual import SIGLIP
from visita.encoders.table import TEXT_ENCODERS
from visita.encoders.topics.lsa import LSA
from visita.errors import DataError
from visita.evaluation import recall_by_language
from visita.evaluation.measure import features_for, vectors
from visita.search.language import LANGUAGES, foreign, identifier, is_latin, plainly_english

pytestmark = pytest.mark.slow

QUERIES = {
    "de": """
        ein Hund läuft am Strand entlang
        zwei Kinder spielen im Schnee
        ein roter Bus auf der Straße
        Frau mit Regenschirm vor einem Café
        alte Männer sitzen auf einer Bank
        ein Mann repariert sein Fahrrad
        Sonnenuntergang über den Bergen im Herbst
        Menschen warten auf den Zug
    """,
    "fr": """
        un chien court sur la plage
        deux enfants jouent dans la neige
        une femme avec un parapluie rouge
        un homme répare son vélo
        des gens attendent le train
        coucher de soleil sur la mer
        vieille dame assise sur un banc
        un chat dort sur le canapé
    """,
    "es": """
        un perro corre por la playa
        dos niños juegan en la nieve
        una mujer con un paraguas rojo
        un hombre arregla su bicicleta
        gente esperando el tren en la estación
        puesta de sol sobre el mar
        un gato duerme en el sofá
        una anciana sentada en un banco
    """,
    "it": """
        un cane corre sulla spiaggia
        due bambini giocano nella neve
        una donna con un ombrello rosso
        un uomo ripara la sua bicicletta
        persone che aspettano il treno
        tramonto sul mare in estate
        un gatto dorme sul divano
        una ragazza beve un caffè al bar
    """,
    "nl": """
        een hond rent over het strand
        twee kinderen spelen in de sneeuw
        een vrouw met een rode paraplu
        een man repareert zijn fiets
        mensen wachten op de trein
        zonsondergang boven de zee
        een kat slaapt op de bank
        oude man leest een krant in het park
    """,
    "pt": """
        um cachorro correndo na praia
        duas crianças brincando na neve
        uma mulher com um guarda-chuva vermelho
        um homem conserta a sua bicicleta
        pessoas esperando o trem na estação
        pôr do sol sobre o mar
        um gato dormindo no sofá
        menina comendo sorvete no parque
    """,
    "pl": """
        pies biegnie po plaży nad morzem
        dwoje dzieci bawi się w śniegu
        kobieta z czerwonym parasolem na ulicy
        mężczyzna naprawia swój rower
        ludzie czekają na pociąg
        zachód słońca nad morzem
        kot śpi na kanapie
        starsza pani siedzi na ławce
    """,
    "sv": """
        en hund springer på stranden
        två barn leker i snön
        en kvinna med ett rött paraply
        en man lagar sin cykel
        människor väntar på tåget
        solnedgång över havet på sommaren
        en katt sover i soffan
        gammal man läser tidningen i parken
    """,
    "tr": """
        sahilde koşan bir köpek
        karda oynayan iki çocuk
        kırmızı şemsiyeli bir kadın
        bisikletini tamir eden bir adam
        tren bekleyen insanlar var
        deniz üzerinde gün batımı
        kanepede uyuyan bir kedi
        parkta gazete okuyan yaşlı adam
    """,
}
ENGLISH = ("en",)


def queries(code: str) -> list[str]:
    return [line.strip() for line in QUERIES[code].strip().splitlines()]


@pytest.mark.parametrize("code", QUERIES)
def test_a_query_in_a_language_that_is_not_the_models_is_told(code):
    asked = queries(code)
    told = [foreign(text, ENGLISH) for text in asked]
    assert len(asked) == 8 and min(len(text.split()) for text in asked) >= 4
    assert all(told)
    assert told.count(f"in {LANGUAGES[code]}") >= 6  # Swedish is near Danish, and so on
    assert not any(foreign(text, ("en", code, "gl", "no", "da")) for text in asked)


def alarms(texts: list[str]) -> list[str]:
    return [text for text in texts if foreign(text, ENGLISH)]


def test_captions_in_english_raise_no_alarm(flickr8k):
    texts = open_pairs(f"flickr8k:{flickr8k}").take("dev").texts
    assert len(texts) == 5000
    assert len(alarms(list(texts))) <= 5


def test_captions_of_another_domain_raise_no_alarm(coco80):
    assert alarms(list(open_pairs(f"coco:{coco80}").texts)) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a dog on a beach", True),
        ("ein Hündchen, très œuf", True),
        ("собака на пляже", False),
        ("海滩上的狗", False),
        ("Tōkyō 東京", True),
        ("dog 海滩上", False),
        ("1984 !?", True),
    ],
)
def test_scripts_other_than_latin_are_told(text, expected):
    assert is_latin(text) == expected
    assert (foreign(text, ENGLISH) == "in another script") != expected


def test_what_cannot_be_decided_is_not_judged():
    assert foreign("roter Hund Strand", ENGLISH) == ""  # three words
    assert foreign("собака", ("en", "ru")) == ""  # its script is one of the model's
    assert foreign("собака бежит по пляжу", ("en", "bg", "ru")) == ""
    assert foreign("ein Hund läuft am Strand entlang", ()) == ""
    assert foreign("ein Hund läuft am Strand entlang", ("tlh",)) == ""
    assert foreign("the dog is on the beach", ("de", "fr")) == "in English"


def test_encoders_say_which_languages_they_know(tmp_path):
    two = (TEXT_ENCODERS.load("minilm-l6")(), LSA.fit(["a red dog", "a red cat"] * 3, 1, 0))
    assert [one.languages for one in two] == [ENGLISH, None]
    assert JoinedText(two).languages == ENGLISH
    many = tiny_sentences.write(tmp_path / "many", languages="- de\n- en\n")
    assert JoinedText([two[0], sentences(many)]).languages == ENGLISH
    config = tiny.siglip2(tmp_path / "siglip") / "config.json"
    assert SIGLIP.spoken("", [config]) == ENGLISH
    tiny.set_in(config, "text_config", vocab_size=256_000)
    assert SIGLIP.spoken("", [config]) is None


def test_a_long_text_is_told_by_its_beginning():
    assert foreign("собака бежит " * 100 + "the dog runs " * 1000, ["en"]) == "in another script"


def sentences(folder: Path) -> Any:
    return TEXT_ENCODERS.load(f"sentence-transformers:{folder}")()


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> str:
    """Return the name of a tiny CLIP."""
    return f"clip:{tiny.clip(tmp_path_factory.mktemp('clip') / 'tiny')}"


def noted(*words: str | Path) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code in (0, 1), done.output
    return done.stderr


def test_the_command_line_says_what_is_spoken_and_what_to_do(clip, drawn_folder, tmp_path):
    picture = sorted(drawn_folder.glob("*.jpg"))[0]
    match = ("match", picture, "ein Hund läuft am Strand entlang", "--matcher", clip)
    said = noted(*match)
    assert f"seems to be in German, and {clip} was trained on English" in said
    assert "--text-encoder sentence-transformers:NAME" in said
    assert "note:" not in noted("match", picture, "the dog runs on the beach", "--matcher", clip)
    german = tiny_sentences.write(tmp_path / "german", languages="- de\n- en\n")
    assert "note:" not in noted(*match, "--text-encoder", f"sentence-transformers:{german}")
    unsaid = tiny_sentences.write(tmp_path / "unsaid")
    assert "note:" not in noted(*match, "--text-encoder", f"sentence-transformers:{unsaid}")
    asked = ("answer", picture, "Welche Farbe hat der kleine Hund?", "--choices", "rot,blau")
    assert "seems to be in German" in noted(*asked, "--matcher", clip)


@pytest.fixture(scope="module")
def table(drawn_folder) -> Path:
    """Return a table of 30 drawn pictures: three captions in English, two in German, one in none.

    Every fifth picture has no German one.
    """
    file = drawn_folder / "languages.csv"
    with file.open("w", newline="", encoding="utf-8") as out:
        rows = csv.writer(out)
        rows.writerow(["image", "text", "split", "Language"])
        for n, picture in enumerate(sorted(drawn_folder.glob("*.jpg"))[:30]):
            split = ("train", "train", "dev", "test", "test")[n % 5]
            english = picture.with_suffix(".txt").read_text("utf-8").splitlines()
            rows.writerows([picture.name, f"{n} {one}", split, "EN"] for one in english)
            if n % 5:
                rows.writerow([picture.name, f"{n} ein {english[0]}", split, "de"])
                rows.writerow([picture.name, f"{n} zwei {english[1]}", split, " de "])
            rows.writerow([picture.name, f"{n} xyz", split, ""])
    yield file
    file.unlink()


def by_text(pairs: PairSet) -> dict[str, str]:
    return dict(zip(pairs.texts, pairs.text_languages, strict=True))


def said_in(text: str) -> str:
    return {"ein": "de", "zwei": "de", "xyz": ""}.get(text.split()[1], "en")


def test_a_table_says_the_language_of_each_text_and_no_step_loses_it(table, drawn_pairs):
    pairs = open_pairs(f"table:{table}")
    assert pairs.text_languages == tuple(map(said_in, pairs.texts))
    counts = {code: pairs.text_languages.count(code) for code in ("de", "en", "")}
    assert counts == {"de": 48, "en": 90, "": 30}
    parts = [pairs.take("test"), pairs.subset(np.array([7, 3])), held_out(pairs, "dev", 0)]
    for part in parts:
        assert part.text_languages == tuple(map(said_in, part.texts)) and any(part.text_languages)
    joined = join_pairs([drawn_pairs, pairs], "id")
    found = by_text(joined)
    assert all(found[text] == said_in(text) for text in pairs.texts)
    assert not any(found[text] for text in drawn_pairs.texts)
    assert not any(articles(pairs, 1).text_languages)


def test_languages_are_part_of_what_the_data_are(table):
    pairs = open_pairs(f"table:{table}")
    silent = table.with_name("silent.csv")
    with table.open(encoding="utf-8") as file, silent.open("w", encoding="utf-8") as out:
        csv.writer(out).writerows(row[:3] for row in csv.reader(file))
    without = open_pairs(f"table:{silent}")
    silent.unlink()
    assert without.texts == pairs.texts and not any(without.text_languages)
    assert without.fingerprint() != pairs.fingerprint()
    assert check_pairs(pairs).languages == {"de": 48, "en": 90}
    assert check_pairs(without).languages == {}
    checked = CliRunner().invoke(app, ["data", "check", f"table:{table}"])
    assert "texts by language: de 48, en 90" in checked.output


def test_linked_data_keep_languages(table):
    pairs = open_pairs(f"table:{table}").take("test")
    file = table.parent / "linked.json"
    written = write_croissant(pairs, file)
    again = open_pairs(f"croissant:{file}")
    assert by_text(again) == by_text(pairs) and again.fingerprint() == pairs.fingerprint()
    file.unlink()
    written.unlink()


def test_recall_by_language_is_that_of_a_naive_loop(clip, table):
    data = f"table:{table}"
    pairs, matcher = open_pairs(data), visita.load(clip)
    report = visita.evaluate(matcher, data, split="all", protocols=["retrieval"])
    images, texts = vectors(matcher, features_for(matcher, pairs, None))
    truth = pairs.truth.toarray()
    hits: dict[str, list[list[bool]]] = {"de": [], "en": []}
    for row, text in enumerate(pairs.texts):
        scores = images @ texts[row]
        [own] = np.flatnonzero(truth[:, row])
        rank = 1 + (scores > scores[own]).sum() + ((scores == scores[own]).sum() - 1) / 2
        if said_in(text):
            hits[said_in(text)].append([rank <= k for k in (1, 5, 10)])
    found = report["by_language"]
    assert list(found) == ["de", "en"]
    for code, one in found.items():
        assert one["texts"] == len(hits[code])
        recall = one["text_to_image"]
        expected = 100 * np.mean(hits[code], axis=0)
        assert np.allclose([recall[f"R@{k}"]["value"] for k in (1, 5, 10)], expected)
        assert all(r["low"] <= r["value"] <= r["high"] for r in recall.values())
    command = ["evaluate", clip, "--data", data, "--split", "all", "--protocol", "retrieval"]
    printed = CliRunner().invoke(app, command, catch_exceptions=False).output
    first = found["de"]["text_to_image"]["R@1"]["value"]
    assert f"text to image, de (48 texts): R@1 {first:.1f} [" in printed
    told = CliRunner().invoke(app, [*command, "--json"], catch_exceptions=False).stdout
    assert json.loads(told)["by_language"] == found
    folds = visita.evaluate(matcher, data, split="all", protocols=["retrieval"], folds=2)
    assert "by_language" not in folds


def test_a_language_of_one_picture_has_no_interval_and_sizes_must_agree():
    ranks, groups = np.array([[0, 0, 1], [1, 0, 1], [2, 0, 1], [19, 0, 1]]), np.array([0, 0, 1, 1])
    found = recall_by_language(ranks, ["de", "de", "en", "de"], groups, seed=0)
    assert list(found) == ["de"] and found["de"].texts == 3
    assert [round(one.value, 1) for one in found["de"].recall] == [33.3, 66.7, 66.7]
    with pytest.raises(DataError, match="3 languages"):
        recall_by_language(ranks, ["de", "de", "en"], groups, seed=0)


def test_a_word_that_only_english_has_spares_the_rest():
    identifier.cache_clear()
    assert foreign("Two dogs run with a stick", ("en",)) == ""
    assert identifier.cache_info().currsize == 0
    assert foreign("Two dogs run with a stick", ("de",)) == "in English"
    others = [one for some in QUERIES.values() for one in some.strip().splitlines()]
    assert not any(map(plainly_english, others))
