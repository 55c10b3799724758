"""What the Dockerfile, the compose file and the systemd unit run and set is what there is."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import typer

pytest.importorskip("fastapi")

from visita.cli.app import app
from visita.errors import ConfigError
from visita.serve.config import PREFIX, ServeConfig

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
UNIT = (ROOT / "deploy" / "visita.service").read_text("utf-8")
COMPOSE = (ROOT / "compose.yaml").read_text("utf-8")
COMMANDS = {
    "Dockerfile": json.loads(re.search(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)[1]),
    "unit": shlex.split(re.search(r"^ExecStart=\S*/(visita .*)$", UNIT, re.MULTILINE)[1]),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_command_that_is_run_exists(name):
    program, command, *words = COMMANDS[name]
    assert program == "visita"
    main = typer.main.get_command(app)
    serve = main.get_command(typer.Context(main), command)
    options = {option for parameter in serve.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= options


def test_the_variables_that_are_set_are_settings():
    told = {*re.findall(rf"{PREFIX}\w+", DOCKERFILE + COMPOSE)}
    assert f"{PREFIX}HOST" in told and f"{PREFIX}TOKEN" in told
    assert {name.removeprefix(PREFIX).lower() for name in told} <= set(ServeConfig.model_fields)


def test_beyond_this_machine_the_container_needs_a_token():
    variables = {f"{PREFIX}HOST": "0.0.0.0", f"{PREFIX}HOSTS": ""}
    with pytest.raises(ConfigError, match="token"):
        ServeConfig.of_everything(None, variables, {})
    token = {f"{PREFIX}TOKEN": "sixteen characters"}
    settings = ServeConfig.of_everything(None, {**variables, **token}, {"port": 1})
    assert (settings.host, settings.port, settings.hosts) == ("0.0.0.0", 1, ())


def test_flags_count_more_than_variables_and_these_more_than_the_file(tmp_path):
    file = tmp_path / "serve.toml"
    file.write_text("port = 1\nthreads = 2\nbody = 3000\n", "utf-8")
    variables = {f"{PREFIX}PORT": "4", f"{PREFIX}THREADS": "5", f"{PREFIX}HOSTS": "a.example,b"}
    settings = ServeConfig.of_everything(file, variables, {"port": 6, "host": None})
    told = (settings.port, settings.threads, settings.body, settings.hosts)
    assert told == (6, 5, 3000, ("a.example", "b"))
