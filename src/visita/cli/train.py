"""``visita train``: learn a matcher from pairs, or adapt one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

import visita
from visita.brief import counted
from visita.cli.options import (
    DEFAULT,
    Config,
    Features,
    Force,
    Json,
    Pairs,
    Preset,
    Root,
    Settings,
    Wrong,
    check_out,
    rooted,
)
from visita.cli.output import print_comparison, print_json, print_protocols
from visita.errors import ConfigError
from visita.progress import speaks, warn

ImageEncoder = Annotated[
    str | None,
    typer.Option("--image-encoder", metavar="NAME", help="The image encoder, as in clip:NAME."),
]
Levels = Annotated[
    str | None,
    typer.Option(
        "--levels",
        metavar="LEVELS",
        help="Which of its levels, as in 6,9,12 (layers, averaged) or layer12:cls,vector.",
    ),
]
TextEncoder = Annotated[
    str | None,
    typer.Option("--text-encoder", metavar="NAME", help="The text encoder, as in clip:NAME."),
]


def named_levels(encoder: str | None, levels: str | None) -> dict[str, list[str]]:
    """Return the levels that --image-encoder and --levels name, by encoder."""
    if not encoder and not levels:
        return {}
    if not encoder or not levels:
        raise ConfigError("--image-encoder and --levels go together.")
    return {
        encoder: [f"layer{level}:avg" if level.isdigit() else level for level in levels.split(",")]
    }


def fused(levels: dict[str, list[str]], *, joins_classes: bool) -> list[str]:
    """Return the settings that fuse these levels."""
    if not levels:
        return []
    # Only the encoders that classify have the level of class names that the default joins.
    classes = ["class_names_weight=0"] if joins_classes else []
    return [f"image_levels={json.dumps(levels)}", *classes]


def as_grids(levels: dict[str, list[str]]) -> list[str]:
    """Return the settings that make the second stage look at the same layers as grids of cells."""
    if not levels:
        return []
    grids = {
        encoder: list(
            dict.fromkeys(f"{name.partition(':')[0]}:5x5" for name in names if ":" in name)
        )
        for encoder, names in levels.items()
    }
    if not all(grids.values()):
        raise ConfigError("--levels names no layer with cells to look at, such as 12.")
    return [f"second.image_levels={json.dumps(grids)}"]


def read_by(encoder: str | None) -> list[str]:
    """Return the settings with which both stages of MKL-VisITA read texts by an encoder."""
    from visita.training.vectors import token_levels  # noqa: PLC0415

    if not encoder:
        return []
    name, layers = json.dumps(encoder), json.dumps(token_levels(encoder))
    first, second = f"first.text_encoder={name}", f"second.text_encoder={name}"
    return [first, second, f"second.text_levels={layers}"]


train = typer.Typer(name="train", help="Learn from pairs of your own.", no_args_is_help=True)


@train.callback()
def group() -> None:
    """Learn from pairs of your own."""


@train.command()
def fusion(
    data: Pairs,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the matcher goes.")],
    force: Force = False,
    base: Annotated[
        str | None,
        typer.Option("--from", metavar="NAME|FOLDER", help="Adapt this matcher instead."),
    ] = None,
    wrong: Wrong = None,
    preset: Preset = None,
    topic_corpus: Annotated[
        Path | None,
        typer.Option(
            metavar="TEXTS",
            help="Texts to fit a topic model on: a file, one a line, or a folder of .txt.",
            show_default="the training texts",
        ),
    ] = None,
    image_encoder: ImageEncoder = None,
    levels: Levels = None,
    text_encoder: TextEncoder = None,
    config: Config = None,
    settings: Settings = None,
    features: Features = None,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Train a multi-level fusion matcher, or adapt one to your pairs with --from.

    Learns on the split train and chooses on dev. After adapting, a table
    compares before and after on images that took no part. A few hundred pairs
    are enough to adapt; training anew needs some thousand. --from takes a
    pretrained matcher too, whose encoders stay as they are.

    [bold]visita train fusion --data mine.csv --from visita-small --out mine[/bold]
    [bold]visita train fusion --data mine.csv --from clip:openai/clip-vit-base-patch32
    --out mine[/bold]
    [bold]visita train fusion --data flickr8k:data/flickr8k --out new --set epochs=5[/bold]
    [bold]visita train fusion --data sohu:data/sohu --out new --preset paper[/bold]
    [bold]visita train fusion --data mine.csv --out new --image-encoder
    clip:openai/clip-vit-base-patch32 --levels 6,9,12,vector[/bold]
    """
    from visita.training import PRESETS  # noqa: PLC0415

    check_out(out, force)
    # The settings are read first: torch comes with what learns, and takes seconds.
    if base is None and wrong:
        raise ConfigError("--wrong is for adapting, with --from.")
    if base is None:
        corpus = [f"topic_corpus={json.dumps(str(topic_corpus))}"] if topic_corpus else []
        from_levels = fused(named_levels(image_encoder, levels), joins_classes=preset != "paper")
        read = [f"text_encoder={json.dumps(text_encoder)}"] if text_encoder else []
        overrides = [*from_levels, *read, *(settings or ()), *corpus]
        fresh = PRESETS.load(preset or "default").read(config, overrides)
        trained = visita.train(rooted(data, root), out, config=fresh, features=features)
    elif preset or topic_corpus or image_encoder or levels or text_encoder:
        raise ConfigError(
            "Only for training anew, not --from: --preset, --topic-corpus, --image-encoder, "
            "--levels, --text-encoder."
        )
    else:
        tuning = visita.AdaptConfig.read(config, settings or ())
        mine, refused = (source and rooted(source, root) for source in (data, wrong))
        trained = visita.adapt(base, mine, out, config=tuning, features=features, wrong=refused)
    _show(trained, as_json)


@train.command("mkl-visita")
def mkl_visita(
    data: Pairs,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the matcher goes.")],
    force: Force = False,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="'default', visita's own recipe, or 'paper', the MKL-VisITA paper's.",
            show_default="default",
        ),
    ] = None,
    image_encoder: ImageEncoder = None,
    levels: Levels = None,
    text_encoder: TextEncoder = None,
    config: Config = None,
    settings: Settings = None,
    features: Features = None,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Train MKL-VisITA: vectors for searching, and a network that re-ranks the first 50.

    Settings of the vectors begin with first., of the second stage with second.,
    as in second.epochs=5. With --image-encoder the vectors are of --levels, and
    the second stage reads the same layers, as grids of 5 x 5 cells. If training is
    killed, run the same command again to resume.

    [bold]visita train mkl-visita --data flickr8k:data/flickr8k --out new[/bold]
    [bold]visita train mkl-visita --data mine.csv --out new --preset paper[/bold]
    [bold]visita train mkl-visita --data mine.csv --out new --set second.text_side=recurrent[/bold]
    [bold]visita train mkl-visita --data mine.csv --out new --image-encoder
    clip:openai/clip-vit-base-patch32 --levels 6,9,12[/bold]
    """
    from visita.training import MKL_VISITA  # noqa: PLC0415

    check_out(out, force)
    # The settings are read first: torch comes with what learns, and takes seconds.
    by_encoder = named_levels(image_encoder, levels)
    if preset == "paper":
        if text_encoder:
            raise ConfigError("--text-encoder: the paper's network reads words of its own.")
        words = as_grids(by_encoder)
    else:
        words = [f"first.{word}" for word in fused(by_encoder, joins_classes=True)]
        words += [*as_grids(by_encoder), *read_by(text_encoder)]
    fresh = MKL_VISITA.load(preset or "default").read(config, [*words, *(settings or ())])
    _show(visita.train(rooted(data, root), out, config=fresh, features=features), as_json)


@train.command()
def encoder(
    data: Pairs,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the encoder goes.")],
    force: Force = False,
    image_encoder: ImageEncoder = None,
    levels: Levels = None,
    text_encoder: TextEncoder = None,
    config: Config = None,
    settings: Settings = None,
    features: Features = None,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Train an image encoder on your pairs, for matchers that are then trained on it.

    Heads, as of train fusion, learn on the encoder as it is; then they and
    the encoder learn together from the pixels. Some thousand pairs, and
    minutes an epoch, or a GPU. If training is killed, run the same command
    again to resume. Matchers name the result by its folder and carry it.

    [bold]visita train encoder --data flickr8k:data/flickr8k --out eyes[/bold]
    [bold]visita train encoder --data mine.csv --out eyes --image-encoder
    timm:resnet18 --levels layer2.1,layer3.1,layer4.1[/bold]
    [bold]visita train fusion --data flickr8k:data/flickr8k --out mine
    --image-encoder tuned:eyes --levels block10:avg,block15:avg,block19:avg,head:avg[/bold]
    """
    check_out(out, force)
    words = fused(named_levels(image_encoder, levels), joins_classes=False)
    words += [f"text_encoder={json.dumps(text_encoder)}"] if text_encoder else []
    fresh = visita.EndToEndConfig.read(config, [*words, *(settings or ())])
    trained = visita.train_encoder(rooted(data, root), out, config=fresh, features=features)
    if not speaks():
        return
    warn(trained.warnings)
    facts = {key: getattr(trained, key) for key in ("pictures", "before", "after", "seconds")}
    if as_json:
        identity = {"name": trained.encoder.name, "folder": str(trained.folder)}
        print_json({**identity, **facts, "warnings": trained.warnings})
        return
    print(
        f"rsum on {counted(trained.pictures, 'picture')} of dev, which also chose the epoch: "
        f"{trained.before:.1f} before, {trained.after:.1f} after"
    )
    print(f"trained in {trained.seconds:.0f} s, features not counted")
    print(f"encoder: {trained.folder}  (--image-encoder tuned:{trained.folder})")


@train.command()
def languages(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the matcher goes.")],
    base: Annotated[
        str, typer.Option("--from", metavar="NAME|FOLDER", help="The matcher that is taught.")
    ] = DEFAULT,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="PAIRS",
            help="Pictures with texts in several languages, as a table with a column language.",
        ),
    ] = None,
    parallel: Annotated[
        Path | None,
        typer.Option(
            metavar="TSV",
            help="Sentences that say the same, a column a language: en, de, fr in the first line.",
        ),
    ] = None,
    force: Force = False,
    config: Config = None,
    settings: Settings = None,
    features: Features = None,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Teach a matcher texts of other languages; its galleries stay as they are.

    Another encoder reads them into the matcher's space. It learns from pictures
    with texts in these languages, from sentences beside what they mean in the
    matcher's own language, which need no pictures, or from both.

    [bold]visita train languages --from visita-small --parallel sentences.tsv --out polyglot[/bold]
    [bold]visita train languages --from mine --data captions.csv --out polyglot[/bold]
    """
    check_out(out, force)
    fresh = visita.LanguagesConfig.read(config, settings or ())
    taught = visita.teach_languages(
        base,
        out,
        data=None if data is None else rooted(data, root),
        parallel=parallel,
        config=fresh,
        features=features,
    )
    if not speaks():
        return
    if as_json:
        facts = {"seconds": taught.seconds, "parallel": taught.sentences, "dev": taught.report}
        print_json({"name": taught.matcher.name, "folder": str(taught.folder), **facts})
        return
    for code, count in taught.sentences.items():
        print(f"{code}: {counted(count, 'parallel sentence')} learnt")
    for code, found in taught.report.items():
        recalls = ", ".join(
            f"{name} {value['value']:.1f} [{value['low']:.1f}, {value['high']:.1f}]"
            for name, value in found["text_to_image"].items()
        )
        print(f"{code}: {counted(found['texts'], 'text')} of dev, which chose the epoch: {recalls}")
    if not taught.report:
        print("Without pictures nothing was measured: visita evaluate does that on captions.")
    print(f"trained in {taught.seconds:.0f} s")
    print(f"matcher: {taught.folder}")


@train.command()
def baseline(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which system; --help lists them.")],
    data: Pairs,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the matcher goes.")],
    force: Force = False,
    config: Config = None,
    settings: Settings = None,
    features: Features = None,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Train a system that the papers compare with.

    bag-of-words: SIFT and HOG as visual words, TF-IDF and CCA; cca and dcca:
    canonical correlation of CNN features and texts, linear and deep; uvs and
    vse++: a CNN and a GRU in one space, all negatives or the hardest one;
    dspe: two branches with structure preservation; dan: dual attention; adpm:
    the deep pyramid matching kernel beside a text kernel. Three re-rank
    the first 50 that cca has found (settings first.…): m-cnn, convolutions
    over words; scan, stacked cross attention; nic, a recurrent captioner.

    [bold]visita train baseline cca --data flickr8k:data/flickr8k --out cca[/bold]
    [bold]visita train baseline bag-of-words --data mine.csv --out bow --set words=500[/bold]
    [bold]visita train baseline cca --data mine.csv --out cca --set distance=euclidean[/bold]
    """
    from visita.baselines import BASELINES  # noqa: PLC0415

    check_out(out, force)
    fresh = BASELINES.load(name).read(config, settings or ())
    _show(visita.train(rooted(data, root), out, config=fresh, features=features), as_json)


def _show(trained: visita.Trained, as_json: bool) -> None:
    if not speaks():
        return
    warn(trained.warnings)
    if as_json:
        print_json(_facts(trained))
    else:
        _print(trained)


def _facts(trained: visita.Trained) -> dict[str, object]:
    return {
        "name": trained.matcher.name,
        "fingerprint": trained.matcher.fingerprint(),
        "folder": str(trained.folder),
        "curve": str(trained.folder / "curve.png"),
        "seconds": trained.seconds,
        "dev": trained.report,
        "comparison": trained.comparison,
        "warnings": trained.warnings,
    }


def _print(trained: visita.Trained) -> None:
    report = trained.report
    print(
        f"dev, which also chose the epoch: {counted(report['images'], 'image')}, "
        f"{counted(report['texts'], 'text')}"
    )
    print_protocols(report["protocols"])
    if trained.comparison:
        print()
        print_comparison(trained.comparison)
    print()
    print(f"trained in {trained.seconds:.0f} s, features not counted")
    print(f"matcher: {trained.folder}")
    print(f"curve:   {trained.folder / 'curve.png'}")
