"""How sure a classifier is, beside how often it is right."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

N_BINS = 15  # of confidence (Guo et al. 2017)
LARGEST_TEMPERATURE = 20.0
# Spread of the prior of the temperature's logarithm: a few samples that are all right would ask for
# a temperature of 0.
PRIOR_SPREAD = 0.5


def find_temperature(logits: torch.Tensor, labels: torch.Tensor) -> tuple[float, float]:
    """The temperature that makes probabilities of samples right, and the cross-entropy with it.

    Logits divided by the temperature have the lowest cross-entropy (Guo et al. 2017).

    Parameters
    ----------
    logits
        Samples × classes, of samples that did not train.
    labels
        Positions of their classes.
    """
    values, own = logits.double().cpu().numpy(), labels.cpu().numpy()[:, None]

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(values / math.exp(log_temperature), axis=1)
        return -float(np.take_along_axis(scaled, own, axis=1).mean())

    def penalised(log_temperature: float) -> float:
        return loss(log_temperature) + (log_temperature / PRIOR_SPREAD) ** 2 / 2 / len(own)

    end = math.log(LARGEST_TEMPERATURE)
    best = float(minimize_scalar(penalised, bounds=(-end, end), method="bounded").x)
    return math.exp(best), loss(best)


def confidence_sums(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Numbers of samples, hits and sums of confidences in bins of confidence, 3 × bins.

    They can be added up over batches and processes.
    """
    confidence, predicted = logits.softmax(dim=1).max(dim=1)
    bins = (confidence.nan_to_num() * N_BINS).long().clamp_max(N_BINS - 1)
    values = torch.stack([torch.ones_like(confidence), (predicted == labels).to(confidence)])
    values = torch.cat([values, confidence[None]])
    return values.new_zeros(3, N_BINS).index_add_(1, bins, values)


def accuracy_and_error(sums: torch.Tensor) -> tuple[float, float]:
    """Accuracy and expected calibration error of these sums; NaN without samples.

    The error is the difference between confidence and accuracy within bins, on average over
    samples: 0 if of the samples that are given a probability of 0.8, 80 % are right.
    """
    counts, hits, confidences = sums
    n = counts.sum()
    return (hits.sum() / n).item(), ((hits - confidences).abs().sum() / n).item()
