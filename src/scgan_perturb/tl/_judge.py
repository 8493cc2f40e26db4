"""Judge perturbed samples of one target beside what plain methods would have done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._keys import ALL, COPIES, FLOOR, MODEL, UNTOUCHED
from ..metrics import (
    class_mean_shift,
    diagonal_gaussian_transport,
    full_gaussian_transport,
    global_mean_shift,
    linear_gaussian_transport,
    nearest_target_sample,
    random_target_sample,
    two_sample_auc,
)
from ..metrics._bootstrap import Comparison, Reference, interval
from ..metrics._two_sample import N_FOLDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Verdicts = dict[str, np.ndarray]  # by column, whether each sample is called the target
    Witnesses = Callable[[np.ndarray], Verdicts]

SUCCESS = ("success", "success_logistic_regression", "success_random_forest")
WITH_INTERVAL = ("e_distance", "mmd", "mean_r2", "variance_r2")
COLUMNS = (
    *("target", "source", "method", "is_told_label", "n_samples"),
    *SUCCESS,
    *(f"{name}{end}" for name in WITH_INTERVAL for end in ("", "_low", "_high")),
    *("two_sample_auc", "perturbation"),
)
TOLD = {
    "class mean shift": class_mean_shift,
    "diagonal Gaussian transport": diagonal_gaussian_transport,
    "full Gaussian transport": full_gaussian_transport,
}
MIN_RESAMPLED = 5  # samples; resampling fewer says little of what others would have given


@dataclass(frozen=True)
class TargetSamples:
    """What one target is judged on: samples × genes, scaled to [0, 1].

    Parameters
    ----------
    target
        The label.
    train, train_labels
        Training samples of the sources and of the target, and their labels.
    x, labels
        Held-out samples of the sources, and their labels.
    perturbed
        The same, perturbed.
    real
        Held-out samples of the target.
    real_perturbed
        The same, perturbed; no rows where the fit left them alone.
    """

    target: str
    train: np.ndarray
    train_labels: np.ndarray
    x: np.ndarray
    labels: np.ndarray
    perturbed: np.ndarray
    real: np.ndarray
    real_perturbed: np.ndarray

    def training(self, *, of_target: bool) -> np.ndarray:
        """Training samples of the target, or of the sources."""
        return self.train[(self.train_labels == self.target) == of_target]


def judge_target(
    samples: TargetSamples, witnesses: Witnesses, *, n_bootstrap: int, seed: int
) -> tuple[pd.DataFrame, float]:
    """A row a source and method; and the width of the kernel of the MMD."""
    rng = np.random.default_rng(seed)
    reference = Reference.of(samples.real, n_bootstrap=n_bootstrap, rng=rng)
    judge = _Judge(samples, reference, witnesses, seed)
    rows = [row for method, moved in _methods(samples, seed) for row in judge.rows(method, moved)]
    rows += judge.floor()
    rows += judge.target_itself()
    table = pd.DataFrame(rows, columns=COLUMNS)
    sources = {source: place for place, source in enumerate(judge.groups)}
    order = table["source"].map(sources).fillna(len(sources))
    return table.iloc[np.argsort(order, kind="stable")].reset_index(drop=True), reference.width


def _methods(samples: TargetSamples, seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """The held-out samples as each method moves them, one at a time."""
    x = samples.x
    source, target = (samples.training(of_target=is_target) for is_target in (False, True))
    shifted = global_mean_shift(x, source, target)
    yield UNTOUCHED, x
    yield "global mean shift", shifted
    seen = np.isin(samples.labels, samples.train_labels)
    for name, move in TOLD.items():
        moved = shifted.astype(np.float64)  # of a class without training samples
        moved[seen] = move(
            x[seen], samples.labels[seen], samples.train, samples.train_labels, samples.target
        )
        yield name, moved
    yield "linear Gaussian transport", linear_gaussian_transport(x, source, target)
    nearest, random = COPIES
    yield nearest, nearest_target_sample(x, target)
    yield random, random_target_sample(x, target, rng=seed)
    yield MODEL, samples.perturbed


class _Judge:
    """Measures samples against the real ones of a target, all together and source by source."""

    def __init__(
        self, samples: TargetSamples, reference: Reference, witnesses: Witnesses, seed: int
    ) -> None:
        self.samples, self.reference, self.witnesses, self.seed = (
            samples,
            reference,
            witnesses,
            seed,
        )
        self.groups = {ALL: np.arange(len(samples.x))}
        for label in np.unique(samples.labels):
            self.groups[label] = np.flatnonzero(samples.labels == label)

    def rows(self, method: str, moved: np.ndarray) -> Iterator[dict[str, Any]]:
        """A row a source for the held-out samples as a method moved them."""
        comparison, verdicts = Comparison(moved, self.reference), self.witnesses(moved)
        change = np.abs(moved - self.samples.x).mean(axis=1)
        for place, (source, rows) in enumerate(self.groups.items()):
            yield {
                **self._name(source, method, len(rows)),
                **{name: said[rows].mean() for name, said in verdicts.items()},
                # The same resamplings for every method.
                **_measure(comparison, rows, np.random.default_rng((self.seed, place))),
                "two_sample_auc": self._auc(moved) if source == ALL else np.nan,
                "perturbation": change[rows].mean(dtype=float),
            }

    def floor(self) -> list[dict[str, Any]]:
        """Real training samples of the target against held-out ones, for each source the same."""
        train = self.samples.training(of_target=True)
        rng = np.random.default_rng((self.seed, len(self.groups)))
        row = {
            **_shares(self.witnesses(self.samples.real)),
            **_measure(Comparison(train, self.reference), np.arange(len(train)), rng),
            "perturbation": np.nan,
        }
        auc = self._auc(train)
        return [
            {
                **self._name(source, FLOOR, len(train)),
                **row,
                "two_sample_auc": auc if source == ALL else np.nan,
            }
            for source in self.groups
        ]

    def target_itself(self) -> list[dict[str, Any]]:
        """How much the model changes samples that are the target already."""
        x, perturbed = self.samples.real, self.samples.real_perturbed
        if len(perturbed) == 0:
            return []
        return [
            {
                **self._name(self.samples.target, MODEL, len(perturbed)),
                **_shares(self.witnesses(perturbed)),
                "perturbation": np.abs(perturbed - x).mean(dtype=float),
            }
        ]

    def _name(self, source: str, method: str, n_samples: int) -> dict[str, Any]:
        return {
            "target": self.samples.target,
            "source": source,
            "method": method,
            "is_told_label": method in TOLD,
            "n_samples": n_samples,
        }

    def _auc(self, moved: np.ndarray) -> float:
        if min(len(moved), len(self.samples.real)) < N_FOLDS:
            return np.nan
        return two_sample_auc(moved, self.samples.real, rng=self.seed)


def _measure(comparison: Comparison, rows: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
    """Distances with the ends of their intervals, by column; none of too few samples."""
    measured: dict[str, Any] = {}
    enough = min(len(rows), len(comparison.reference.samples)) >= MIN_RESAMPLED
    for name, values in comparison.measure(rows, rng).items():
        low, high = interval(values) if enough else (np.nan, np.nan)
        if name.endswith("_r2"):
            low, high = np.clip([low, high], 0, 1)
        measured |= {name: values[0], f"{name}_low": low, f"{name}_high": high}
    return measured


def _shares(verdicts: Verdicts) -> dict[str, float]:
    return {name: said.mean() for name, said in verdicts.items()}
