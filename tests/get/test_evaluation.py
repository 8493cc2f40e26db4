from __future__ import annotations

import pandas as pd
import pytest

import scgan_perturb as sp


@pytest.fixture
def table() -> pd.DataFrame:
    names = ["all", "all", "liver/left"]
    return pd.DataFrame({"source": names, "method": list("abc")}, index=list("xyz"))


@pytest.fixture
def evaluated(fitted, table):
    fitted.uns["tspg"]["evaluation"] = table
    return fitted


def test_rows_of_all_sources_together_come_by_default(evaluated):
    found = sp.get.evaluation_df(evaluated)
    assert list(found["method"]) == ["a", "b"]
    assert list(found.index) == [0, 1]


def test_a_source_can_be_chosen_or_the_whole_table(evaluated):
    assert list(sp.get.evaluation_df(evaluated, source="liver/left")["method"]) == ["c"]
    assert list(sp.get.evaluation_df(evaluated, source=None)["method"]) == ["a", "b", "c"]


def test_the_table_is_a_copy(evaluated, table):
    found = sp.get.evaluation_df(evaluated, source=None)
    found["method"] = "other"
    assert list(evaluated.uns["tspg"]["evaluation"]["method"]) == ["a", "b", "c"]


def test_what_is_not_there_is_named(evaluated, fitted):
    with pytest.raises(KeyError, match="'liver' not found. Nearest: 'liver/left'"):
        sp.get.evaluation_df(evaluated, source="liver")
    with pytest.raises(KeyError, match=r"Fit 'k' not found.*sp\.tl\.fit_tspg"):
        sp.get.evaluation_df(evaluated, key="k")
    del fitted.uns["tspg"]["evaluation"]
    with pytest.raises(KeyError, match=r"sp\.tl\.evaluate\(adata\) first"):
        sp.get.evaluation_df(fitted)
