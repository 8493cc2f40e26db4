"""All results of a fit in one HTML file, for readers without Python."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from .._checks import check_count
from .._keys import EVALUATION_PARAMS, METHODS, TSPG, tspg_keys
from ..data._labels import several
from ..evaluation._verdict import findings, judged_method, short_verdict
from ..get import embedding, enrichment_df, evaluation_df, rank_genes_df, transition_genes
from ..get import model as get_model
from ..get._perturbation import find_rows
from ._embedding import TITLES, class_looks
from ._evaluation import evaluation
from ._evaluation_metrics import LABELS
from ._heatmap import perturbation_heatmap
from ._html import definitions, escape, image, number, page, points, table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anndata import AnnData

MOST_SAMPLES = 6  # with a heatmap, if the user names none
FIGURE_INCHES = 4.8  # width of the evaluation's figure: a phone shows it too
METRICS = {
    "auc_random_forest": "forest",
    "e_distance": "E-distance",
    "zeros": "zeros",
    "detected_genes": "detected genes",
    "distinct_values": "distinct values",
    "individuality": "individuality",
    "success": "success",
}
NO_VERDICT = "Too few held-out samples: no test was made."
NO_FINDING = "No test tells the perturbed samples from real ones."
HEATMAP_TEXT = (
    "The columns are the sample, what is added, the result, and the mean of real samples of the "
    "target. The rows are genes, from the most increased to the most decreased."
)
GENES_TEXT = (
    "The mean change over the samples of a group, as a share of the gene's range over the training "
    "samples; its standard deviation; the share of samples in which the gene moves this way; and "
    "the mean change in the units of the data. These genes differ between states that were "
    "observed. They need not cause the difference."
)


def report(
    adata: AnnData,
    path: str | Path,
    *,
    obs_names: str | Sequence[str] | None = None,
    n_genes: int = 25,
    key: str = TSPG,
) -> None:
    """Write all results of a fit to one HTML file, for colleagues without Python.

    The file opens in any browser, without a network. It holds the verdict, figure and table of the
    evaluation, heatmaps of single samples, embeddings that name the samples, ranked genes and gene
    sets as tables that can be sorted, and what the functions were called with. Where a result has
    not been computed, the page names the call that computes it.

    Parameters
    ----------
    adata
        AnnData with a fit.
    path
        File to write. An existing file is replaced.
    obs_names
        Sample or samples to draw a heatmap of; None for one held-out sample of each source class,
        at most six.
    n_genes
        Number of ranked genes of each group to list in each direction.
    key
        Name of the fit.

    Returns
    -------
    None.

    Raises
    ------
    KeyError
        If there is no such fit or sample.
    ValueError
        If the stored object is not a fit or is damaged, or `n_genes` is not a whole number of at
        least 1.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B")
    >>> sp.tl.rank_genes(adata)
    >>> sp.pl.report(adata, "report.html")
    """
    check_count("n_genes", n_genes)
    model = get_model(adata, key=key)
    find_rows(adata, obs_names)
    name = "" if key == TSPG else f", key={key!r}"
    parts: dict[str, tuple[str, Callable[[], str]]] = {
        "Is it real?": (f"sp.tl.evaluate(adata{name})", partial(_evaluation, adata, key)),
        "Single samples": (
            f"sp.tl.perturb(adata{name})",
            partial(_heatmaps, adata, key, obs_names),
        ),
        "All samples": (f"sp.tl.embed(adata{name})", partial(_embeddings, adata, key)),
        "Genes": (f"sp.tl.rank_genes(adata{name})", partial(_genes, adata, key, n_genes)),
        "Gene sets": (f"sp.tl.enrich(adata, gene_sets{name})", partial(_gene_sets, adata, key)),
        "How it was computed": ("", partial(_calls, adata, key, model.params)),
    }
    ids = {title: f"part{i}" for i, title in enumerate(parts)}
    links = "".join(f'<a href="#{ids[title]}">{title}</a>' for title in parts)
    sections = [
        f'<section id="{ids[title]}"><h2>{title}</h2>\n{_made(make, call)}\n</section>'
        for title, (call, make) in parts.items()
    ]
    heading = f"Samples perturbed towards {model.target}"
    summary = (
        f"{adata.n_obs:,} samples with labels in {model.params['groupby']!r}, "
        f"{len(model.genes):,} genes. For each sample and each gene the model says what would have "
        f"to change for the sample to be {model.target}."
    )
    head = f"<h1>{escape(heading)}</h1>\n<p>{escape(summary)}</p>\n<nav>{links}</nav>"
    Path(path).write_text(page(heading, "\n".join([head, *sections])), encoding="utf-8")


def _made(make: Callable[[], str], call: str) -> str:
    """A part of the page; where it cannot be made, why, and the call that helps."""
    try:
        with plt.style.context("default"):  # the page is white whatever the reader's style is
            return make()
    except (KeyError, ValueError) as error:
        why = error.args[0] if isinstance(error, KeyError) else error
        return (
            f'<p class="missing">Not in this report. {escape(why)}<br>In Python: '
            f"<code>{escape(call)}</code></p>"
        )


def _evaluation(adata: AnnData, key: str) -> str:
    rows = evaluation_df(adata, source=None, context=None, key=key)
    figure = image(  # first: it raises an error for an evaluation of another version
        evaluation(adata, key=key, figsize=(FIGURE_INCHES, None), return_fig=True),
        "The model beside plain baselines and real samples; the table below has the numbers.",
    )
    found = findings(rows)
    verdict = found or [NO_FINDING if short_verdict(rows) else NO_VERDICT]
    method = judged_method(rows)
    pooled = evaluation_df(adata, key=key).sort_values("e_distance", kind="stable")
    meaning = {
        head: LABELS[name][0].replace("\n", " ") for name, head in METRICS.items() if name in rows
    }
    by_source = _evaluation_table(rows, ["method", "source", "context"])
    return (
        f'<div class="verdict{" bad" if found else ""}">'
        + "".join(f"<p>{escape(sentence)}</p>" for sentence in verdict)
        + f"</div>\n<p>Held-out samples only. {escape(method.capitalize())} is compared with plain "
        "methods, and with real samples of the target among each other (<i>real target</i>), which "
        f"is the best that can be reached.</p>\n{figure}\n"
        f"{table(_evaluation_table(pooled, ['method']), chosen=method)}\n"
        f"<details><summary>What the columns mean</summary>{definitions(meaning)}</details>\n"
        f"<details><summary>Every source and context</summary>{table(by_source, chosen=method)}"
        "</details>"
    )


def _evaluation_table(rows: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """The columns that a reader needs first, values with their intervals."""
    shown = rows[[name for name in names if name in rows]].copy()
    shown["told the label"], shown["samples"] = rows["is_told_label"], rows["n_samples"]
    for metric, head in METRICS.items():
        if metric in rows:
            shown[head] = [_with_interval(row, metric) for _, row in rows.iterrows()]
    shown.attrs["numbers"] = list(METRICS.values())
    return shown


def _with_interval(row: pd.Series, metric: str) -> str:
    low, high = (row.get(f"{metric}_{end}", np.nan) for end in ("low", "high"))
    interval = f" ({number(low, 2)} to {number(high, 2)})" if np.isfinite(low + high) else ""
    return number(row[metric]) + interval


def _heatmaps(adata: AnnData, key: str, obs_names: str | Sequence[str] | None) -> str:
    names = several(obs_names) if obs_names is not None else _one_of_each_class(adata, key)
    images = [
        image(
            perturbation_heatmap(adata, str(name), key=key, return_fig=True),
            f"Heatmap of sample {name}",
        )
        for name in names
    ]
    return f'<p>{HEATMAP_TEXT}</p>\n<div class="row">{"".join(images)}</div>'


def _one_of_each_class(adata: AnnData, key: str) -> list[str]:
    """Held-out samples of different classes; of samples without labels the first."""
    if get_model(adata, key=key).params["groupby"] not in adata.obs:
        return list(adata.obs_names[:MOST_SAMPLES])
    return list(transition_genes(adata, 1, key=key)["sample"].unique()[:MOST_SAMPLES])


def _embeddings(adata: AnnData, key: str) -> str:
    keys, params = tspg_keys(key), get_model(adata, key=key).params
    made = [method for method in METHODS if keys.embedding(method)[0] in adata.obsm]
    parts = []
    for method in made or METHODS[:1]:  # where there is none, the first is asked for
        drawn = embedding(adata, method, key=key)
        after = f"perturbed to {params['target']}"
        label, perturbed = drawn["label"].astype(str), drawn["state"] == "perturbed"
        kind = label.where(~perturbed, after)
        looks = class_looks(adata, params["groupby"], drawn["label"])
        colors = {name: look["color"] for name, look in looks.items() if (kind == name).any()}
        source = [
            f"{name}, {own}" if is_perturbed else name
            for name, own, is_perturbed in zip(drawn.index, label, perturbed, strict=True)
        ]
        parts.append(
            f"<h3>{TITLES[method].replace('PC', 'Principal components')}</h3>"
            + points(drawn.assign(kind=kind).set_axis(source), colors)
        )
    return "\n".join(parts)


def _genes(adata: AnnData, key: str, n_genes: int) -> str:
    ranked = rank_genes_df(adata, key=key)
    up = ranked[ranked["mean"] > 0].groupby("group", observed=True).head(n_genes)
    down = ranked[ranked["mean"] < 0].groupby("group", observed=True).tail(n_genes)
    shown = pd.concat([up, down]).sort_index()
    return f"<p>{GENES_TEXT}</p>\n{table(shown)}"


def _gene_sets(adata: AnnData, key: str) -> str:
    names = [
        name
        for name, stored in adata.uns.items()
        if isinstance(stored, Mapping) and "table" in stored
        if stored.get("params", {}).get("fit") == key
    ]
    parts = []
    for name in names or [None]:  # where there is none, the default is asked for
        shown = enrichment_df(adata, name, key=key)
        genes = shown["genes"].astype(str).str.replace(";", ", ")
        params = adata.uns[name]["params"]
        words = (params.get(word) for word in ("gene_sets", "group", "direction", "method"))
        title = ", ".join(str(word) for word in words if word is not None)
        parts.append(f"<h3>{escape(title)}</h3>\n{table(shown.assign(genes=genes))}")
    return "\n".join(parts)


def _calls(adata: AnnData, key: str, params: Mapping[str, Any]) -> str:
    """What the fit and its evaluation were called with."""
    calls = {"The fit": params, "The evaluation": adata.uns[key].get(EVALUATION_PARAMS, {})}
    return "\n".join(
        f"<h3>{title}</h3>"
        + definitions(
            {name: ", ".join(map(str, np.atleast_1d(value))) for name, value in sorted(of.items())}
        )
        for title, of in calls.items()
        if of
    )
