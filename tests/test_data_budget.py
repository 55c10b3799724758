"""Memory for decoding: held within a budget, whatever the threads, or refused with the reason."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image
from zoo import landmark

from visita.data.decode import Budget, budget, decode
from visita.errors import ConfigError, PassingError

DECODE_ALL = """
import re, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from visita.data.decode import decoding
from visita.errors import PictureError

def high(): return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

def size(name):
    try:
        with decoding(Path(name)) as picture:
            return picture.size
    except PictureError as error:
        return str(error)

size(sys.argv[1])  # with what only the first one loads
before = high()
with ThreadPoolExecutor(8) as pool:
    print(*set(pool.map(size, sys.argv[2:])))
print((high() - before) * 1024 // 10**6)
"""


def decode_all(paths, megabytes, monkeypatch):
    monkeypatch.setenv("VISITA_DECODE_MEMORY", megabytes)
    command = [sys.executable, "-c", DECODE_ALL, *paths]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    *found, peak = done.stdout.splitlines()
    return found, int(peak)


def test_what_is_held_never_exceeds_the_total_and_everyone_gets_a_turn():
    budget, held, most = Budget(100), 0, 0
    lock = threading.Lock()

    def take(amount):
        nonlocal held, most
        with budget.hold(amount):
            with lock:
                held += amount
                most = max(most, held)
            with lock:
                held -= amount
        return amount

    amounts = [1, 60, 100, 30, 0] * 200
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(take, amounts)) == amounts
    assert 0 < most <= 100


def test_small_ones_do_not_pass_a_large_one_that_waits():
    budget, order = Budget(10), []

    def take(amount):
        with budget.hold(amount):
            order.append(amount)

    with budget.hold(5):
        large = threading.Thread(target=take, args=(10,))
        large.start()
        while not budget._turn.locked():
            pass
        small = threading.Thread(target=take, args=(1,))
        small.start()
    large.join()
    small.join()
    assert order == [10, 1]


def test_what_would_never_fit_is_refused_at_once_and_given_back_after_a_failure():
    budget = Budget(2_000_000)
    with pytest.raises(PassingError, match=r"about 3 MB .* more than 2: set VISITA_DECODE_MEMORY"):
        budget.hold(2_000_001).__enter__()
    for _ in range(3):
        with pytest.raises(KeyError), budget.hold(2_000_000):
            raise KeyError


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_many_threads_decode_within_the_budget(tmp_path, monkeypatch):
    landmark().save(tmp_path / "small.png")
    for number in range(8):
        Image.new("RGBA", (3000, 3000), (number, 2, 3)).save(tmp_path / f"{number}.png")
    paths = [tmp_path / "small.png", *(tmp_path / f"{number}.png" for number in range(8))]
    found, peak = decode_all(paths, "80", monkeypatch)  # one takes 72 or so
    assert found == ["(3000, 3000)"]
    assert peak < 110  # and eight, 576


@pytest.mark.parametrize(
    ("megabytes", "said"), [("5", "set VISITA_DECODE_MEMORY higher"), ("", "")]
)
def test_a_picture_beyond_the_budget_says_what_to_set(tmp_path, monkeypatch, megabytes, said):
    landmark().save(tmp_path / "small.png")
    Image.new("RGB", (1500, 1000)).save(tmp_path / "large.png")
    paths = [tmp_path / "small.png", tmp_path / "large.png"]
    [found], _ = decode_all(paths, megabytes, monkeypatch)
    assert said in found
    assert ("(1500, 1000)" in found) == (not said)


@pytest.mark.parametrize("nonsense", ["lots", "-1", "1.5", "1e3", "٣"])
def test_a_budget_that_is_no_number_is_an_error_of_the_setting(tmp_path, monkeypatch, nonsense):
    landmark().save(tmp_path / "small.png")
    monkeypatch.setenv("VISITA_DECODE_MEMORY", nonsense)
    budget.cache_clear()
    try:
        with pytest.raises(ConfigError, match=f"VISITA_DECODE_MEMORY is '{nonsense}': give a num"):
            decode(tmp_path / "small.png")
    finally:
        budget.cache_clear()
