"""The three networks of TSPG (paper, section 2.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from .._messages import examples
from ..data._blocks import is_finite
from ..engine._shares import differentiable_sum

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CLASSIFIER_UNITS = (1024, 512, 128)
BOTTLENECK_UNITS = (512, 256, 128)
N_RESIDUAL_BLOCKS = 3
LEAK = 0.2
BATCH_NORM_EPSILON = 1e-3  # TensorFlow's default, as in the paper
ALIGNMENT = 64  # bytes, of the memory that torch allocates on a CPU


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation whose evaluation statistics are means over batches.

    The paper's moving average (decay 0.99) lags behind changing weights; :func:`calibrate`
    replaces it.
    """

    running_mean: torch.Tensor
    running_var: torch.Tensor
    num_batches_tracked: torch.Tensor
    is_shared = False

    def __init__(self, n_units: int) -> None:
        super().__init__(n_units, eps=BATCH_NORM_EPSILON, momentum=None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Samples × units to samples × units."""
        return self._shared(x) if self.is_shared and self.training else super().forward(x)

    def _shared(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise with mean and variance over all processes; torch's own layer needs a GPU."""
        exact = x.to(self.weight.dtype)
        sums = torch.cat([exact.sum(dim=0), exact.new_full((1,), len(x))])
        total, n_samples = differentiable_sum(sums).tensor_split([-1])
        mean = total / n_samples
        deviation = exact - mean
        variance = differentiable_sum(deviation.square().sum(dim=0)) / n_samples
        self._update_statistics(mean.detach(), variance.detach() * n_samples / (n_samples - 1))
        scale = self.weight * (variance + self.eps).rsqrt()
        return torch.addcmul(self.bias, deviation, scale).to(x.dtype)

    @torch.no_grad()
    def _update_statistics(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        self.num_batches_tracked += 1
        for running, new in ((self.running_mean, mean), (self.running_var, variance)):
            running.lerp_(new, 1 / self.num_batches_tracked)


def _hidden(n_in: int, n_out: int, activation: nn.Module) -> list[nn.Module]:
    return [nn.Linear(n_in, n_out), BatchNorm(n_out), activation]


class Classifier(nn.Sequential):
    """The target model f: expression to logits over the classes."""

    def __init__(self, n_genes: int, n_classes: int) -> None:
        layers: list[nn.Module] = []
        for n_in, n_out in zip((n_genes, *CLASSIFIER_UNITS), CLASSIFIER_UNITS, strict=False):
            layers += [nn.Linear(n_in, n_out), nn.ReLU()]
        super().__init__(*layers, nn.Linear(CLASSIFIER_UNITS[-1], n_classes))


class ResidualBlock(nn.Module):
    """Two dense layers added to their input."""

    def __init__(self, n_units: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_hidden(n_units, n_units, nn.ReLU()), nn.Linear(n_units, n_units), BatchNorm(n_units)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Samples × units to samples × units."""
        return x + self.layers(x)


class Generator(nn.Sequential):
    """The generator G: expression in [0, 1] to a perturbation P in [-1, 1]."""

    def __init__(self, n_genes: int) -> None:
        wide, middle, narrow = BOTTLENECK_UNITS
        layers: list[nn.Module] = []
        for n_in, n_out in ((n_genes, wide), (wide, middle), (middle, narrow)):
            layers += _hidden(n_in, n_out, nn.ReLU())
        layers += [ResidualBlock(narrow) for _ in range(N_RESIDUAL_BLOCKS)]
        for n_in, n_out in ((narrow, middle), (middle, wide)):
            layers += _hidden(n_in, n_out, nn.ReLU())
        super().__init__(*layers, nn.Linear(wide, n_genes), nn.Tanh())


class Discriminator(nn.Sequential):
    """The discriminator D: expression to a score, 1 for real and 0 for perturbed."""

    def __init__(self, n_genes: int) -> None:
        layers: list[nn.Module] = []
        for n_in, n_out in zip((n_genes, *BOTTLENECK_UNITS), BOTTLENECK_UNITS, strict=False):
            layers += _hidden(n_in, n_out, nn.LeakyReLU(LEAK))
        super().__init__(*layers, nn.Linear(BOTTLENECK_UNITS[-1], 1))


def perturb(generator: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """P = G(x) and x_adv = clip(x + P, 0, 1), both samples × genes (paper, section 2.2)."""
    perturbation = generator(x)
    return perturbation, (x + perturbation).clamp(0, 1)


def initialise(network: nn.Module, seed: int) -> None:
    """Give a network on the meta device memory and TensorFlow's initial weights.

    Dense layers start Glorot-uniform with zero bias, embeddings at zero. The user's global random
    state does not change.
    """
    network.to_empty(device="cpu")
    rng = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight, generator=rng)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.zeros_(module.weight)
        elif isinstance(module, (BatchNorm, nn.LayerNorm)):
            module.reset_parameters()


def flops_of_step(network: nn.Module, n_samples: int) -> float:
    """About the floating-point operations of a training step: products forward and backward."""
    return 6.0 * n_samples * sum(weight.numel() for weight in network.parameters())


def share_statistics(network: nn.Module) -> None:
    """Compute batch normalisation over the samples of all processes."""
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.is_shared = True


@torch.no_grad()
def calibrate(network: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Recompute the statistics of batch normalisation from these batches."""
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.reset_running_stats()
    network.train()
    for batch in batches:
        network(batch)


def to_arrays(network: nn.Module) -> dict[str, np.ndarray]:
    """The weights of a network by name, as float32 arrays."""
    state = network.state_dict()
    return {name: state[name].cpu().float().clone().numpy() for name in _weight_names(network)}


def from_arrays(network: nn.Module, arrays: Mapping[str, np.ndarray]) -> nn.Module:
    """Give a network on the meta device the weights in `arrays`, frozen, in evaluation mode.

    Raises
    ------
    ValueError
        If a weight is missing, left over, of another shape, NaN or infinite.
    """
    names = _weight_names(network)
    if differing := sorted(set(names) ^ arrays.keys()):
        msg = f"Stored weights are missing or left over: {examples(differing)}."
        raise ValueError(msg)
    # Check before memory is allocated: a damaged model can describe a network of any size.
    for name, weight in network.state_dict().items():
        if name in names and (found := np.shape(arrays[name])) != tuple(weight.shape):
            msg = f"Stored weight {name!r} has shape {found}, not {tuple(weight.shape)}."
            raise ValueError(msg)
        # A single number is a distance, which can be infinite.
        if name in names and weight.ndim and not is_finite(arrays[name]):
            msg = f"Stored weight {name!r} holds NaN or infinite values; it may be damaged."
            raise ValueError(msg)
    state = {
        name: _tensor(arrays[name], weight.dtype)
        if name in names
        else torch.zeros_like(weight, device="cpu")
        for name, weight in network.state_dict().items()
    }
    network.load_state_dict(state, assign=True)
    return network.eval().requires_grad_(False)


def _tensor(array: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    """An array as a tensor with aligned memory, without a copy if possible.

    The last bits of a matrix product can depend on the alignment, which NumPy does not guarantee.
    """
    tensor = torch.from_numpy(np.require(array, requirements=["C", "W"])).to(dtype)
    return tensor if tensor.data_ptr() % ALIGNMENT == 0 else tensor.clone()


def _weight_names(network: nn.Module) -> list[str]:
    # The number of batches of batch normalisation is used in training only.
    return [name for name in network.state_dict() if not name.endswith("num_batches_tracked")]
