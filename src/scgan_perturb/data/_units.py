"""Units of expression: warnings of values that are not logarithms, or not those of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from .._messages import warn
from ._blocks import dense
from ._counts import MOST, are_counts, share_of_counts

if TYPE_CHECKING:
    from ._blocks import Matrix
    from ._scaling import GeneScaler

LARGEST_LOGARITHM = 50  # log2(TPM + 1) is below 20, logged intensities of proteins are below 40
MOSTLY_WHOLE = 0.75  # of the values above 1; of log2(counts + 1) of cells it is a fourth
ENOUGH = 100  # values above 1, to tell by
# How much more than the expected share of values may lie beyond the range, and how much at most.
# Chosen on RNAseqDB, pbmc68k and two other sets of cells with 4 to 2,900 training samples: of 920
# draws of held-out samples one exceeds it (4 training samples); of the same values multiplied by
# 1.44, as of another logarithm, 97 % do.
BEYOND, MOST_BEYOND = 0.11, 0.6
MARGIN = 0.01  # of a gene's range: values that clipping hardly changes are not counted
FEW = 50  # training samples, where their number is not known


def warn_of_raw_values(sample: Matrix, scaler: GeneScaler) -> None:
    """Warn that training values are not logarithms, if they look so; counts are logged by the fit.

    Parameters
    ----------
    sample
        Some samples.
    scaler
        Range of each gene.
    """
    if scaler.is_count or scaler.minimum.min() < 0:
        return
    values = np.asarray(sample.data if sparse.issparse(sample) else sample)
    large = values[values > 1]
    whole = float((large == np.rint(large)).mean()) if large.size >= ENOUGH else 0.0
    if whole >= MOSTLY_WHOLE:
        warn(
            f"{_percent(min(whole, 0.99))} of the values above 1 are whole numbers, not all: "
            "they look like corrected or estimated counts, and are read as they are, without a "
            "logarithm. Round them to fit counts, adata.X = np.rint(adata.X), or normalise them: "
            "sc.pp.normalize_total(adata); sc.pp.log1p(adata)."
        )
    elif scaler.maximum.max() > LARGEST_LOGARITHM:
        warn(
            f"The largest value is {scaler.maximum.max():,.0f}: the values look like TPM, FPKM or "
            "estimated counts without a logarithm, and are read as they are. Take the logarithm, "
            "sc.pp.log1p(adata), or round estimated counts to fit counts, "
            "adata.X = np.rint(adata.X)."
        )


def warn_of_other_units(
    sample: Matrix, scaler: GeneScaler, n_train: int, *, of_logged_counts: bool = False
) -> None:
    """Warn that samples are not in the units of a model, if they look so.

    Parameters
    ----------
    sample
        Some samples.
    scaler
        Range of each gene over the training samples of the model.
    n_train
        Number of training samples; 0 if it is not known.
    of_logged_counts
        Whether the model was fitted on logged counts.
    """
    is_count = are_counts(sample)
    if is_count and not scaler.is_count:
        warn(
            "The expression values are whole numbers, like raw counts, and the model was fitted on "
            "other values. Normalise first, e.g. sc.pp.normalize_total(adata); sc.pp.log1p(adata)."
        )
        return
    if scaler.is_count and not is_count:
        warn(
            "The model was fitted on counts, and the expression values are not whole numbers. "
            "Name the layer that holds counts, e.g. layer='counts'."
        )
        return
    found = []
    share, expected = share_beyond(sample, scaler, n_train or FEW)
    if share > min(BEYOND + expected, MOST_BEYOND):
        found.append(
            f"{_percent(share)} of the expression values lie beyond the range of the training "
            f"samples, and are clipped to it; {_percent(expected)} are expected in the same units. "
            "If the units differ from those of the fit (base of the logarithm, TPM, z-scores), "
            "convert the values or name the layer that holds them, layer='...'. If they do not, "
            "these samples are unlike the training samples, and so less reliable."
        )
    if of_logged_counts and share_of_counts(sample) < MOST:
        found.append(
            "The model was fitted on logged counts, and the expression values are none: they may be "
            "corrected, denoised or scaled, or be logarithms to another base. What is perturbed is "
            "the counts behind values, so the result is not to be relied on. Normalise counts as for "
            "the fit, e.g. sc.pp.normalize_total(adata); sc.pp.log1p(adata)."
        )
    if found:
        warn(" ".join(found))


def share_beyond(sample: Matrix, scaler: GeneScaler, n_train: int) -> tuple[float, float]:
    """Share of values beyond the training range, and the share expected of like samples.

    Zeros within the range do not count, because they are zero in most units. Of n training values
    and a new one, the new one is the smallest or largest with probability 2 / (n + 1). A gene that is
    present in a share p of the samples has n p values.
    """
    x = dense(scaler.normalise(sample))[:, scaler.varying]
    low, high = scaler.minimum[scaler.varying], scaler.maximum[scaler.varying]
    margin = MARGIN * (high - low)
    is_beyond = (x < low - margin) | (x > high + margin)
    present = (x != 0).mean(axis=0)
    likely = np.minimum(2 / (n_train * present + 1), 1)
    n_values = ((x != 0) | is_beyond).sum()
    share = float(is_beyond.sum() / max(n_values, 1))
    return share, float((present * likely).sum() / max(present.sum(), 1e-9))


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
