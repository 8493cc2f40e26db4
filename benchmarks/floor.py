"""The least time that this machine needs for given work: matrix products and bytes, measured.

The floor of a step is the time of the products that its mathematics cannot do without, each timed
by itself at its own shape and orientation, and of moving the bytes that have to move, at the speed
of a copy. Everything else (activations, losses, draws, Python) counts as nothing.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import torch

from scgan_perturb.estimates._latent import N_FACTORS, NEWTON_STEPS
from scgan_perturb.networks._networks import BOTTLENECK_UNITS, CLASSIFIER_UNITS, N_RESIDUAL_BLOCKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

REPEATS, LEAST_SECONDS = 5, 0.2
COPIED = 2**28  # bytes, far more than a cache holds
FLOAT = 4  # bytes of a weight

# What a product of a dense layer computes: outputs, gradients of weights, gradients of inputs.
FORWARD, WEIGHTS, INPUTS = "xW'", "g'x", "gW"
Product = tuple[str, int, int, int]  # orientation, samples, inputs, outputs


def best_of(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call, the shortest of several: what disturbs only adds."""
    call()
    times: list[float] = []
    begin = time.perf_counter()
    while len(times) < REPEATS or time.perf_counter() - begin < LEAST_SECONDS:
        synchronise(device)
        start = time.perf_counter()
        call()
        synchronise(device)
        times.append(time.perf_counter() - start)
    return min(times)


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@dataclass
class Work:
    """Products, and bytes that move besides."""

    products: Counter[Product] = field(default_factory=Counter)
    n_bytes: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(self.products + other.products, self.n_bytes + other.n_bytes)

    @property
    def flops(self) -> float:
        return sum(2.0 * m * k * n * count for (_, m, k, n), count in self.products.items())


class Machine:
    """Ceilings of a device, measured once each."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype
        self.product_seconds = cache(self._product_seconds)
        self.bytes_per_second = self._bandwidth()

    def _bandwidth(self) -> float:
        source = torch.ones(COPIED // FLOAT, device=self.device)
        target = torch.empty_like(source)
        return 2 * COPIED / best_of(lambda: target.copy_(source), self.device)

    def _product_seconds(self, orientation: str, m: int, k: int, n: int) -> float:
        def made(*shape: int) -> torch.Tensor:
            return torch.rand(shape, device=self.device).to(self.dtype)

        x, w, g = made(m, k), made(n, k), made(m, n)
        a, b = {FORWARD: (x, w.T), WEIGHTS: (g.T, x), INPUTS: (g, w)}[orientation]
        out = a @ b
        return best_of(lambda: torch.mm(a, b, out=out), self.device)

    def floor(self, work: Work) -> float:
        """Seconds."""
        products = sum(n * self.product_seconds(*product) for product, n in work.products.items())
        return products + work.n_bytes / self.bytes_per_second


def dense_layers(widths: Iterable[int]) -> list[tuple[int, int]]:
    return list(itertools.pairwise(widths))


def products(layers: list[tuple[int, int]], m: int, *orientations: str, first: bool = True) -> Work:
    """Products of dense layers; the first has no gradient of its inputs unless `first`."""
    work = Work()
    for place, (k, n) in enumerate(layers):
        for orientation in orientations:
            if orientation != INPUTS or first or place:
                work.products[orientation, m, k, n] += 1
    return work


def optimised(layers: list[tuple[int, int]]) -> Work:
    """Adam reads weight, gradient and two moments, and writes three."""
    n_weights = sum(k * n for k, n in layers)
    return Work(n_bytes=FLOAT * n_weights * 7)


def gathered(m: int, n_genes: int, times: int) -> Work:
    """Batches copied from the data."""
    return Work(n_bytes=2 * FLOAT * m * n_genes * times)


def generator_layers(n_genes: int) -> list[tuple[int, int]]:
    narrow = BOTTLENECK_UNITS[-1]
    blocks = [narrow] * (2 * N_RESIDUAL_BLOCKS)
    return dense_layers([n_genes, *BOTTLENECK_UNITS, *blocks, *BOTTLENECK_UNITS[-2::-1], n_genes])


def classifier_layers(n_genes: int, n_classes: int) -> list[tuple[int, int]]:
    return dense_layers([n_genes, *CLASSIFIER_UNITS, n_classes])


def discriminator_layers(n_genes: int) -> list[tuple[int, int]]:
    return dense_layers([n_genes, *BOTTLENECK_UNITS, 1])


def transport_work(n_genes: int, m: int) -> Work:
    """Newton steps to the factors of samples; then presences and values before and after the map."""
    n_pairs = N_FACTORS * (N_FACTORS + 1) // 2
    return Work(
        Counter(
            {
                (FORWARD, m, n_genes, n_pairs): NEWTON_STEPS + 1,
                (FORWARD, m, n_genes, N_FACTORS): NEWTON_STEPS + 1,
                (FORWARD, m, N_FACTORS, n_genes): NEWTON_STEPS + 4,
            }
        )
    )


def classifier_step(n_genes: int, n_classes: int, m: int) -> Work:
    layers = classifier_layers(n_genes, n_classes)
    return (
        products(layers, m, FORWARD, WEIGHTS, INPUTS, first=False)
        + optimised(layers)
        + gathered(m, n_genes, 1)
    )


def paper_step(n_genes: int, n_classes: int, m: int, n_target: int) -> Work:
    generator, critic = generator_layers(n_genes), discriminator_layers(n_genes)
    learns = products(critic, m, FORWARD, WEIGHTS, INPUTS, first=False)
    return (
        products(generator, m, FORWARD, WEIGHTS, INPUTS, first=False)
        + learns
        + learns
        + products(critic, m, FORWARD, INPUTS)
        + products(classifier_layers(n_genes, n_classes), m, FORWARD, INPUTS)
        + Work(Counter({(FORWARD, m, n_target, n_genes): 1}))
        + optimised(generator)
        + optimised(critic)
        + gathered(m, n_genes, 2)
    )


def perturbation(n_genes: int, n_classes: int, n_samples: int, m: int) -> Work:
    """f before and after, and one draw of recipe "transport", in blocks of m samples."""
    block = (
        products(classifier_layers(n_genes, n_classes), m, FORWARD)
        + products(classifier_layers(n_genes, n_classes), m, FORWARD)
        + transport_work(n_genes, m)
        + gathered(m, n_genes, 1)
    )
    n_blocks = n_samples / m
    return Work(
        Counter({product: n * n_blocks for product, n in block.products.items()}),  # type: ignore[misc]
        block.n_bytes * n_blocks,
    )
