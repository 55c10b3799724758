"""Settings from Python, TOML and the command line: the same names, the same refusals."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from visita.encoders.minilm import MiniLM
from visita.errors import ConfigError, UnknownNameError
from visita.training.config import AdaptConfig, FusionConfig, LoopConfig
from visita.training.mkl_config import CrossModalConfig
from visita.training.tensors import spans_of
from visita.training.vectors import text_encoder_of


def toml(folder: Path, text: str) -> Path:
    path = folder / "train.toml"
    path.write_text(text, "utf-8")
    return path


def test_settings_win_over_the_file_and_the_file_over_the_defaults(tmp_path):
    path = toml(tmp_path, "seed = 4\nepochs = 2\ntext_levels = ['layer6']\nmirror = false\n")
    config = FusionConfig.read(path, ["epochs=9", "temperature = 0.2"])
    assert (config.seed, config.epochs, config.temperature) == (4, 9, 0.2)
    assert config.text_levels == ("layer6",) and config.mirror is False
    assert config.batch == FusionConfig().batch
    assert FusionConfig.read() == FusionConfig()


def test_a_setting_may_hold_any_value(tmp_path):
    settings = [
        "mix_texts=false",
        'image_levels={"efficientnet-lite0": ["head:avg", "classes"]}',
        "text_encoder=minilm-l6",
        'text_levels=["layer1", "layer2"]',
    ]
    config = FusionConfig.read(None, settings)
    assert config.mix_texts is False and config.text_encoder == "minilm-l6"
    assert config.recipe().columns() == (
        "efficientnet-lite0/head:avg",
        "efficientnet-lite0/classes",
        "efficientnet-lite0/head:avg@mirror",
        "efficientnet-lite0/classes@mirror",
    )
    table = '[image_levels]\n"efficientnet-lite0" = ["head:avg", "classes"]\n'
    assert FusionConfig.read(toml(tmp_path, table)).recipe() == config.recipe()


@pytest.mark.parametrize("source", ["python", "toml", "setting"])
def test_an_unknown_key_is_refused_with_the_nearest(tmp_path, source):
    with pytest.raises(ConfigError) as caught:
        if source == "python":
            FusionConfig.of({"learning_rat": 1e-3})
        elif source == "toml":
            FusionConfig.read(toml(tmp_path, "learning_rat = 1e-3"))
        else:
            FusionConfig.read(None, ["learning_rat=1e-3"])
    assert "Unknown setting 'learning_rat'. Did you mean 'learning_rate'?" in str(caught.value)
    for name in FusionConfig.model_fields:
        assert name in str(caught.value)


def test_a_key_of_another_stage_is_unknown():
    with pytest.raises(ConfigError, match="Unknown setting 'fusion_dim'"):
        AdaptConfig.of({"fusion_dim": 3})


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("epochs=-1", "epochs: Input should be greater than or equal to 0"),
        ("epochs=2.5", "epochs: .* integer"),
        ("seed=abc", "seed: .* integer"),
        ("batch=1", "batch: Input should be greater than or equal to 2"),
        ("learning_rate=0", "learning_rate: Input should be greater than 0"),
        ("learning_rate=NaN", "learning_rate: "),
        ("temperature=-0.1", "temperature: "),
        ("dropout=1", "dropout: Input should be less than 1"),
        ("class_names_weight=1.5", "class_names_weight: "),
        ("dim=2000", "dim: Input should be less than or equal to 1024"),
        ("mirror=perhaps", "mirror: .* boolean"),
        ("text_levels=[]", "text_levels: .*at least 1"),
        ("image_levels={}", "image_levels: .*at least 1"),
        ('image_levels={"efficientnet-lite0": []}', "image_levels.*at least 1"),
        ("image_levels=head", "image_levels: .* dictionary"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_the_reason(setting, message):
    with pytest.raises(ConfigError, match=f"Settings do not fit: {message}"):
        FusionConfig.read(None, [setting])


def test_a_loss_is_a_name_of_the_tables_that_suit_the_stage():
    assert CrossModalConfig(loss="hinge").loss == "hinge"
    assert CrossModalConfig(loss="match-error").loss == "match-error"
    with pytest.raises(UnknownNameError, match=r"loss is info-nce, hinge; not 'match-error'"):
        FusionConfig(loss="match-error")
    with pytest.raises(UnknownNameError, match="Did you mean 'match-error'"):
        CrossModalConfig.read(settings=["loss=match-eror"])


def test_a_setting_without_a_value_is_refused():
    with pytest.raises(ConfigError, match="key=value; 'epochs' has no '='"):
        FusionConfig.read(None, ["epochs"])


@pytest.mark.parametrize("content", [b"epochs = ", b"\xff\xfe", None])
def test_a_file_that_is_no_toml_is_refused(tmp_path, content):
    path = tmp_path / "train.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"train\.toml cannot be read( as TOML)?: "):
        FusionConfig.read(path)


def test_a_configuration_does_not_change_and_is_json():
    config = FusionConfig(seed=3)
    with pytest.raises(ValidationError):
        config.seed = 4
    assert FusionConfig.of(config.model_dump(mode="json")) == config
    assert isinstance(AdaptConfig(), LoopConfig)


TEXT = MiniLM(("layer3", "layer6"))
LITE0 = {"efficientnet-lite0": ("block10:avg", "head:avg", "classes")}


def fusion(**changes: object) -> FusionConfig:
    return FusionConfig.of({"image_levels": LITE0, "text_levels": ("layer3", "layer6"), **changes})


def test_spans_are_where_each_kernel_reads():
    spans = spans_of(fusion(), TEXT)
    assert spans.fusion == (0, 112 + 1280) and spans.classes == (1392, 2392)
    assert spans.text == (0, 768) and spans.sentence == (384, 768)
    assert spans_of(fusion(class_names_weight=0), TEXT).classes is None
    bare = fusion(image_levels={"efficientnet-lite0": ("head:avg",)}, class_names_weight=0)
    assert spans_of(bare, TEXT).fusion == (0, 1280)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        (("head:grid", "classes"), "head:grid of efficientnet-lite0 is a grid; use"),
        (("classes", "head:avg"), "'classes' must be the last"),
        (("head:avg",), "needs 'classes' as the last image level"),
        (("classes",), "at least one level besides 'classes'"),
    ],
)
def test_levels_that_cannot_be_fused_are_refused(levels, message):
    with pytest.raises(ConfigError, match=message):
        spans_of(fusion(image_levels={"efficientnet-lite0": levels}), TEXT)


def test_unknown_encoders_and_levels_are_refused_with_the_nearest(drawn_pairs):
    with pytest.raises(UnknownNameError, match=r"no level 'head:agv'\. Did you mean 'head:avg'"):
        spans_of(fusion(image_levels={"efficientnet-lite0": ("head:agv", "classes")}), TEXT)
    with pytest.raises(UnknownNameError, match="Did you mean 'efficientnet-lite0'"):
        spans_of(fusion(image_levels={"efficientnet-light0": ("head:avg", "classes")}), TEXT)
    with pytest.raises(UnknownNameError, match="Did you mean 'minilm-l6'"):
        text_encoder_of(fusion(text_encoder="minilm-l12"), drawn_pairs)
    with pytest.raises(
        UnknownNameError, match=r"Did you mean 'doc2vec'.*Known: minilm-l6, e5, lsa"
    ):
        text_encoder_of(fusion(text_encoder="docvec"), drawn_pairs)
    with pytest.raises(UnknownNameError, match=r"no level 'layer0'\. Did you mean"):
        text_encoder_of(fusion(text_levels=("layer0",)), drawn_pairs)
