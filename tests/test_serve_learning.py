"""Learn: marks and pairs teach a matcher, which is used when asked and given up as easily."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from serving import Service, serving

pytest.importorskip("fastapi")
pytest.importorskip("torch")


def until(service: Service, path: str, holds) -> dict:
    """Return an answer once something holds of it."""
    while not holds(answer := service.ask(path).json):
        service.wait()
    return answer


@pytest.mark.slow
def test_what_is_marked_is_learnt_used_and_given_up(drawn_folder, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for path in sorted(drawn_folder.iterdir())[:60]:
        shutil.copy(path, folder)
    with serving(folder, "--gallery", tmp_path / "home") as service:
        service.wait_until_ready()
        too_few = service.ask("jobs", {})
        assert too_few.status == 422 and "12 pictures" in too_few.json["detail"]
        assert not list(tmp_path.glob("home/**/learnt/*"))
        pairs = []
        for picture in service.ask("pictures").json["pictures"]:
            name = {"gallery": picture["gallery"], "id": picture["id"]}
            text = Path(picture["path"]).with_suffix(".txt").read_text("utf-8").splitlines()[0]
            assert service.ask("feedback", {**name, "text": text, "fits": True}).status == 200
            if pairs:
                wrong = pairs[-1]["text"].replace("again", "and no other")
                mark = {**name, "text": wrong, "fits": False}
                assert service.ask("feedback", mark).status == 200
            pairs.append({"picture": name, "text": f"{text}, again"})
        begun = service.ask("jobs", {"pairs": pairs})
        assert begun.status == 202 and begun.json["pairs"] == 60
        assert service.ask("jobs", {"pairs": pairs}).status == 422
        where = f"jobs/{begun.json['id']}"
        job = until(service, where, lambda job: job["state"] != "running")
        assert job["state"] == "done", job["detail"]
        assert 0 < job["wrong"] < 30 and job["held_back"] > 0 and not job["in_use"]
        changes = {change["metric"]: change for change in job["changes"]}
        low, high = (changes["rsum"]["difference"][end] for end in ("low", "high"))
        assert low <= changes["rsum"]["difference"]["value"] <= high
        apart = changes["right above wrong"]
        assert apart["before"]["value"] < apart["after"]["value"] <= 100
        assert service.ask("model").json["learnt"] is False
        assert service.ask("model", {"job": job["id"]}).status == 202
        model = until(service, "model", lambda model: model["learnt"])
        assert model["facts"]["base"] and service.ask(where).json["in_use"]
        assert service.ask("search", text="a red star").status == 200
    (learnt,) = tmp_path.glob("home/**/learnt")
    (learnt / "torn").mkdir()
    (learnt / "torn" / "job.json").write_text("{", "utf-8")
    with serving(folder, "--gallery", tmp_path / "home") as service:
        assert service.ask("model").json["learnt"]
        assert service.ask("model", {"job": None}).status == 202
        until(service, "model", lambda model: not model["learnt"])
        assert [job["state"] for job in service.ask("jobs").json["jobs"]] == ["done"]
