import json
import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse

import visita.evaluation
from visita.errors import ConfigError, UnknownNameError
from visita.evaluation import evaluate_vectors, pairs, retrieval


def split():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(20, 6)).astype(np.float32)
    owners = np.repeat(np.arange(20), 5)
    texts = images[owners] + rng.normal(size=(100, 6)).astype(np.float32)
    truth = np.zeros((20, 100), dtype=bool)
    truth[owners, np.arange(100)] = True
    return images, texts, sparse.csr_array(truth)


def test_it_joins_the_protocols_into_one_json_object():
    found = evaluate_vectors(*split(), threshold=0.5, threshold_from="dev", seed=4)
    assert json.loads(json.dumps(found)) == {
        "protocols": {
            "retrieval": retrieval(*split(), seed=4).to_dict(),
            "pairs": pairs(*split(), threshold=0.5, threshold_from="dev", seed=4).to_dict(),
        },
        "seed": 4,
        "images": 20,
        "texts": 100,
    }


def test_only_the_protocols_asked_for_run():
    found = evaluate_vectors(*split(), protocols=["retrieval"], seed=0)
    assert list(found["protocols"]) == ["retrieval"]


def test_an_unknown_protocol_names_the_nearest_one():
    with pytest.raises(UnknownNameError, match="Did you mean 'retrieval'"):
        evaluate_vectors(*split(), protocols=["retreival"], threshold=0.5, seed=0)


def test_pairs_without_a_threshold_says_where_to_get_one():
    with pytest.raises(ConfigError, match="fit_threshold"):
        evaluate_vectors(*split(), seed=0)


@pytest.mark.slow
def test_evaluation_never_imports_torch_and_exports_what_it_names():
    code = "import sys, visita.evaluation; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    for name in visita.evaluation.__all__:
        assert getattr(visita.evaluation, name) is not None
