"""Compare the samples of one method with real ones of the target, by every test."""

from __future__ import annotations

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
    from typing import Any

    from ..metrics import Effect
    from ._samples import View

    Values = dict[str, np.ndarray]  # for each metric the value, then one per resampling

# Maximum samples of each set, in two-sample classifiers, rank tests and transport plans.
MAX_CLASSIFIED, MAX_RANKED, MAX_PLANNED = 250, 500, 250
N_TOP = 50


class Real:
    """Held-out real samples of the target, and the distances among them (by genes, by components).

    `counts` says how often each sample counts: a row of ones, then one row per resampling.
    """

    def __init__(self, view: View, counts: np.ndarray, seed: int) -> None:
        self.view, self.counts, self.seed = view, counts, seed
        self.distances = Reference(view.scaled, counts)
        self.components = Reference(view.components, counts)

    def draw(self, n_samples: int, most: int) -> np.ndarray:
        """Random positions of at most `most` of n_samples, in order."""
        rng = np.random.default_rng(self.seed)
        return np.sort(rng.choice(n_samples, min(n_samples, most), replace=False))


class MethodComparison:
    """One method's samples against the real ones; computed once, then measured for each source."""

    def __init__(self, view: View, real: Real) -> None:
        self.view, self.real = view, real
        self._distances = Comparison(view.scaled, real.distances)
        self._components = Comparison(view.components, real.components)
        self._detected = exceeds(view.detected, real.view.detected)
        self._distinct = exceeds(view.distinct, real.view.distinct)
        self._rows = real.draw(len(view.scaled), MAX_CLASSIFIED)
        self._real_rows = real.draw(len(real.view.scaled), MAX_CLASSIFIED)
        self._pairs = {f"auc_{name}": self._classify(name) for name in SCORES}

    def _classify(self, classifier: str) -> tuple[np.ndarray, np.ndarray] | None:
        sides = self.view.scaled[self._rows], self.real.view.scaled[self._real_rows]
        if min(map(len, sides)) < N_FOLDS:
            return None
        return held_out_scores(*sides, classifier=classifier, rng=self.real.seed).pairs()

    def measure(self, rows: np.ndarray, counts: np.ndarray) -> dict[str, Any]:
        """All metrics of the samples at `rows`; those with an interval with their resamplings."""
        return {**self._resampled(rows, counts), **self._single(rows)}

    def _resampled(self, rows: np.ndarray, counts: np.ndarray) -> Values:
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
        values["distinct_values"] = mean_across(self._distinct[rows], counts, real.counts)
        return values

    def _auc(
        self, pairs: tuple[np.ndarray, np.ndarray] | None, rows: np.ndarray, counts: np.ndarray
    ) -> np.ndarray:
        classified = np.isin(rows, self._rows)
        if pairs is None or not classified.any():
            return np.full(len(counts), np.nan)
        index = np.searchsorted(self._rows, rows[classified])
        weights, real_weights = counts[:, classified], self.real.counts[:, self._real_rows]
        in_order, n_pairs = (((weights @ pair[index]) * real_weights).sum(axis=1) for pair in pairs)
        return np.divide(in_order, n_pairs, out=np.full(len(counts), np.nan), where=n_pairs > 0)

    def _single(self, rows: np.ndarray) -> dict[str, float]:
        """Metrics without an interval."""
        values = {
            "n_detected_genes": float(np.median(self.view.detected[rows])),
            "distinct_share": float(np.median(self.view.distinct[rows])),
        }
        if len(rows) < 2:
            return values
        view, real = self.view, self.real.view
        values["marginals"] = marginal_distance(view.scaled[rows], real.scaled)
        values["correlations"] = correlation_agreement(view.scaled[rows], real.scaled)
        drawn = rows[self.real.draw(len(rows), MAX_PLANNED)]
        real_drawn = self.real.draw(len(real.components), MAX_PLANNED)
        values["sinkhorn_w2"] = sinkhorn_w2(view.components[drawn], real.components[real_drawn])
        return values


class TrueEffect:
    """The change from source samples to the real ones of the target, gene by gene.

    `before` are the scaled source samples; `width` is the range of each gene, in the units of the
    data.
    """

    def __init__(self, before: np.ndarray, real: Real, width: np.ndarray) -> None:
        self.before, self.real, self.width = before, real, width
        self.effect = self._effect(real.view.scaled)

    def _effect(self, after: np.ndarray) -> Effect:
        drawn = (x[self.real.draw(len(x), MAX_RANKED)] for x in (self.before, after))
        means = (x.mean(axis=0, dtype=float) for x in (after, self.before))
        return effect(*drawn)._replace(change=difference(*means) * self.width)

    def measure(self, after: np.ndarray, counts: np.ndarray) -> dict[str, Any]:
        """Agreement of a method's effect with the true one."""
        predicted = self._effect(after)
        return {
            "pearson_delta": self._pearson_delta(after, counts),
            "pearson_delta_top50": pearson_delta(predicted, self.effect, n_top=N_TOP),
            "direction": direction(predicted, self.effect),
            "overlap": overlap(predicted, self.effect),
            "log_fold_change_error": log_fold_change_error(predicted, self.effect),
        }

    def _pearson_delta(self, after: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Correlation of the changes over all genes: the value, then one per resampling."""
        before = self.before.mean(axis=0, dtype=float)
        real = difference(self.real.distances.moments.mean, before)
        predicted = difference(shares(counts) @ after.astype(float), before)
        return pearson(predicted * self.width, real * self.width)
