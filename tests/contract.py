"""Lets schemathesis ask a service everything that its OpenAPI description allows, and more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from serving import Service

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance,response_headers_conformance"
)


def contract(service: Service, folder: Path, examples: int, seed: int = 0) -> tuple[int, str]:
    """Return the exit status and what schemathesis says; it knows a gallery and a picture."""
    picture = service.ask("pictures", k=1).json["pictures"][0]
    known = {"path.gallery": picture["gallery"], "path.picture": picture["id"]}
    lines = [f"{json.dumps(name)} = {json.dumps(value)}\n" for name, value in known.items()]
    (folder / "schemathesis.toml").write_text("[parameters]\n" + "".join(lines), "utf-8")
    address = f"http://{service.host}:{service.port}/api/v1/openapi.json"
    words = ["run", address, "--header", "X-Visita: 1", "--checks", CHECKS, "--no-color"]
    words += ["--seed", str(seed), "--max-examples", str(examples)]
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", *words, "--phases", "examples,fuzzing"],
        capture_output=True,
        encoding="utf-8",
        check=False,
        cwd=folder,
    )
    return done.returncode, done.stdout + done.stderr
