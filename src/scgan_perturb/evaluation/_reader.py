"""From matrices and labels to the samples that are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .._keys import ALL
from .._messages import examples, warn
from ..data._blocks import LARGEST, is_finite
from ..metrics import mean_context_shift
from ._samples import Samples, Space

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..data._reader import Reader

# Training samples of a class that baselines and independent classifiers learn from, at most; of a
# class in one of many contexts, at least.
MAX_TRAINING, MIN_TRAINING = 500, 100
# A range beyond either end of the training range: what no real sample is stays visible, one outlying
# gene does not outweigh all others.
LOWEST, HIGHEST = -1.0, 2.0


@dataclass(frozen=True)
class Question:
    """The samples to compare, and their perturbed expression.

    Parameters
    ----------
    reader
        Expression and labels of all samples, and the genes to compare.
    target
        The label that samples are perturbed towards.
    is_source, is_train, is_test
        Whether a sample could be perturbed, trained, was held out.
    perturbed
        Returns the perturbed samples at some rows, in the same units and genes.
    minimum, maximum
        Range of each gene over the training samples; None to compute it.
    contexts, donors
        Context and donor of each sample; None without.
    """

    reader: Reader
    target: str
    is_source: np.ndarray
    is_train: np.ndarray
    is_test: np.ndarray
    perturbed: Callable[[np.ndarray], np.ndarray]
    minimum: np.ndarray | None = None
    maximum: np.ndarray | None = None
    contexts: np.ndarray | None = None
    donors: np.ndarray | None = None

    @property
    def names(self) -> np.ndarray:
        """Names of the samples."""
        return self.reader.sample_names

    @property
    def labels(self) -> np.ndarray:
        """Label of each sample, as text."""
        return self.reader.label_names

    @property
    def is_target(self) -> np.ndarray:
        """Which samples are of the target."""
        return self.labels == self.target

    def draw(self, chosen: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
        """Positions of at most so many of the chosen samples, drawn at random.

        Samples are sorted by name first, so that the result does not depend on the order of rows.
        """
        order = np.argsort(self.names, kind="stable")
        rows = order[chosen[order]]
        return rows if len(rows) <= most else rows[np.sort(rng.choice(len(rows), most, False))]


@dataclass(frozen=True)
class Drawn:
    """The samples of a question, scaled.

    Parameters
    ----------
    contexts
        What is compared, by context; `"all"` is the only one where there are none.
    space
        The units of the data.
    train, train_labels
        Training samples of all classes, and their labels.
    is_compared
        Which of the genes vary, so that they are compared.
    """

    contexts: dict[str, Samples]
    space: Space
    train: np.ndarray
    train_labels: np.ndarray
    is_compared: np.ndarray


def read_samples(question: Question, *, max_samples: int, seed: int) -> Drawn:
    """Draw, read and scale what is compared.

    Raises
    ------
    ValueError
        If too few samples were held out or trained, or a perturbed sample is not finite.
    """
    rng = np.random.default_rng(seed)
    is_target, is_source = question.is_target, question.is_source
    sources = question.draw(question.is_test & is_source & ~is_target, max_samples, rng)
    real = question.draw(question.is_test & is_target, max_samples, rng)
    _check_enough(question, question.labels[sources], real)
    train = _draw_training(question, rng)
    _check_trained(is_target[train], (is_source & ~is_target)[train])
    itself = real[is_source[real]]
    original, perturbed = "The original expression", "The perturbed layer"
    raw = [_read(question, original, question.reader.read, rows) for rows in (train, sources, real)]
    raw += [_read(question, perturbed, question.perturbed, rows) for rows in (sources, itself)]
    low, width, compared = _ranges(question, raw)
    scaled = [_scaled(block[:, compared], low, width) for block in raw]
    rows = {"train": train, "sources": sources, "real": real, "itself": itself}
    takes_part = (is_source | is_target)[train]
    return Drawn(
        _by_context(question, rows, takes_part, scaled),
        Space.of(scaled[0][takes_part], low, width),
        scaled[0],
        question.labels[train],
        compared,
    )


def _draw_training(question: Question, rng: np.random.Generator) -> np.ndarray:
    """Training samples of each class (in each context)."""
    strata, most = question.labels, MAX_TRAINING
    if question.contexts is not None:
        strata = np.char.add(np.char.add(strata.astype(str), "\0"), question.contexts.astype(str))
        most = max(MAX_TRAINING // len(np.unique(question.contexts)), MIN_TRAINING)
    parts = [
        question.draw(question.is_train & (strata == stratum), most, rng)
        for stratum in np.unique(strata[question.is_train])
    ]
    return np.concatenate(parts) if parts else np.empty(0, dtype=int)


def _ranges(question: Question, raw: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Minimum and range of the genes that vary, and which genes these are."""
    if question.minimum is not None and question.maximum is not None:
        low, high = question.minimum, question.maximum
        varies = high > low
    else:
        low, high = raw[0].min(axis=0), raw[0].max(axis=0)
        # A gene that is constant in training is compared where somebody makes it vary.
        widest = [end([block for block in raw if len(block)]) for end in (_least, _most)]
        low, high = (np.where(high > low, *ends) for ends in zip((low, high), widest, strict=True))
        varies = high > low
    return low[varies], (high - low)[varies], varies


def _least(blocks: list[np.ndarray]) -> np.ndarray:
    return np.min([block.min(axis=0) for block in blocks], axis=0)


def _most(blocks: list[np.ndarray]) -> np.ndarray:
    return np.max([block.max(axis=0) for block in blocks], axis=0)


def _scaled(values: np.ndarray, low: np.ndarray, width: np.ndarray) -> np.ndarray:
    return np.clip((values - low) / width, LOWEST, HIGHEST).astype(np.float32)


def _read(
    question: Question, what: str, read: Callable[[np.ndarray], np.ndarray], rows: np.ndarray
) -> np.ndarray:
    """Samples × genes; ValueError if a value is not finite."""
    values = read(rows)
    if is_finite(values):
        return values
    bad = ~(np.abs(values) <= LARGEST)
    samples, genes = question.names[rows][bad.any(axis=1)], question.reader.genes[bad.any(axis=0)]
    if len(genes) < values.shape[1]:
        remedy = (
            "If only some genes are to be compared, mark them in a column of adata.var and name it in "
            "mask_var=."
        )
    else:
        remedy = (
            "If a fit was interrupted, call sp.tl.perturb(adata) to resume it. If a method left some "
            "classes out, name those that it perturbs in source=."
        )
    msg = (
        f"{what} holds NaN or infinite values in {len(samples):,} of the {len(rows):,} samples "
        f"compared ({examples(samples)}) and {len(genes):,} of {values.shape[1]:,} genes "
        f"({examples(genes)}). {remedy}"
    )
    raise ValueError(msg)


def _by_context(
    question: Question,
    rows: dict[str, np.ndarray],
    takes_part: np.ndarray,
    scaled: list[np.ndarray],
) -> dict[str, Samples]:
    """The samples of each context."""
    everyone, x, real, perturbed, itself = scaled
    train = rows["train"][takes_part]
    if question.contexts is None:
        of = {name: np.full(len(r), ALL, dtype=object) for name, r in rows.items()}
    else:
        of = {name: question.contexts[r] for name, r in rows.items()}
    names = [name for name in np.unique(of["sources"]) if _is_enough(question, name, of)]
    if skipped := sorted(set(of["sources"]) - set(names)):
        warn(
            f"Fewer than 2 samples of the sources or of {question.target!r} (4 where none trained) "
            f"were held out in {examples(skipped)}: these contexts are left out of the evaluation."
        )
    if not names:
        msg = (
            f"No context has 2 held-out samples of the sources and of {question.target!r} each. Hold out "
            "more, e.g. held_out=0.5, or name a column with larger groups in by=."
        )
        raise ValueError(msg)
    is_target = question.is_target[train]
    shift = _context_shift(everyone[takes_part], is_target, of["train"][takes_part])
    contexts = {}
    for name in names:
        here = {part: of[part] == name for part in of}
        learns = _learns(is_target, here["train"][takes_part])
        contexts[str(name)] = Samples(
            target=question.target,
            train=everyone[takes_part][learns],
            train_labels=question.labels[train][learns],
            x=x[here["sources"]],
            labels=question.labels[rows["sources"]][here["sources"]],
            perturbed=perturbed[here["sources"]],
            real=real[here["real"]],
            real_perturbed=itself[here["itself"]],
            context_shift=None if question.contexts is None else shift,
            is_unseen=_is_unseen(question, name),
            **_donors(question, rows, here, train[learns]),
        )
    return contexts


def _is_enough(question: Question, name: object, of: dict[str, np.ndarray]) -> bool:
    """Whether a context has two samples of each side, and real ones to compare these with."""
    n_real = (of["real"] == name).sum()
    return min((of["sources"] == name).sum(), n_real // (1 + _is_unseen(question, name))) >= 2


def _is_unseen(question: Question, name: object) -> bool:
    """Whether no sample of the target trains in a context."""
    if question.contexts is None:
        return False
    return not (question.is_train & question.is_target & (question.contexts == name)).any()


def _learns(is_target: np.ndarray, here: np.ndarray) -> np.ndarray:
    """Training samples that baselines learn from: the context's, or all where these are too few."""
    enough = min((is_target & here).sum(), (~is_target & here).sum()) >= 2
    return here if enough else np.ones(len(here), dtype=bool)


def _context_shift(
    train: np.ndarray, is_target: np.ndarray, contexts: np.ndarray
) -> np.ndarray | None:
    both = np.intersect1d(contexts[is_target], contexts[~is_target])
    return mean_context_shift(train, is_target, contexts) if len(both) else None


def _donors(
    question: Question, rows: dict[str, np.ndarray], here: dict[str, np.ndarray], train: np.ndarray
) -> dict[str, np.ndarray]:
    if question.donors is None:
        return {}
    codes = np.unique(question.donors, return_inverse=True)[1]
    return {
        "x_donors": codes[rows["sources"]][here["sources"]],
        "real_donors": codes[rows["real"]][here["real"]],
        "train_donors": codes[train],
    }


def _check_enough(question: Question, labels: np.ndarray, real: np.ndarray) -> None:
    """Raise ValueError where too little was held out."""
    for what, n_samples in (
        (f"the target {question.target!r}", len(real)),
        ("the source classes", len(labels)),
    ):
        if n_samples < 2:
            msg = (
                f"{n_samples} samples of {what} were held out; at least 2 are needed to judge. "
                "Hold out more, e.g. sp.tl.fit_tspg(..., held_out=0.5)."
            )
            raise ValueError(msg)


def _check_trained(is_target: np.ndarray, is_source: np.ndarray) -> None:
    """Raise ValueError where the training samples are not there for the baselines to learn from."""
    for what, n_samples in (("the target", is_target.sum()), ("the sources", is_source.sum())):
        if n_samples < 2:
            msg = (
                f"{n_samples} training samples of {what} are there; baselines need at least 2 to "
                "learn from. Evaluate the AnnData with all samples of the fit."
            )
            raise ValueError(msg)
