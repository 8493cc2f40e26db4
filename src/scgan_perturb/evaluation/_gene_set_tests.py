"""Tests of gene sets through gseapy: genes and sets in, a table out."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COLUMNS = ["term", "overlap", "set_size", "p_value", "q_value"]
GENES = "genes"
STATISTIC = {"ora": "odds_ratio", "prerank": "nes"}


def over_represented(
    genes: Sequence[str], sets: Mapping[str, Sequence[str]], background: Sequence[str]
) -> pd.DataFrame:
    """Sets that share genes with a list, by the hypergeometric test.

    Parameters
    ----------
    genes
        The list, all in the background.
    sets
        Genes of each set, all in the background.
    background
        The genes that could have been in the list, each once.
    """
    import gseapy  # noqa: PLC0415 (slow)
    from scipy.stats import false_discovery_control  # noqa: PLC0415 (slow)

    chosen = set(genes)
    if not any(chosen & set(own) for own in sets.values()):
        return empty_table("ora")
    token = _tokens(background)
    found = gseapy.enrich(
        [token[gene] for gene in genes],
        {term: [token[gene] for gene in own] for term, own in sets.items()},
        background=list(token.values()),
        outdir=None,
        no_plot=True,
    ).results.set_index("Term")
    # gseapy leaves out sets that share no gene and corrects over the others: q would be too
    # small. Their p-value is 1 by the same test.
    p = pd.Series(1.0, index=list(sets)).where(~pd.Index(sets).isin(found.index), found["P-value"])
    q = pd.Series(false_discovery_control(p), index=p.index)
    terms = [term for term in sets if term in found.index]
    table = pd.DataFrame(
        {
            "term": terms,
            "overlap": [len(chosen & set(sets[term])) for term in terms],
            "set_size": [len(sets[term]) for term in terms],
            "p_value": p[terms].to_numpy(),
            "q_value": q[terms].to_numpy(),
            "odds_ratio": found.loc[terms, "Odds Ratio"].to_numpy(dtype=float),
            GENES: [";".join(gene for gene in genes if gene in set(sets[term])) for term in terms],
        }
    )
    return _ordered(table)


def preranked(
    scores: pd.Series, sets: Mapping[str, Sequence[str]], *, n_permutations: int, seed: int
) -> pd.DataFrame:
    """Sets whose genes lie at either end of a ranking, by a permutation test.

    Parameters
    ----------
    scores
        A number a gene; the index holds the genes.
    sets
        Genes of each set, all among the ranked.
    n_permutations
        Number of random sets that each set is held against.
    seed
        Of the random sets.
    """
    import gseapy  # noqa: PLC0415 (slow)
    from scipy.stats import false_discovery_control  # noqa: PLC0415 (slow)

    if not any(len(genes) < len(scores) for genes in sets.values()):
        return empty_table("prerank")
    token = _tokens(scores.index)
    ranking = pd.Series(scores.to_numpy(dtype=float), index=list(token.values()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of pandas, about gseapy's own code
        result = gseapy.prerank(
            ranking,
            {term: [token[gene] for gene in own] for term, own in sets.items()},
            min_size=1,
            max_size=len(scores) - 1,  # a set of all genes has no others to be held against
            permutation_num=n_permutations,
            threads=1,
            seed=seed,
            outdir=None,
            no_plot=True,
        ).res2d.set_index("Term")
    terms = [term for term in sets if term in result.index]
    gene = {token: gene for gene, token in token.items()}
    leading = [
        [gene[token] for token in text.split(";")] for text in result.loc[terms, "Lead_genes"]
    ]
    # No permutation beyond is not a probability of 0; none of the same sign says nothing.
    p = np.nan_to_num(result.loc[terms, "NOM p-val"].to_numpy(dtype=float), nan=1)
    p = p.clip(1 / n_permutations, 1)
    table = pd.DataFrame(
        {
            "term": terms,
            "overlap": [len(own) for own in leading],
            "set_size": [len(sets[term]) for term in terms],
            "p_value": p,
            "q_value": false_discovery_control(p),
            "nes": result.loc[terms, "NES"].to_numpy(dtype=float),
            GENES: [";".join(own) for own in leading],
        }
    )
    return _ordered(table)


def empty_table(method: str) -> pd.DataFrame:
    """A table of no sets, with the columns and their types."""
    types: dict[str, type] = dict.fromkeys([*COLUMNS, STATISTIC[method]], np.float64)
    types |= {"overlap": np.int64, "set_size": np.int64, "term": object, GENES: object}
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in types.items()})


def _tokens(genes: Sequence[str]) -> dict[str, str]:
    """Names that gseapy leaves as they are: it turns digits into numbers, and some to capitals."""
    return {gene: f"G{i}" for i, gene in enumerate(genes)}


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
    """By rising p-value, then by falling strength of the effect."""
    strength = table.get("odds_ratio", table.get("nes")).abs()
    order = np.lexsort((-strength.to_numpy(), table["p_value"].to_numpy()))
    return table.iloc[order].reset_index(drop=True)
