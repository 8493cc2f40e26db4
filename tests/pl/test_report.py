"""The report is one file that a browser shows without a network."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

import scgan_perturb as sp
from scgan_perturb.evaluation._verdict import findings
from scgan_perturb.pl._html import points
from tests.conftest import fit_tspg, make_adata
from tests.pl.conftest import long_name

VOID = {"meta", "img", "input", "br"}
TARGET = long_name(0)
ODD = '<b>"x"</b></script>&amp;'
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class Page(HTMLParser):
    """What a browser finds in a page; an error where tags are not nested."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[tuple[str, dict]] = []
        self.tags: list[tuple[str, dict]] = []
        self.texts: list[tuple[str, str]] = []  # of each element, by its tag
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs)
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open and data.strip():
            self.texts.append((self.open[-1][0], data))

    def all(self, tag: str) -> list[str]:
        return [text for name, text in self.texts if name == tag]

    @property
    def text(self) -> str:
        shown = [text for tag, text in self.texts if tag not in {"style", "script", "title"}]
        return " ".join(" ".join(shown).split())


@pytest.fixture
def full(drawn_from):
    """Data with all results."""
    return drawn_from(2).copy()


@pytest.fixture
def report(tmp_path):
    """Writes a report and reads it."""

    def write(adata, **options) -> str:
        sp.pl.report(adata, tmp_path / "report.html", **options)
        return (tmp_path / "report.html").read_text("utf-8")

    return write


@pytest.fixture(scope="module")
def text(drawn_from, tmp_path_factory):
    """Its report."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    sp.pl.report(drawn_from(2), path)
    return path.read_text("utf-8")


def test_nothing_is_read_from_elsewhere(text):
    page = Page(text)
    links = [v for _, attrs in page.tags for k, v in attrs.items() if k in {"src", "href"}]
    assert links
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)
    assert not re.search(r"https?:|url\(|@import|fetch|import\(", text)
    assert not {"link", "iframe", "object", "base"} & {tag for tag, _ in page.tags}


def test_links_lead_to_parts_of_the_page(text):
    page = Page(text)
    ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    assert {attrs["href"] for tag, attrs in page.tags if tag == "a"} == {f"#{i}" for i in ids}


def test_all_results_are_shown(text, full):
    page = Page(text)
    assert "missing" not in [attrs.get("class") for _, attrs in page.tags]
    rows = sp.get.evaluation_df(full, source=None, context=None)
    for sentence in findings(rows):
        assert sentence in page.all("p")
    cells = page.all("td")
    assert set(rows["method"]) <= set(cells)
    assert set(sp.get.rank_genes_df(full)["gene"]) <= set(cells)
    assert set(sp.get.enrichment_df(full)["term"]) <= set(cells)
    descriptions = [attrs["alt"] for tag, attrs in page.tags if tag == "img"]
    chosen = sp.get.transition_genes(full, 1)["sample"].unique()
    assert descriptions[1:] == [f"Heatmap of sample {name}" for name in chosen]


def test_embedded_samples_have_their_names(text, full):
    titles = Page(text).all("title")[1:]
    drawn = pd.concat([sp.get.embedding(full, method) for method in ("tsne", "umap", "pca")])
    after = drawn["state"] == "perturbed"
    kinds = [*drawn["label"][~after].astype(str)]
    originals = [f"{name}: {kind}" for name, kind in zip(drawn.index[~after], kinds, strict=True)]
    perturbed = [
        f"{name}, {label}: perturbed to {TARGET}" for name, label in drawn["label"][after].items()
    ]
    assert sorted(titles) == sorted(originals + perturbed)


def test_the_page_says_what_the_fit_was_called_with(text, full):
    page = Page(text)
    named = dict(zip(page.all("b"), page.all("dd"), strict=True))
    assert named["groupby"] == "cell type"
    assert named["seed"] == str(full.uns["tspg"]["params"]["seed"])


def test_names_from_the_data_are_text(report):
    adata = make_adata()
    adata.obs["tissue"] = adata.obs["tissue"].cat.rename_categories({"lung": ODD})
    adata.obs_names = [f"{ODD}{name}" for name in adata.obs_names]
    adata.var_names = [f"{ODD}{name}" for name in adata.var_names]
    sp.tl.fit_classifier(adata, "tissue", max_epochs=3)
    fit_tspg(adata, "tissue", ODD)
    sp.tl.embed(adata, method="pca")
    sp.tl.rank_genes(adata)
    sp.tl.enrich(adata, {ODD: list(adata.var_names[:6])}, n_genes=5, min_size=2)
    page = Page(report(adata))
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert page.all("b").count('"x"') == 0
    assert f"Samples perturbed towards {ODD}" in page.all("h1")
    assert {ODD, f"{ODD}gene1"} <= set(page.all("td"))
    assert f"{ODD}sample0: liver" in page.all("title")


CALLS = ["evaluate(adata{})", "perturb(adata{})", "embed(adata{})", "rank_genes(adata{})"]
CALLS += ["enrich(adata, gene_sets{})"]


@pytest.mark.parametrize(("key", "argument"), [("tspg", ""), ("it's", ', key="it\'s"')])
def test_what_was_not_computed_is_named_with_its_call(fitted, report, key, argument):
    fitted.uns[key] = fitted.uns["tspg"]
    del fitted.layers["xadv"]
    page = Page(report(fitted, key=key))
    assert page.all("code") == [f"sp.tl.{call}".format(argument) for call in CALLS]
    assert page.text.count("Not in this report.") == len(CALLS)


def test_a_result_that_no_longer_fits_is_explained(full, report):
    full.X = full.X * 2
    page = Page(report(full))
    assert page.all("code") == ["sp.tl.perturb(adata)"]
    assert "has changed since" in page.text


def test_every_enrichment_of_the_fit_is_shown(full, report):
    del full.layers["xadv"]  # nor a heatmap
    sets = {"set": list(full.var_names[:6])}
    sp.tl.enrich(full, sets, n_genes=5, min_size=2, direction="down", key_added="other")
    full.uns["foreign"] = {"params": {"fit": "another"}, "table": full.uns["other"]["table"]}
    heads = Page(report(full)).all("h3")
    assert [head for head in heads if "dict" in head] == [
        "dict, all, up, ora",
        "dict, all, down, ora",
    ]


def test_samples_and_number_of_genes_are_the_readers(full, report):
    text = report(full, obs_names=full.obs_names[-1], n_genes=1)
    descriptions = [a["alt"] for tag, a in Page(text).tags if tag == "img"]
    assert descriptions[1:] == [f"Heatmap of sample {full.obs_names[-1]}"]
    ranked = sp.get.rank_genes_df(full, "all")
    up, down = ranked[ranked["mean"] > 0]["gene"], ranked[ranked["mean"] < 0]["gene"]
    shown = re.findall(r"<tr><td>all</td><td>([\w.]+)</td>", text)
    assert shown == [up.iloc[0], down.iloc[-1]]


def test_new_samples_need_no_labels(fitted, report):
    new = make_adata({"liver": 2}, seed=1)
    del new.obs["tissue"]
    sp.tl.perturb(new, reference=fitted)
    descriptions = [a["alt"] for tag, a in Page(report(new)).tags if tag == "img"]
    assert descriptions == ["Heatmap of sample sample0", "Heatmap of sample sample1"]


def test_the_same_results_make_the_same_file(full, report, text):
    assert report(full) == text


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        pytest.param({"n_genes": 0}, ValueError, "n_genes must be", id="no genes"),
        pytest.param({"obs_names": "sampel3"}, KeyError, "Nearest: 'sample", id="no such sample"),
        pytest.param({"key": "tspq"}, KeyError, "Nearest: 'tspg'", id="no such fit"),
    ],
)
def test_a_wrong_argument_writes_no_file(fitted, tmp_path, options, error, match):
    with pytest.raises(error, match=match):
        sp.pl.report(fitted, tmp_path / "report.html", **options)
    assert list(tmp_path.iterdir()) == []


def test_of_very_many_points_some_are_drawn():
    frame = pd.DataFrame({"x": np.arange(20_001.0), "y": 0.0, "kind": "a"})
    text = points(frame, {"a": "red"})
    assert text.count("<title>") == 20_000
    assert text.count("<circle") == 20_001  # one in the legend
    assert "20,000 of 20,001 points, chosen at random." in text


@pytest.fixture(scope="module")
def browser():
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("no headless browser is at hand")
    return found


ACTIONS = """<script>
const press = (table, name) => {
  const buttons = [...table.querySelectorAll("th button")];
  buttons.find(button => button.textContent === name).click();
  const column = buttons.findIndex(button => button.textContent === name);
  return [...table.tBodies[0].rows].map(row => row.cells[column].textContent);
};
const table = name => [...document.querySelectorAll("table")].find(table =>
  [...table.querySelectorAll("th")].some(head => head.textContent === name));
const found = {up: press(table("logfoldchange"), "mean"), down: press(table("logfoldchange"), "mean")};
found.distances = press(table("E-distance"), "E-distance");
found.text = press(table("logfoldchange"), "gene");
const point = document.querySelector("circle");
point.dispatchEvent(new PointerEvent("pointerover", {bubbles: true}));
found.name = document.querySelector("output").textContent;
const filter = table("term").closest(".table").querySelector("input");
filter.value = "process_9";
filter.oninput();
found.rows = [...table("term").tBodies[0].rows].filter(row => !row.hidden).map(row => row.innerText);
found.wide = [document.documentElement.scrollWidth, window.innerWidth];
document.documentElement.innerHTML = "<pre></pre>";
document.querySelector("pre").textContent = JSON.stringify(found);
</script>"""


@pytest.mark.parametrize("width", [1280, 500])
def test_a_browser_sorts_filters_and_names(browser, text, tmp_path, width):
    path = tmp_path / "page.html"
    path.write_text(text.replace("</body>", f"{ACTIONS}</body>"), "utf-8")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += [f"--user-data-dir={tmp_path}", f"--window-size={width},900", path.as_uri()]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    found = json.loads(Page(run.stdout).all("pre")[0])
    up = [float(value) for value in found["up"]]
    assert up == sorted(up)
    down = [float(value) for value in found["down"]]
    assert down == sorted(down, reverse=True)
    assert found["text"] == sorted(found["text"])
    distances = [float(value.split()[0]) for value in found["distances"]]
    assert distances == sorted(distances)
    assert found["name"] in Page(text).all("title")
    assert found["rows"]
    assert all("PROCESS_9" in row for row in found["rows"])
    assert found["wide"][0] <= found["wide"][1]
