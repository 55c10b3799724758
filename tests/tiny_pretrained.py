"""Tiny random checkpoints of the pretrained families, written to disk by transformers itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers as tf

SIDE, PATCH = 32, 8
SQUARE = {"height": SIDE, "width": SIDE}
SIZES: dict[str, Any] = {
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
}
SEEN = {**SIZES, "image_size": SIDE, "patch_size": PATCH}
MAPS: dict[str, Any] = {
    "hidden_dim": 16,
    "width_coefficient": 0.25,
    "depth_coefficient": 0.5,
    "in_channels": [32, 16],
    "out_channels": [16, 64],
    "kernel_sizes": [3, 5],
    "strides": [1, 2],
    "num_block_repeats": [1, 2],
    "expand_ratios": [1, 6],
}
"""Of ALIGN's network of convolutions."""
QUERIES = {"num_hidden_layers": 2}
QUERY_COUNT = 3
PLACES, PATCHES = 16, 13
"""Of NaFlex: places that are learnt, and patches of a picture at most."""
LETTERS = "abcdefghijklmnopqrstuvwxyz.,!"
WORDS = ("a", "red", "blue", "green", "circle", "square", "star", "on", "the", "dog", "runs")


def spread(model: Any, seed: int = 0) -> Any:
    """Draw all weights anew, wide enough that pictures and texts are told apart."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, values in model.named_parameters():
            wide = 0.6 if "embedding" in name else 0.25
            norm = "norm" in name.lower() and name.endswith("weight")
            values.copy_(torch.randn_like(values) * wide + float(norm))
    return model.eval()


def clip(folder: Path, activation: str = "quick_gelu", seed: int = 0) -> Path:
    """Write a CLIP that reads 24 ids and crops pictures."""
    vocab = _byte_pairs()
    text = {
        **SIZES,
        "vocab_size": len(vocab),
        "max_position_embeddings": 24,
        "hidden_act": activation,
        "bos_token_id": vocab["<|startoftext|>"],
        "eos_token_id": vocab["<|endoftext|>"],
    }
    config = tf.CLIPConfig(
        text_config=text, vision_config={**SEEN, "hidden_act": activation}, projection_dim=16
    )
    spread(tf.CLIPModel(config), seed).save_pretrained(folder)
    tokenizer = tf.CLIPTokenizer(vocab=vocab, merges=[])
    seen = tf.CLIPImageProcessorPil(size={"shortest_edge": SIDE + 5}, crop_size=SQUARE)
    tf.CLIPProcessor(seen, tokenizer).save_pretrained(folder)
    return folder


def _byte_pairs() -> dict[str, int]:
    pieces = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS)]
    pieces += ["<|startoftext|>", "<|endoftext|>"]
    return {piece: number for number, piece in enumerate(pieces)}


def siglip2(folder: Path) -> Path:
    """Write a SigLIP with SigLIP 2's tokenizer, which reads 30 ids in lower case."""
    tokenizer = _gemmas()
    _siglip(folder, len(tokenizer))
    tf.SiglipProcessor(_squashed(), tokenizer).save_pretrained(folder)
    return folder


def naflex(folder: Path) -> Path:
    """Write a SigLIP 2 (NaFlex) of 13 patches at most, which few shapes fill, as the real 256."""
    tokenizer = _gemmas()
    text = {**SIZES, **_siglips_texts(len(tokenizer))}
    seen = {**SIZES, "num_patches": PLACES, "patch_size": PATCH}
    _biased(tf.Siglip2Model(tf.Siglip2Config(text_config=text, vision_config=seen)), folder)
    processor = tf.Siglip2ImageProcessorPil(patch_size=PATCH, max_num_patches=PATCHES)
    tf.Siglip2Processor(processor, tokenizer).save_pretrained(folder)
    return folder


def _gemmas() -> Any:
    special = {"<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3, "<mask>": 4}
    vocab = {**special, **{piece: 5 + n for n, piece in enumerate(["▁", *LETTERS])}}
    return tf.Siglip2Tokenizer(
        vocab=vocab, merges=[], padding_side="right", model_input_names=["input_ids"]
    )


def siglip(folder: Path) -> Path:
    """Write a SigLIP with a sentencepiece model, as the first ones have."""
    import sentencepiece  # noqa: PLC0415 - not installed everywhere

    folder.mkdir(parents=True, exist_ok=True)
    sentences = [" ".join(WORDS[n:] + WORDS[:n]) for n in range(len(WORDS))] * 4
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_prefix=str(folder / "spiece"),
        vocab_size=40,
        hard_vocab_limit=False,
        pad_id=-1,
        bos_id=-1,
        eos_id=1,
        unk_id=2,
        minloglevel=2,
    )
    tokenizer = tf.SiglipTokenizer(
        str(folder / "spiece.model"), model_input_names=["input_ids"], model_max_length=30
    )
    _siglip(folder, tokenizer.vocab_size)
    tf.SiglipProcessor(_squashed(), tokenizer).save_pretrained(folder)
    (folder / "spiece.vocab").unlink()
    return folder


def _siglip(folder: Path, words: int) -> None:
    text = {**SIZES, **_siglips_texts(words)}
    _biased(tf.SiglipModel(tf.SiglipConfig(text_config=text, vision_config=SEEN)), folder)


def _siglips_texts(words: int) -> dict[str, int | None]:
    ends = {"bos_token_id": None, "eos_token_id": 1, "pad_token_id": 0}
    return {"vocab_size": words, "max_position_embeddings": 30, "projection_size": 24, **ends}


def _biased(model: Any, folder: Path) -> None:
    spread(model)
    with torch.no_grad():
        model.logit_scale.fill_(2.3)
        model.logit_bias.fill_(-5.0)
    model.save_pretrained(folder)


def _squashed() -> Any:
    half = [0.5, 0.5, 0.5]
    return tf.SiglipImageProcessorPil(size=SQUARE, image_mean=half, image_std=half)


def wordpieces() -> Any:
    """Return a tokenizer of BERT's kind."""
    return tf.BertTokenizer(vocab=_wordpieces())


def _wordpieces() -> dict[str, int]:
    vocab = {word: n for n, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    vocab |= {f"##{letter}": len(vocab) + n for n, letter in enumerate(LETTERS)}
    vocab |= {letter: len(vocab) + n for n, letter in enumerate(LETTERS) if letter not in vocab}
    vocab["[MASK]"] = max(vocab.values()) + 1
    return vocab


def _unigrams() -> Any:
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", *LETTERS, *(f"▁{word}" for word in WORDS)]
    vocab = [(piece, -float(n)) for n, piece in enumerate(pieces)]
    return tf.XLMRobertaTokenizer(vocab=vocab)


def metaclip2(folder: Path) -> Path:
    """Write a MetaCLIP 2, whose texts end in id 2 and are filled up with 1."""
    tokenizer = _unigrams()
    text = {
        **SIZES,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 24,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "pad_token_id": 1,
    }
    config = tf.MetaClip2Config(text_config=text, vision_config=SEEN, projection_dim=16)
    spread(tf.MetaClip2Model(config)).save_pretrained(folder)
    _clips_processor(tokenizer, folder)
    return folder


def chinese_clip(folder: Path) -> Path:
    """Write a Chinese-CLIP, whose texts are read by a BERT."""
    vocab = _wordpieces()
    text = {**SIZES, "vocab_size": len(vocab), "max_position_embeddings": 64}
    config = tf.ChineseCLIPConfig(text_config=text, vision_config=SEEN, projection_dim=16)
    spread(tf.ChineseCLIPModel(config)).save_pretrained(folder)
    _clips_processor(tf.BertTokenizer(vocab=vocab), folder)
    return folder


def altclip(folder: Path) -> Path:
    """Write an AltCLIP, whose texts are read by an XLM-RoBERTa."""
    tokenizer = _unigrams()
    text = {
        **SIZES,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 90,
        "project_dim": 20,
        "pad_token_id": 1,
    }
    config = tf.AltCLIPConfig(text_config=text, vision_config=SEEN, projection_dim=16)
    spread(tf.AltCLIPModel(config)).save_pretrained(folder)
    _clips_processor(tokenizer, folder)
    return folder


def _clips_processor(tokenizer: Any, folder: Path) -> None:
    seen = tf.CLIPImageProcessorPil(size={"shortest_edge": SIDE + 5}, crop_size=SQUARE)
    tf.CLIPProcessor(seen, tokenizer).save_pretrained(folder)


def align(folder: Path) -> Path:
    """Write an ALIGN: a small EfficientNet, and a BERT that reads 64 ids."""
    vocab = _wordpieces()
    seen = {"image_size": SIDE, **MAPS}
    text = {**SIZES, "vocab_size": len(vocab), "max_position_embeddings": 64}
    config = tf.AlignConfig(text_config=text, vision_config=seen, projection_dim=16)
    model = spread(tf.AlignModel(config))
    with torch.no_grad():  # what its normalisations have seen of pictures
        model.vision_model.train()(torch.randn(32, 3, SIDE, SIDE))
    model.eval().save_pretrained(folder)
    processor = tf.EfficientNetImageProcessorPil(
        size={"height": SIDE + 5, "width": SIDE + 5},
        crop_size=SQUARE,
        do_center_crop=True,
        resample=2,
        rescale_factor=1 / 127.5,
        rescale_offset=True,
        do_normalize=False,
        include_top=False,
    )
    tf.AlignProcessor(processor, tf.BertTokenizer(vocab=vocab)).save_pretrained(folder)
    return folder


def blip2(folder: Path) -> Path:
    """Write a BLIP-2 for retrieval, with three queries a picture."""
    vocab = _wordpieces()
    queries = {
        **SIZES,
        "vocab_size": len(vocab),
        "max_position_embeddings": 40,
        "encoder_hidden_size": tf.Blip2VisionConfig(**SEEN).hidden_size,
        "use_qformer_text_input": True,
        "cross_attention_frequency": 2,
        **QUERIES,
    }
    config = tf.Blip2Config(
        vision_config=SEEN,
        qformer_config=queries,
        num_query_tokens=QUERY_COUNT,
        image_text_hidden_size=16,
    )
    spread(tf.Blip2ForImageTextRetrieval(config)).save_pretrained(folder)
    processor = tf.BlipImageProcessorPil(size=SQUARE)
    tf.BlipProcessor(processor, tf.BertTokenizer(vocab=vocab)).save_pretrained(folder)
    return folder


def blip(folder: Path) -> Path:
    """Write a BLIP for retrieval; [DEC] and [ENC] follow the tokenizer's words."""
    vocab = _wordpieces()
    known = max(vocab.values()) + 1
    config = tf.BlipConfig(
        text_config={**SIZES, "vocab_size": known + 2, "bos_token_id": known},
        vision_config=SEEN,
        image_text_hidden_size=16,
    )
    spread(tf.BlipForImageTextRetrieval(config)).save_pretrained(folder)
    processor = tf.BlipImageProcessorPil(size=SQUARE)
    tf.BlipProcessor(processor, tf.BertTokenizer(vocab=vocab)).save_pretrained(folder)
    return folder


def pickled(folder: Path) -> None:
    """Put the weights into a pickle of tensors, as older repositories have them."""
    state = tf.AutoModel.from_pretrained(folder).state_dict()
    torch.save(state, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def set_in(file: Path, part: str | None, **values: Any) -> None:
    """Change settings in a JSON file, or in one part of it."""
    whole = json.loads(file.read_text("utf-8"))
    (whole[part] if part else whole).update(values)
    file.write_text(json.dumps(whole), "utf-8")
