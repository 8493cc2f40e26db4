"""Samples of one method against real ones of the target, by every test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..metrics import (
    correlation_agreement,
    direction,
    effect,
    log_fold_change_error,
    marginal_distance,
    overlap,
    pearson_delta,
    sinkhorn_w2,
)
from ..metrics._bootstrap import Comparison, Reference, mean_across, shares
from ..metrics._effect import difference
from ..metrics._moments import pearson
from ..metrics._two_sample import N_FOLDS, SCORES, held_out_scores
from ..metrics._zeros import exceeds

if TYPE_CHECKING:
    from ..metrics import Effect
    from ._samples import View

    Values = dict[str, np.ndarray]  # of each metric the value, then one each resampling

# Samples of each side, at most: of two-sample classifiers, rank tests and transport plans.
MAX_CLASSIFIED, MAX_RANKED, MAX_PLANNED = 250, 500, 250
N_TOP = 50


@dataclass(frozen=True)
class Real:
    """Held-out real samples of the target, with what depends on them alone.

    Parameters
    ----------
    view
        The samples.
    counts
        How often each counts: 1 in the first row, then a row each resampling.
    distances, components
        Distances among them, by genes and by principal components.
    seed
        Seed of the classifiers and of the choice of samples.
    """

    view: View
    counts: np.ndarray
    distances: Reference
    components: Reference
    seed: int

    @classmethod
    def of(cls, view: View, counts: np.ndarray, seed: int) -> Real:
        """Compute it."""
        distances, components = (
            Reference.of(samples, counts) for samples in (view.scaled, view.components)
        )
        return cls(view, counts, distances, components, seed)

    def some(self, n_samples: int, most: int) -> np.ndarray:
        """Positions of at most so many samples, at random."""
        rng = np.random.default_rng(self.seed)
        chosen = rng.choice(n_samples, min(n_samples, most), replace=False)
        return np.sort(chosen)


class MethodComparison:
    """One method's samples against the real ones; single sources take from what is computed once.

    Parameters
    ----------
    view
        The method's samples.
    real
        The real samples of the target.
    """

    def __init__(self, view: View, real: Real) -> None:
        self.view, self.real = view, real
        self._distances = Comparison(view.scaled, real.distances)
        self._components = Comparison(view.components, real.components)
        self._detected = exceeds(view.detected, real.view.detected)
        self._rows = real.some(len(view.scaled), MAX_CLASSIFIED)
        self._real_rows = real.some(len(real.view.scaled), MAX_CLASSIFIED)
        self._pairs = {f"auc_{name}": self._classify(name) for name in SCORES}

    def _classify(self, classifier: str) -> tuple[np.ndarray, np.ndarray] | None:
        sides = self.view.scaled[self._rows], self.real.view.scaled[self._real_rows]
        if min(map(len, sides)) < N_FOLDS:
            return None
        return held_out_scores(*sides, classifier=classifier, rng=self.real.seed).pairs()

    def resampled(self, rows: np.ndarray, counts: np.ndarray) -> Values:
        """Metrics with an interval, of the samples at `rows`: the value, then the resamplings."""
        real = self.real
        values = self._distances.measure(rows, counts)
        if len(rows) > 1:
            values["e_distance_pca"] = self._components.energy(rows, counts)
        for name, pairs in self._pairs.items():
            values[name] = self._auc(pairs, rows, counts)
        values["zeros"] = shares(counts) @ self.view.zeros[rows] - (
            shares(real.counts) @ real.view.zeros
        )
        values["detected_genes"] = mean_across(self._detected[rows], counts, real.counts)
        return values

    def _auc(
        self, pairs: tuple[np.ndarray, np.ndarray] | None, rows: np.ndarray, counts: np.ndarray
    ) -> np.ndarray:
        classified = np.isin(rows, self._rows)
        if pairs is None or not classified.any():
            return np.full(len(counts), np.nan)
        here = np.searchsorted(self._rows, rows[classified])
        ours, theirs = counts[:, classified], self.real.counts[:, self._real_rows]
        in_order, n_pairs = (((ours @ pair[here]) * theirs).sum(axis=1) for pair in pairs)
        return np.divide(in_order, n_pairs, out=np.full(len(counts), np.nan), where=n_pairs > 0)

    def plain(self, rows: np.ndarray) -> dict[str, float]:
        """Metrics without an interval, of the samples at `rows`."""
        found = {"n_detected_genes": float(np.median(self.view.detected[rows]))}
        if len(rows) < 2:
            return found
        ours, real = self.view, self.real.view
        found["marginals"] = marginal_distance(ours.scaled[rows], real.scaled)
        found["correlations"] = correlation_agreement(ours.scaled[rows], real.scaled)
        some = rows[self.real.some(len(rows), MAX_PLANNED)]
        few = self.real.some(len(real.components), MAX_PLANNED)
        found["sinkhorn_w2"] = sinkhorn_w2(ours.components[some], real.components[few])
        return found


@dataclass(frozen=True)
class TrueEffect:
    """What changes from some source samples to the real ones of the target.

    Parameters
    ----------
    before
        The source samples, scaled.
    real
        The real samples.
    width
        Range of each gene, in the units of the data.
    """

    before: np.ndarray
    real: Real
    width: np.ndarray
    effect: Effect

    @classmethod
    def of(cls, before: np.ndarray, real: Real, width: np.ndarray) -> TrueEffect:
        """Compute it."""
        return cls(before, real, width, cls._effect(before, real.view.scaled, real, width))

    @staticmethod
    def _effect(before: np.ndarray, after: np.ndarray, real: Real, width: np.ndarray) -> Effect:
        some, few = (real.some(len(samples), MAX_RANKED) for samples in (before, after))
        found = effect(before[some], after[few])
        change = difference(after.mean(axis=0, dtype=float), before.mean(axis=0, dtype=float))
        return found._replace(change=change * width)

    def compare(self, after: np.ndarray) -> dict[str, float]:
        """How the effect of a method agrees with the true one."""
        predicted = self._effect(self.before, after, self.real, self.width)
        return {
            "pearson_delta_top50": pearson_delta(predicted, self.effect, n_top=N_TOP),
            "direction": direction(predicted, self.effect),
            "overlap": overlap(predicted, self.effect),
            "log_fold_change_error": log_fold_change_error(predicted, self.effect),
        }

    def pearson_delta(self, after: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Agreement of the changes over all genes: the value, then one each resampling."""
        before = self.before.mean(axis=0, dtype=float)
        theirs = difference(self.real.distances.moments.mean, before)
        ours = difference(shares(counts) @ after.astype(float), before)
        return pearson(ours * self.width, theirs * self.width)
