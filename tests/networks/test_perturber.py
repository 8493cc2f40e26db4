from __future__ import annotations

import pytest
import torch
from torch import nn

from scgan_perturb.networks._perturber import DEVIATION_KEPT, TransportPerturber

MEAN = torch.tensor([[0.2, 0.2, 0.5], [0.6, 0.6, 0.5]])
TARGET = 1


class Moved(nn.Module):
    """A generator that moves samples by 0.4 and has one gene shut."""

    def __init__(self) -> None:
        super().__init__()
        self.mean, self.targets = MEAN, torch.tensor([float(TARGET)])
        self.gate = torch.tensor([[1.0, 1.0, 0.0]])

    def forward(self, x: torch.Tensor, said: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        assert said.shape == (len(x), 2)
        assert (place == 0).all()
        return x + 0.4 * self.gate[place]


class Near(nn.Module):
    """Calls samples the target whose first gene is within a distance of a value."""

    def __init__(self, within: float, centre: float = 0.6) -> None:
        super().__init__()
        self.within, self.centre = within, centre

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        lead = self.within - (x[:, 0] - self.centre).abs()
        return torch.stack([torch.zeros(len(x)), lead], dim=1)


X = torch.tensor([[0.2, 0.3, 0.9], [0.3, 0.1, 0.8], [0.4, 0.0, 0.7]])  # deviate by 0, 0.1, 0.2


def test_samples_keep_as_much_of_their_deviation_as_convinces():
    found, logits = TransportPerturber(Moved(), Near(0.06), 0)(X)
    raw = X + torch.tensor([0.4, 0.4, 0.0])
    # 0.1 to a half; 0.2 to a quarter; the gene that is shut stays.
    for row, kept in ((0, 1.0), (1, 0.5), (2, 0.25)):
        expected = MEAN[TARGET] + kept * (raw[row] - MEAN[TARGET])
        torch.testing.assert_close(found[row, :2], expected[:2])
    torch.testing.assert_close(found[:, 2], X[:, 2])
    torch.testing.assert_close(logits, Near(0.06)(found))


def test_what_nothing_convinces_of_stays_as_it_is():
    found, logits = TransportPerturber(Moved(), Near(0.01, centre=5.0), 0)(X)
    torch.testing.assert_close(logits, Near(0.01, centre=5.0)(found))
    torch.testing.assert_close(found, X + torch.tensor([0.4, 0.4, 0.0]))


@pytest.mark.parametrize("rows", [slice(0, 1), slice(1, 3)])
def test_a_sample_is_perturbed_alike_in_company(rows):
    perturber = TransportPerturber(Moved(), Near(0.06), 0)
    for part, whole in zip(perturber(X[rows]), perturber(X), strict=True):
        torch.testing.assert_close(part, whole[rows])


def test_more_is_tried_before_less():
    assert sorted(DEVIATION_KEPT, reverse=True) == list(DEVIATION_KEPT)
