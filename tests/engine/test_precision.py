from __future__ import annotations

import time

import pytest
import torch

from scgan_perturb.engine import _precision
from scgan_perturb.engine._precision import faster_precision, gain, has_bfloat16

INSTRUCTIONS = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def nothing_measured():
    faster_precision.cache_clear()
    yield
    faster_precision.cache_clear()


@pytest.mark.parametrize("has", [*INSTRUCTIONS, "none of them"])
def test_a_processor_with_the_instructions_has_bfloat16(has, monkeypatch):
    for name in INSTRUCTIONS:
        monkeypatch.setattr(torch.cpu, name, lambda there=name == has: there, raising=False)
    assert has_bfloat16(CPU) == (has in INSTRUCTIONS)


def test_a_device_that_is_not_known_for_it_has_none():
    assert not has_bfloat16(torch.device("meta"))


@pytest.mark.parametrize(
    ("has_it", "times_faster", "expected"),
    [
        pytest.param(True, 2.0, "bf16-mixed", id="faster"),
        pytest.param(True, 0.6, "32-true", id="slower"),
        pytest.param(True, 1.05, "32-true", id="as fast, but for noise"),
        pytest.param(False, 2.0, "32-true", id="no instructions"),
    ],
)
def test_bfloat16_is_used_where_products_are_faster_with_it(
    has_it, times_faster, expected, monkeypatch
):
    monkeypatch.setattr(_precision, "has_bfloat16", lambda _: has_it)
    monkeypatch.setattr(_precision, "gain", lambda *_: times_faster)
    assert faster_precision(CPU) == expected


def test_a_device_is_measured_once(monkeypatch):
    calls = []
    monkeypatch.setattr(_precision, "has_bfloat16", lambda _: True)
    monkeypatch.setattr(_precision, "gain", lambda *_: calls.append(1) or 2.0)
    assert [faster_precision(CPU) for _ in range(3)] == ["bf16-mixed"] * 3
    assert len(calls) == 1


def test_a_gpu_with_the_instructions_is_not_measured(monkeypatch):
    monkeypatch.setattr(_precision, "has_bfloat16", lambda _: True)
    monkeypatch.setattr(_precision, "gain", lambda *_: pytest.fail("measured"))
    assert faster_precision(torch.device("cuda")) == "bf16-mixed"


def test_the_gain_is_the_ratio_of_times():
    assert gain(lambda: time.sleep(0.002), lambda: time.sleep(0.006)) == pytest.approx(3, rel=0.4)


def test_a_measurement_leaves_threads_and_random_state_alone(monkeypatch):
    monkeypatch.setattr(_precision, "has_bfloat16", lambda _: True)
    n_threads, state = torch.get_num_threads(), torch.get_rng_state()
    assert faster_precision(CPU) in {"32-true", "bf16-mixed"}
    assert torch.get_num_threads() == n_threads
    assert torch.equal(torch.get_rng_state(), state)
