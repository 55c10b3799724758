"""A bucket on this machine: moto's server, a process of its own, which answers as S3 does.

It is taken from the PATH (``moto_server``), so that what it needs is nothing to visita.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any
from unittest import mock

SERVER = "moto_server"
LACKING = "needs 'visita[s3]', and moto's server on the PATH: moto flask flask-cors"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "visita",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def is_here() -> bool:
    """Tell whether the server and boto3 are installed."""
    return shutil.which(SERVER) is not None and find_spec("boto3") is not None


@contextmanager
def serving() -> Iterator[str]:
    """Start the server, which ends with the block; yield its address, which the variables have."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    words = [str(shutil.which(SERVER)), "-H", "127.0.0.1", "-p", str(port)]
    alone = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    with subprocess.Popen(words, stderr=subprocess.PIPE, encoding="utf-8", env=alone) as server:
        assert server.stderr
        address = f"http://127.0.0.1:{port}"
        try:
            next(line for line in server.stderr if "Running on" in line)
            with mock.patch.dict(os.environ, {**CREDENTIALS, "AWS_ENDPOINT_URL": address}):
                yield address
        finally:
            server.terminate()


def client() -> Any:
    """Return boto3's client of the server that ``AWS_ENDPOINT_URL`` names."""
    import boto3  # noqa: PLC0415  an extra

    return boto3.client("s3")
