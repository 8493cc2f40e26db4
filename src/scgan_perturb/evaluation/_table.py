"""The table of an evaluation: one row per context, source and method."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from .._keys import ALL, CONTEXT_SHIFT, FLOOR, GLOBAL_SHIFT
from ..metrics import individuality
from ..metrics._bootstrap import resample, resample_groups
from ..metrics._intervals import centred_interval
from ._comparison import MethodComparison, Real, TrueEffect
from ._methods import TOLD, baselines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from ._samples import Samples, Space

    # Scaled samples to, for each classifier, whether it predicts the target.
    Classify = Callable[[np.ndarray], dict[str, np.ndarray]]

SUCCESS = ("success", "success_logistic_regression", "success_random_forest")
WITH_INTERVAL = (
    *("auc_random_forest", "auc_logistic_regression"),
    *("zeros", "detected_genes", "distinct_values"),
    *("e_distance", "e_distance_pca", "mmd", "mean_r2", "variance_r2", "pearson_delta"),
)
# Effects, which are also scaled: 0 is the mean response, 1 a replicate.
EFFECTS = (
    *("pearson_delta", "pearson_delta_top50", "direction", "overlap", "log_fold_change_error"),
)
COLUMNS = (
    *("target", "context", "is_unseen", "source", "method", "is_told_label", "n_samples"),
    *SUCCESS,
    *(f"{name}{end}" for name in WITH_INTERVAL for end in ("", "_low", "_high")),
    *("n_detected_genes", "distinct_share", "marginals", "correlations", "sinkhorn_w2"),
    *EFFECTS[1:],
    *(f"{name}_scaled" for name in EFFECTS),
    *("individuality", "perturbation"),
)
RANGES = {
    **dict.fromkeys(("_r2", "auc", "detected_genes", "distinct_values"), (0, 1)),
    "pearson": (-1, 1),
}
MIN_RESAMPLED = 5  # samples; fewer have no meaningful interval


class Row(NamedTuple):
    """The metrics of one method in one context."""

    context: str
    source: str
    method: str
    n_samples: int
    measured: dict[str, np.ndarray]  # the value, then one per resampling if there are any
    has_interval: bool


def evaluation_table(
    contexts: Mapping[str, Samples],
    space: Space,
    classify: Classify,
    *,
    judged: str,
    n_bootstrap: int,
    seed: int,
) -> tuple[pd.DataFrame, float]:
    """Measure all methods; returns the table and the width of the kernel of the MMD.

    `contexts` has the samples of each context, or of `"all"` alone. `judged` names the method whose
    samples are evaluated.
    """
    rows: list[Row] = []
    width = np.nan
    for name, samples in contexts.items():
        context = _Context(name, samples, space, classify, n_bootstrap=n_bootstrap, seed=seed)
        rows += context.rows(judged)
        width = context.real.distances.width
    if list(contexts) != [ALL]:
        rows = [*_averages(rows), *rows]
    target = {"target": next(iter(contexts.values())).target}
    unseen = {name for name, samples in contexts.items() if samples.is_unseen}
    table = pd.DataFrame(
        [target | {"is_unseen": row.context in unseen} | _flat(row) for row in rows],
        columns=COLUMNS,
    )
    mean_response = CONTEXT_SHIFT if CONTEXT_SHIFT in set(table["method"]) else GLOBAL_SHIFT
    return _scaled_effects(_in_order(table), mean_response), width


class _Context:
    """Measures the methods in one context, all sources together and one by one."""

    def __init__(
        self,
        name: str,
        samples: Samples,
        space: Space,
        classify: Classify,
        *,
        n_bootstrap: int,
        seed: int,
    ) -> None:
        self.name, self.samples, self.space, self.classify = name, samples, space, classify
        self.n_bootstrap, self.seed = n_bootstrap, seed
        self.groups = {ALL: np.arange(len(samples.x)), **samples.groups}
        self._donors = self._draw_donors()
        counts = self._counts(len(samples.real), samples.real_donors, stream=0)
        self.real = Real(space.view(samples.real), counts, seed)
        self.effects = {
            source: TrueEffect(samples.x[rows], self.real, space.width)
            for source, rows in self.groups.items()
        }

    def rows(self, judged: str) -> Iterator[Row]:
        """All rows of this context."""
        samples = self.samples
        for method, moved in baselines(samples, self.space.zero, self.seed):
            yield from self._method(method, moved)
        yield from self._method(judged, samples.perturbed)
        yield from self._floor()
        yield from self._target_itself(judged)

    def _method(self, method: str, moved: np.ndarray) -> Iterator[Row]:
        """One row per source for the held-out samples after a method."""
        samples, is_target = self.samples, self.classify(moved)
        comparison = MethodComparison(self.space.view(moved), self.real)
        change = np.abs(moved - samples.x).mean(axis=1, dtype=float)
        for stream, (source, rows) in enumerate(self.groups.items(), start=1):
            donors = None if samples.x_donors is None else samples.x_donors[rows]
            counts = self._counts(len(rows), donors, stream)  # the same for every method
            values = {
                **{name: hits[rows].mean() for name, hits in is_target.items()},
                **comparison.measure(rows, counts),
                **self.effects[source].measure(moved[rows], counts),
                "perturbation": change[rows].mean(),
                "individuality": individuality(samples.x[rows], moved[rows], samples.labels[rows]),
            }
            yield self._row(source, method, len(rows), values)

    def _floor(self) -> Iterator[Row]:
        """Real training samples of the target against held-out ones.

        Where no sample of the target trains in this context: one half of the held-out ones against
        the other.
        """
        samples = self.samples
        if samples.is_unseen:
            train, donors = samples.real[::2], samples.real_donors
            donors = None if donors is None else donors[::2]
            real, effects = self._halved()
        else:
            train, donors = samples.training(of_target=True), samples.train_donors
            if donors is not None:
                donors = donors[samples.train_labels == samples.target]
            real, effects = self.real, self.effects
        comparison = MethodComparison(self.space.view(train), real)
        counts = self._counts(len(train), donors, stream=len(self.groups) + 1)
        shared = {
            **comparison.measure(np.arange(len(train)), counts),
            **self._success(self.real.view.scaled),
        }
        for source, effect in effects.items():
            yield self._row(source, FLOOR, len(train), shared | effect.measure(train, counts))

    def _halved(self) -> tuple[Real, dict[str, TrueEffect]]:
        """The other half of the held-out samples, and the effects that these show."""
        samples = self.samples
        half, donors = samples.real[1::2], samples.real_donors
        counts = self._counts(len(half), None if donors is None else donors[1::2], stream=0)
        real = Real(self.space.view(half), counts, self.seed)
        return real, {
            source: TrueEffect(samples.x[rows], real, self.space.width)
            for source, rows in self.groups.items()
        }

    def _success(self, x: np.ndarray) -> dict[str, float]:
        return {name: float(hits.mean()) for name, hits in self.classify(x).items()}

    def _target_itself(self, judged: str) -> Iterator[Row]:
        """How much samples that are already of the target change."""
        x, perturbed = self.samples.real, self.samples.real_perturbed
        if len(perturbed):
            change = np.abs(perturbed - x).mean(dtype=float)
            values = {**self._success(perturbed), "perturbation": change}
            yield self._row(self.samples.target, judged, len(x), values)

    def _row(self, source: str, method: str, n_samples: int, values: dict[str, Any]) -> Row:
        arrays = {name: np.atleast_1d(value) for name, value in values.items()}
        enough = min(n_samples, len(self.samples.real)) >= MIN_RESAMPLED
        return Row(self.name, source, method, n_samples, arrays, enough)

    def _draw_donors(self) -> np.ndarray | None:
        """How often each donor is drawn: resamplings × donors."""
        samples = self.samples
        if samples.x_donors is None or samples.real_donors is None:
            return None
        held_out = np.unique(np.concatenate([samples.x_donors, samples.real_donors]))
        train = samples.train_donors if samples.train_donors is not None else held_out
        n_donors = max(held_out.max(), train.max()) + 1
        chances = np.bincount(held_out, minlength=n_donors) / len(held_out)
        rng = np.random.default_rng(self.seed)
        return rng.multinomial(len(held_out), chances, size=self.n_bootstrap)

    def _counts(self, n_samples: int, donors: np.ndarray | None, stream: int) -> np.ndarray:
        """How often each sample counts in each resampling."""
        if self._donors is not None and donors is not None:
            return resample_groups(donors, self._donors)
        return resample(n_samples, self.n_bootstrap, np.random.default_rng((self.seed, stream)))


def _averages(rows: list[Row]) -> Iterator[Row]:
    """Each method's row averaged over the contexts that have it."""
    names = dict.fromkeys((row.source, row.method) for row in rows)
    for source, method in names:
        alike = [row for row in rows if (row.source, row.method) == (source, method)]
        metrics = dict.fromkeys(name for row in alike for name in row.measured)
        values = {
            name: _mean([row.measured[name] for row in alike if name in row.measured])
            for name in metrics
        }
        n_samples = sum(row.n_samples for row in alike)
        yield Row(ALL, source, method, n_samples, values, all(row.has_interval for row in alike))


def _mean(arrays: list[np.ndarray]) -> np.ndarray:
    """The mean over contexts, without NaN."""
    stacked = np.stack(arrays)
    measured = np.isfinite(stacked)
    total = np.where(measured, stacked, 0).sum(axis=0)
    count = measured.sum(axis=0)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _flat(row: Row) -> dict[str, Any]:
    """A row of the table: values with the ends of their intervals."""
    flat: dict[str, Any] = {
        "context": row.context,
        "source": row.source,
        "method": row.method,
        "is_told_label": row.method in TOLD,
        "n_samples": row.n_samples,
    }
    for name, replicates in row.measured.items():
        flat[name] = float(replicates[0])
        if name in WITH_INTERVAL:
            enough = row.has_interval and len(replicates) > 1
            ends = centred_interval(replicates) if enough else (np.nan, np.nan)
            low, high = np.clip(ends, *_range(name))
            flat |= {f"{name}_low": low, f"{name}_high": high}
    return flat


def _range(metric: str) -> tuple[float, float]:
    return next((ends for part, ends in RANGES.items() if part in metric), (-np.inf, np.inf))


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Sort rows: all sources together, each source, the target itself; contexts in their order."""
    contexts = {name: i for i, name in enumerate(dict.fromkeys(table["context"]))}
    sources = sorted(set(table["source"]) - {ALL, *table["target"]})
    order = {ALL: -1, **{name: i for i, name in enumerate(sources)}}
    keys = table["source"].map(order).fillna(len(sources)), table["context"].map(contexts)
    return table.iloc[np.lexsort(keys)].reset_index(drop=True)


def _scaled_effects(table: pd.DataFrame, mean_response: str) -> pd.DataFrame:
    """Add (u - b) / (r - b): 0 at the mean response b, 1 at a replicate r, the floor.

    NaN if the replicate is no better than the mean response.
    """
    for _, rows in table.groupby(["context", "source"], sort=False):
        methods = rows.set_index("method")
        if not {mean_response, FLOOR} <= set(methods.index):
            continue
        for name in EFFECTS:
            base, best = methods.loc[mean_response, name], methods.loc[FLOOR, name]
            sign = -1 if name == "log_fold_change_error" else 1
            if sign * (best - base) > 0:
                table.loc[rows.index, f"{name}_scaled"] = (rows[name] - base) / (best - base)
    return table
