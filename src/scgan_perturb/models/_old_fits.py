"""Fits of earlier versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._recipes import PAPER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._fitted_classifier import Weights

OLD_WEIGHTS = {"mean", "spread", "axes", "maps"}  # of recipe "transport" in version 0.1.0


class OldFitError(ValueError):
    """A fit that an earlier version made and this one cannot apply."""


def check_version(params: Mapping[str, Any], weights: Weights) -> None:
    """Raise OldFitError if version 0.1.0 fitted the generator by recipe "transport"."""
    if params.get("recipe") != PAPER and weights.keys() >= OLD_WEIGHTS:
        msg = (
            "The fit is of recipe 'transport' of version 0.1.0, which this version cannot apply: "
            "call sp.tl.fit_tspg again."
        )
        raise OldFitError(msg)
