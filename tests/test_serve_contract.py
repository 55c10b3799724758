"""The API does what its OpenAPI description says; ``runs/contract.py`` asks it much more."""

from __future__ import annotations

import shutil

import pytest
from contract import contract
from serving import serving

pytest.importorskip("fastapi")


@pytest.mark.slow
def test_no_answer_is_undocumented(drawn_folder, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(0, 6, 2):
        shutil.copy(drawn_folder / f"{number:05d}.jpg", folder)
    with serving(folder, "--gallery", tmp_path / "home") as service:
        service.wait_until_ready()
        status, told = contract(service, tmp_path, 1)
        assert status == 0, told[-6000:]
        assert "33 operations" in told or "33 selected" in told
