from __future__ import annotations

import pytest
import torch

from scgan_perturb.models import _device
from scgan_perturb.models._device import has_bfloat16, open_fabric


def product_dtype(precision: str) -> torch.dtype:
    """What a dense layer computes in."""
    with open_fabric("cpu", precision).autocast():
        return torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype


@pytest.mark.parametrize(
    ("precision", "chip_has_it", "expected"),
    [
        ("auto", True, torch.bfloat16),
        ("auto", False, torch.float32),
        ("32-true", True, torch.float32),
        ("bf16-mixed", False, torch.bfloat16),
    ],
)
def test_the_chip_decides_unless_the_user_does(precision, chip_has_it, expected, monkeypatch):
    monkeypatch.setattr(_device, "has_bfloat16", lambda _: chip_has_it)
    assert product_dtype(precision) == expected


def test_without_a_word_it_is_float32():
    assert product_dtype("32-true") == torch.float32
    assert open_fabric("cpu").device == torch.device("cpu")


@pytest.mark.parametrize("name", ["_is_avx512_bf16_supported", "_is_amx_tile_supported"])
def test_a_processor_with_the_instructions_has_bfloat16(name, monkeypatch):
    for other in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, other, lambda: False, raising=False)
    assert not has_bfloat16(torch.device("cpu"))
    monkeypatch.setattr(torch.cpu, name, lambda: True)
    assert has_bfloat16(torch.device("cpu"))


def test_a_device_that_is_not_known_for_it_has_none():
    assert not has_bfloat16(torch.device("meta"))


@pytest.mark.parametrize(
    ("accelerator", "precision", "match"),
    [
        ("cpu", "16-mixed", "precision must be one of 'auto', '32-true', 'bf16-mixed'"),
        ("abacus", "auto", "accelerator='abacus' cannot be used"),
    ],
)
def test_what_there_is_not_is_named(accelerator, precision, match):
    with pytest.raises(ValueError, match=match):
        open_fabric(accelerator, precision)
