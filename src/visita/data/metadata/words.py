"""Words read in a picture, by PaddleOCR's networks as ``rapidocr`` carries them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from visita.data.metadata.columns import CAPTION, text
from visita.errors import extras_named

_LONGEST = 2000
"""Pixels along the longer edge; the networks see no more."""
_NETWORKS = {"Det": "*_det_*.onnx", "Cls": "*_cls_*.onnx", "Rec": "*_rec_*.onnx"}


class WordReader:
    """Reads the words in pictures, offline, by OpenVINO.

    Raises
    ------
    MissingExtraError
        If rapidocr is not installed.
    """

    def __init__(self) -> None:
        with extras_named("reading the words in pictures"):
            from rapidocr import EngineType, RapidOCR  # noqa: PLC0415  an extra
        models = _models()
        settings: dict[str, Any] = {"Global.log_level": "critical"}
        for part, pattern in _NETWORKS.items():
            settings[f"{part}.engine_type"] = EngineType.OPENVINO
            # Whatever has a path is not looked for on the network.
            settings[f"{part}.model_path"] = str(next(models.glob(pattern)))
        self._read: Any = RapidOCR(params=settings)

    def __call__(self, picture: Image.Image) -> str:
        """Return the words of an RGB picture on one line, which may be ``""``.

        Raises
        ------
        Exception
            Whatever rapidocr, OpenCV and OpenVINO raise.
        """
        small = picture.copy()
        small.thumbnail((_LONGEST, _LONGEST))
        found = self._read(np.asarray(small)[:, :, ::-1])
        return text(" ".join(found.txts or ()), CAPTION) or ""


def _models() -> Path:
    spec = find_spec("rapidocr")
    assert spec is not None and spec.origin is not None  # it was imported
    return Path(spec.origin).parent / "models"
