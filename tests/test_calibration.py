import json
import math

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from visita.errors import ArtifactError, DataError
from visita.matchers.probability import Calibration


def test_the_probability_is_the_documented_formula():
    calibration = Calibration(2.0, 10.0, -0.5)
    scores = np.array([[0.1, 0.9], [-0.4, 0.5]], np.float32)
    found = calibration.probability(scores, 300)
    assert found.dtype == np.float32
    for row in range(2):
        for column in range(2):
            distance = 1 - float(scores[row, column])
            log_odds = 2.0 - 10.0 * distance**3 - 0.5 * math.log(300)
            assert found[row, column] == pytest.approx(1 / (1 + math.exp(-log_odds)), rel=1e-5)


def test_the_probability_never_falls_with_the_score_and_does_not_overflow():
    calibration = Calibration(5.0, 800.0, -0.9)
    scores = np.linspace(-50, 50, 4001, dtype=np.float32)
    found = calibration.probability(scores, 10**9)
    assert (np.diff(found) >= 0).all()
    assert 0 <= found[0] < found[-1] <= 1
    assert calibration.probability(np.zeros((0, 3), np.float32), 5).shape == (0, 3)


def test_larger_galleries_make_the_same_score_less_sure():
    calibration = Calibration(2.0, 10.0, -0.5)
    found = [float(calibration.probability(np.float32([0.8]), n)[0]) for n in (1, 10, 1000)]
    assert found == sorted(found, reverse=True)
    with pytest.raises(DataError, match="at least one picture"):
        calibration.probability(np.zeros(1, np.float32), 0)


def test_it_survives_json_and_what_it_did_not_write_is_refused():
    calibration = Calibration(1.25, 3.5, -0.125)
    saved = TypeAdapter(Calibration)
    assert saved.validate_json(json.dumps(calibration.to_dict())) == calibration
    with pytest.raises(ValidationError, match="size_weight"):
        saved.validate_python({"intercept": 0.0, "score_weight": 1.0})
    for bad in ({"more": 1.0}, {"intercept": math.nan}, {"size_weight": math.inf}):
        with pytest.raises(ValidationError):
            saved.validate_python({**calibration.to_dict(), **bad})
    with pytest.raises(ArtifactError, match=r"not usable; fit it again"):
        saved.validate_python({**calibration.to_dict(), "score_weight": -1.0})
