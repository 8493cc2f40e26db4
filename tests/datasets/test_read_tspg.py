from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest

import scgan_perturb as sp

SAMPLES = [f"sample-{i:08d}" for i in range(4)]
GENES = [f"gene-{i:06d}" for i in range(3)]
LABELS = ["class-00", "class-01", "class-01", "class-00"]


@pytest.fixture
def table() -> pd.DataFrame:
    values = np.random.default_rng(0).normal(0, 5, size=(4, 3)).astype(np.float32)
    return pd.DataFrame(values, index=SAMPLES, columns=GENES)


@pytest.fixture
def folder(tmp_path, table):
    """The files of the original code's example, in small."""
    table.to_csv(tmp_path / "emx.txt", sep="\t", na_rep="NA", float_format="%.8f")
    np.save(tmp_path / "emx.npy", np.array(table, dtype=np.float32, order="F"))
    np.savetxt(tmp_path / "emx.rownames.txt", table.index, fmt="%s")
    np.savetxt(tmp_path / "emx.colnames.txt", table.columns, fmt="%s")
    pd.DataFrame(LABELS, index=SAMPLES).to_csv(tmp_path / "labels.txt", sep="\t", header=False)
    (tmp_path / "sets.txt").write_text(f"one\t{GENES[0]}\t{GENES[2]}\ntwo\t{GENES[1]}\tnone")
    return tmp_path


@pytest.mark.parametrize("matrix", ["emx.txt", "emx.npy"])
def test_text_and_npy_files_are_read_alike(folder, table, matrix):
    adata = sp.datasets.read_tspg(folder / matrix, folder / "labels.txt")
    pd.testing.assert_frame_equal(adata.to_df(), table)
    assert adata.X.dtype == np.float32
    assert adata.X.flags.writeable
    assert list(adata.obs["label"]) == LABELS


def quoted(text: str) -> str:
    """Quotes around names, not around numbers, as R's write.table writes them."""
    lines = [line.split("\t") for line in text.splitlines()]
    fields = [[f'"{f}"' if not f[-1:].isdigit() or f[0].isalpha() else f for f in x] for x in lines]
    return "".join("\t".join(row) + "\n" for row in fields)


def without_corner(text: str) -> str:
    return text.removeprefix("\t")


FORMS = {
    "R": lambda text: quoted(without_corner(text)),
    "R with an empty corner": quoted,
    "no corner": without_corner,
    "a named corner": lambda text: "samples" + text if text[0] == "\t" else text,
    "byte order mark": lambda text: "\ufeff" + text,
    "windows": lambda text: text.replace("\n", "\r\n"),
    "tabs at the ends": lambda text: text.replace("\n", "\t\n"),
    "all": lambda text: "\ufeff" + quoted(without_corner(text)).replace("\n", "\t\r\n"),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("packed", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("matrix", ["emx.txt", "emx.npy"])
def test_the_forms_that_text_comes_in_read_alike(folder, table, matrix, form, packed):
    for path in folder.glob("*.txt"):
        path.write_bytes(packed(form(path.read_text()).encode()))
    adata = sp.datasets.read_tspg(folder / matrix, folder / "labels.txt", folder / "sets.txt")
    pd.testing.assert_frame_equal(adata.to_df(), table)
    assert list(adata.obs["label"]) == LABELS
    assert adata.var.to_dict("list") == {"one": [True, False, True], "two": [False, True, False]}


def test_the_header_that_r_gives_labels_is_no_sample(folder):
    labels = folder / "labels.txt"
    labels.write_text('"label"\n' + quoted(labels.read_text()))
    adata = sp.datasets.read_tspg(folder / "emx.txt", labels)
    assert list(adata.obs["label"]) == LABELS


@pytest.mark.parametrize("gap", ["NA", ""])
def test_a_gap_in_the_last_column_is_a_gap(folder, gap):
    (folder / "emx.txt").write_text(f"\ta\tb\nx\t1\t{gap}\ny\t3\t4\n")
    (folder / "labels.txt").write_text("x\tA\ny\tB\n")
    with pytest.warns(UserWarning, match="1 missing values"):
        adata = sp.datasets.read_tspg(folder / "emx.txt", folder / "labels.txt")
    assert adata.X.tolist() == [[1, 1], [3, 4]]


def test_names_of_a_npy_file_may_stand_in_files_of_the_older_form(folder, table):
    for what in ("rownames", "colnames"):
        (folder / f"emx.{what}.txt").rename(folder / f"emx_{what}.txt")
    adata = sp.datasets.read_tspg(folder / "emx.npy", folder / "labels.txt")
    pd.testing.assert_frame_equal(adata.to_df(), table)


def test_labels_are_matched_by_name_and_more_may_be_there(folder):
    lines = [f"{sample}\t{label}\n" for sample, label in zip(SAMPLES, LABELS, strict=True)]
    (folder / "labels.txt").write_text("".join([*lines[::-1], "another\tclass-02\n"]))
    adata = sp.datasets.read_tspg(folder / "emx.txt", folder / "labels.txt")
    assert list(adata.obs["label"]) == LABELS
    assert list(adata.obs["label"].cat.categories) == ["class-00", "class-01"]


@pytest.mark.parametrize("separator", ["\t", " ", ",", ", "])
def test_gene_sets_are_columns_for_use_as_a_mask(folder, separator):
    (folder / "sets.txt").write_text(
        (folder / "sets.txt").read_text().replace("\t", separator) + "\n\n"
    )
    adata = sp.datasets.read_tspg(folder / "emx.txt", folder / "labels.txt", folder / "sets.txt")
    assert adata.var.to_dict("list") == {"one": [True, False, True], "two": [False, True, False]}
    assert set(map(str, adata.var.dtypes)) == {"bool"}


def test_genes_of_sets_that_are_not_there_are_named(folder, caplog):
    with caplog.at_level("INFO"):
        sp.datasets.read_tspg(folder / "emx.txt", folder / "labels.txt", folder / "sets.txt")
    assert "1 genes not found: 'none'" in caplog.text


@pytest.mark.parametrize("matrix", ["emx.txt", "emx.npy"])
def test_missing_values_become_the_smallest_as_in_the_original_with_a_warning(
    folder, table, matrix
):
    table.iloc[1, 2] = np.nan
    table.to_csv(folder / "emx.txt", sep="\t", na_rep="NA", float_format="%.8f")
    np.save(folder / "emx.npy", table.to_numpy())
    with pytest.warns(UserWarning, match="1 missing values were replaced with the smallest"):
        adata = sp.datasets.read_tspg(folder / matrix, folder / "labels.txt")
    pd.testing.assert_frame_equal(adata.to_df(), table.fillna(table.min().min()))


def test_names_that_look_like_numbers_or_gaps_stay_names(folder):
    (folder / "emx.txt").write_text("\tNA\t1\n01\t1\t2\nNA\t3\t4\n")
    (folder / "labels.txt").write_text("01\tNA\nNA\t1\n")
    adata = sp.datasets.read_tspg(folder / "emx.txt", folder / "labels.txt")
    assert (list(adata.obs_names), list(adata.var_names)) == (["01", "NA"], ["NA", "1"])
    assert list(adata.obs["label"]) == ["NA", "1"]


def test_a_classifier_can_be_fitted_on_what_was_read(folder):
    rng = np.random.default_rng(0)
    samples = [f"s{i}" for i in range(20)]
    table = pd.DataFrame(rng.uniform(0, 5, (20, 3)), index=samples, columns=GENES)
    table.to_csv(folder / "emx.txt", sep="\t")
    (folder / "labels.txt").write_text(
        "".join(f"{s}\tclass-{i % 2}\n" for i, s in enumerate(samples))
    )
    adata = sp.datasets.read_tspg(folder / "emx.txt", folder / "labels.txt", folder / "sets.txt")
    sp.tl.fit_classifier(adata, "label", mask_var="one", max_epochs=1)
    assert "classifier" in adata.uns


def write(name: str, text: str):
    return lambda folder: (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("matrix", "change", "match"),
    [
        pytest.param("emx.txt", write("emx.txt", "\ta\ta\nx\t1\t2\n"), "genes twice: 'a'", id="genes"),
        pytest.param("emx.txt", write("emx.txt", "\ta\nx\t1\nx\t2\n"), "samples twice: 'x'", id="samples"),
        pytest.param("emx.txt", write("emx.txt", "\ta\tb\nx\t1\ttwo\n"), "not a tab-separated table of numbers.*two", id="text"),
        pytest.param("emx.txt", write("emx.txt", "\ta\tb\nx\t1\n"), "names 2 genes.*'x' has 1 values", id="too few"),
        pytest.param("emx.txt", write("emx.txt", ""), "not a tab-separated table", id="empty"),
        pytest.param("emx.txt", write("emx.txt", "a,b\nx,1\n"), "not a tab-separated table", id="commas"),
        pytest.param("emx.txt", write("emx.txt", "\ta\nx\tNA\n"), "has no values", id="only gaps"),
        pytest.param("emx.npy", write("emx.npy", "text"), "not a .npy file of numbers", id="no npy"),
        pytest.param("emx.npy", lambda folder: np.save(folder / "emx.npy", np.array([{}])), "not a .npy file of numbers.*allow_pickle", id="pickle"),
        pytest.param("emx.npy", lambda folder: np.save(folder / "emx.npy", np.ones((3, 4))), r"shape \(3, 4\).*4 rows.*3 columns", id="transposed"),
        pytest.param("emx.npy", write("emx.colnames.txt", "a\n"), r"shape \(4, 3\).*1 columns", id="fewer names"),
        pytest.param("emx.txt", write("labels.txt", f"{SAMPLES[0]}\tx\n"), "no label for 3 of the 4 samples .'sample-00000001'", id="labels missing"),
        pytest.param("emx.txt", write("labels.txt", "".join(f"{s}\t \n" for s in SAMPLES)), "not a tab-separated list of samples", id="label empty"),
        pytest.param("emx.txt", write("labels.txt", "\n".join(SAMPLES)), "not a tab-separated list of samples", id="no labels"),
        pytest.param("emx.txt", write("labels.txt", f"{SAMPLES[0]}\tx\n{SAMPLES[0]}\ty\n"), "samples twice", id="labelled twice"),
        pytest.param("emx.txt", write("sets.txt", f"one\t{GENES[0]}\none\t{GENES[1]}"), "gene sets twice: 'one'", id="set twice"),
        pytest.param("emx.txt", write("sets.txt", "one\tx\ty"), "none of the 2 genes of 'one' is in the matrix", id="unknown genes"),
        pytest.param("emx.txt", write("sets.txt", f"a/b\t{GENES[0]}"), "cannot hold the column 'a/b'", id="slash"),
    ],
)  # fmt: skip
def test_a_broken_input_is_refused_with_the_reason(folder, matrix, change, match):
    change(folder)
    with pytest.raises(ValueError, match=match):
        sp.datasets.read_tspg(folder / matrix, folder / "labels.txt", folder / "sets.txt")


@pytest.mark.parametrize("name", ["emx.txt", "labels.txt", "sets.txt"])
def test_a_file_that_is_not_there_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        sp.datasets.read_tspg(folder / "emx.txt", folder / "labels.txt", folder / "sets.txt")


def test_names_that_are_not_there_are_named(folder):
    (folder / "emx.colnames.txt").unlink()
    with pytest.raises(FileNotFoundError, match="needs its colnames in emx.colnames.txt"):
        sp.datasets.read_tspg(folder / "emx.npy", folder / "labels.txt")
