"""A fit that is stopped goes on, as if it had not been stopped."""

from __future__ import annotations

import os
import shutil
import signal
import time
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

import scgan_perturb as sp
from scgan_perturb.training import _checkpoint
from tests import conftest
from tests.conftest import fit_tspg, make_adata, same_adata
from tests.new_process import finish, start
from tests.stops import counted_steps, full_disk, stopped_after

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

EPOCHS = 4
CLASSIFIER_STEPS = 50  # of a classifier that a fit trains, with one batch an epoch


@pytest.fixture(scope="module", autouse=True)
def every_epoch_is_kept():
    interval, sp.settings.checkpoint_interval = sp.settings.checkpoint_interval, 0.0
    yield
    sp.settings.checkpoint_interval = interval


def fit(adata, recipe="paper", target="lung", **options):
    options = {
        "max_epochs": EPOCHS,
        "batch_size": 16,
        "fabric": {"precision": "32-true"},
        **options,
    }
    fit_tspg(adata, "tissue", target, recipe=recipe, **options)
    return adata


@pytest.fixture(scope="module")
def classified():
    """Samples with a classifier that trained for a few epochs."""
    adata = make_adata()
    sp.tl.fit_classifier(adata, "tissue", max_epochs=3)
    return adata


@pytest.fixture
def build(classified):
    """The function that copies them."""
    return classified.copy


@pytest.fixture(scope="module")
def whole(classified, every_epoch_is_kept):
    """A fit that nothing stopped."""
    return fit(classified.copy())


@pytest.fixture(scope="module")
def n_steps(classified):
    """The number of steps of a fit."""
    with counted_steps() as steps:
        fit(classified.copy())
    return len(steps)


@pytest.fixture(scope="module")
def _state(classified, every_epoch_is_kept, tmp_path_factory):
    folder = tmp_path_factory.mktemp("state")
    fit(classified.copy(), checkpoint=folder)
    return folder


@pytest.fixture
def state(_state, tmp_path):
    """A folder with the states of a fit that is done."""
    return shutil.copytree(_state, tmp_path / "state")


def same_fit(a, b) -> bool:
    """Whether two fits are the same to the last bit, classifiers and histories included."""
    same = np.array_equal(a.layers["xadv"], b.layers["xadv"])
    for key in ("tspg", "classifier"):
        one, other = a.uns[key], b.uns[key]
        same &= one["history"].equals(other["history"])
        same &= one["weights"].keys() == other["weights"].keys()
        same &= all(np.array_equal(one["weights"][n], other["weights"][n]) for n in one["weights"])
    return same


@pytest.mark.parametrize("n_left", [1, 4, 7, 9, 12])  # steps
def test_a_stopped_fit_resumes_to_the_same_bits(build, whole, n_steps, n_left, tmp_path):
    adata = build()
    with stopped_after(n_steps - n_left):
        fit(adata, checkpoint=tmp_path)
    assert same_adata(adata, build())
    assert same_fit(fit(adata, checkpoint=tmp_path), whole)


@pytest.mark.parametrize("n_steps", [1, 10])
def test_a_stopped_classifier_resumes_to_the_same_bits(build, n_steps, tmp_path):
    whole, adata = build(), build()
    sp.tl.fit_classifier(whole, "tissue", max_epochs=8, batch_size=16)
    with stopped_after(n_steps):
        sp.tl.fit_classifier(adata, "tissue", max_epochs=8, batch_size=16, checkpoint=tmp_path)
    sp.tl.fit_classifier(adata, "tissue", max_epochs=8, batch_size=16, checkpoint=tmp_path)
    assert whole.uns["classifier"]["history"].equals(adata.uns["classifier"]["history"])
    for name, weight in whole.uns["classifier"]["weights"].items():
        np.testing.assert_array_equal(adata.uns["classifier"]["weights"][name], weight)


@pytest.mark.parametrize("n_before", [20, 55])  # as the classifier trains, or later
def test_so_does_a_fit_that_needs_a_classifier(n_steps, n_before, tmp_path):
    adata = make_adata()
    with stopped_after(n_before):
        fit(adata, checkpoint=tmp_path)
    assert same_adata(adata, make_adata())
    with counted_steps() as steps:
        fit(adata, checkpoint=tmp_path)
    assert len(steps) < CLASSIFIER_STEPS + n_steps
    assert same_fit(adata, fit(make_adata()))


def test_recipe_transport_resumes_its_classifier_and_keeps_no_other_state(tmp_path):
    whole, adata = make_adata(), make_adata()
    with counted_steps() as all_steps:
        fit(whole, "transport")
    for n_before in (5, len(all_steps) - 7):  # the last ones do not lower the validation loss
        with stopped_after(n_before):
            fit(adata, "transport", checkpoint=tmp_path)
    assert same_adata(adata, make_adata())
    with counted_steps() as steps:
        fit(adata, "transport", checkpoint=tmp_path)
    assert len(steps) == 2
    assert same_fit(adata, whole)
    assert [path.name for path in tmp_path.iterdir()] == ["classifier.safetensors"]


def test_stops_may_be_many(build, whole, tmp_path):
    for n_before in (4, 4, 3):  # each resumes where the last one stopped
        with stopped_after(n_before):
            fit(build(), checkpoint=tmp_path)
    assert same_fit(fit(build(), checkpoint=tmp_path), whole)


def test_a_fit_that_is_done_trains_no_more(build, state, whole):
    with counted_steps() as steps:
        assert same_fit(fit(build(), checkpoint=state), whole)
    assert not steps


def test_without_a_folder_nothing_is_written(build, tmp_path):
    os.chdir(tmp_path)
    fit(build())
    assert not list(tmp_path.iterdir())


def test_young_states_are_not_written_but_the_last_is(tmp_path):
    sp.settings.checkpoint_interval = 1e6
    with stopped_after(59):
        fit(make_adata(), checkpoint=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["classifier.safetensors"]
    fit(make_adata(), checkpoint=tmp_path)
    assert (tmp_path / "generator.safetensors").exists()


def fit_in_a_process(folder, path) -> None:
    sp.settings.checkpoint_interval = 0.0
    adata = make_adata()
    sp.tl.fit_classifier(adata, "tissue", max_epochs=3, checkpoint=folder)
    fit(adata, max_epochs=30, checkpoint=folder).write_h5ad(path)


def written(folder) -> int:
    """When the state of the generator was written last."""
    path = folder / "generator.safetensors"
    return path.stat().st_mtime_ns if path.exists() else 0


def test_a_killed_fit_goes_on_to_the_same_bits(tmp_path):
    """All in processes of their own: what other tests left in this one is no part of a fit."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "state"

    def begin(name: str) -> BaseProcess:
        return start(fit_in_a_process, tmp_path / name, tmp_path / f"{name}.h5ad")

    for _ in range(2):
        before = written(folder)
        run = begin("state")
        while written(folder) == before and run.is_alive():
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.1))
        run.kill()
        run.join()
        assert run.exitcode == -signal.SIGKILL
    for run in [begin(name) for name in ("state", "other")]:
        finish(run)
    resumed, whole = (ad.read_h5ad(tmp_path / f"{name}.h5ad") for name in ("state", "other"))
    assert same_fit(resumed, whole)


def test_a_state_is_not_written_in_place(build, n_steps, tmp_path):
    state, link = tmp_path / "generator.safetensors", tmp_path / "link"
    with stopped_after(n_steps - 5):
        fit(build(), checkpoint=tmp_path)
    before = state.read_bytes()
    link.hardlink_to(state)
    fit(build(), checkpoint=tmp_path)
    assert link.read_bytes() == before != state.read_bytes()


def test_a_write_that_fails_leaves_the_state_before(build, whole, n_steps, tmp_path):
    with stopped_after(n_steps - 5):
        fit(build(), checkpoint=tmp_path)
    before = (tmp_path / "generator.safetensors").read_bytes()
    with (
        full_disk(after=100_000),
        pytest.raises((OSError, SafetensorError), match="File too large"),
    ):
        fit(build(), checkpoint=tmp_path)
    assert (tmp_path / "generator.safetensors").read_bytes() == before
    assert same_fit(fit(build(), checkpoint=tmp_path), whole)


def other_values(adata):
    adata.X = adata.X + np.float32(0.5)


def other_genes(adata):
    adata.var_names = [f"other{i}" for i in range(adata.n_vars)]


def other_labels(adata):
    adata.obs["tissue"] = adata.obs["tissue"].to_numpy()[::-1]


@pytest.mark.parametrize(
    ("change", "options", "differing"),
    [
        (other_values, {}, "expression \\(was"),
        (other_genes, {}, "genes \\(was"),
        (other_labels, {}, "labels \\(was"),
        (None, {"held_out": 0.3}, r"held_out \(was 0.2, is 0.3\)"),
        (None, {"rng": 1}, r"seed \(was 0, is 1\)"),
        (
            None,
            {"fabric": {"precision": "bf16-mixed"}},
            r"precision \(was 32-true, is bf16-mixed\)",
        ),
        (None, {"target": "liver"}, r"target \(was lung, is liver\)"),
        (None, {"kappa": 1.5}, r"kappa \(was 0.0, is 1.5\)"),
        (None, {"batch_size": 20}, r"batch_size \(was 16, is 20\)"),
        (None, {"max_epochs": 7}, r"max_epochs \(was 4, is 7\)"),
        (None, {"source": "liver"}, r"source \(was not set, is liver\)"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*classifier.* does not fit")  # of what was changed
def test_a_state_of_another_fit_is_refused_by_what_differs(
    build, change, options, differing, state
):
    adata = build()
    if change is not None:
        change(adata)
    with pytest.raises(ValueError, match=rf"belongs to another run. Differences: .*{differing}"):
        fit(adata, checkpoint=state, **options)
    assert "tspg" not in adata.uns


def test_a_state_made_with_another_classifier_is_refused(build, state):
    adata = build()
    sp.tl.fit_classifier(adata, "tissue", max_epochs=2)
    with pytest.raises(ValueError, match="Differences: classifier .*judge"):
        fit(adata, checkpoint=state)


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "lacking"])
def test_a_damaged_state_is_an_error_that_says_what_to_do(build, damage, state):
    path = state / "generator.safetensors"
    if damage == "lacking":
        tensors = load_file(path)
        tensors.popitem()
        with safe_open(path, framework="pt") as file:
            about = file.metadata()
        save_file(tensors, path, about)
    else:
        content = path.read_bytes()
        path.write_bytes({"cut": content[:-100], "empty": b"", "text": b"not a state"}[damage])
    with pytest.raises(ValueError, match=r"generator.safetensors is damaged .*Delete it"):
        fit(build(), checkpoint=state)


FITS = {
    "paper": lambda a, folder: fit(a, checkpoint=folder),
    "transport": lambda a, folder: fit(a, "transport", checkpoint=folder),
    "classifier": lambda a, folder: sp.tl.fit_classifier(a, "tissue", checkpoint=folder),
}


@pytest.mark.parametrize("call", FITS.values(), ids=FITS)
@pytest.mark.parametrize("name", ["file", "file/deep/folder"])
def test_the_folder_may_not_be_a_file(build, tmp_path, call, name):
    (tmp_path / "file").write_text("")
    adata = build()
    with (
        counted_steps() as steps,
        pytest.raises(ValueError, match=f"{name}' .*is a file; name a folder"),
    ):
        call(adata, tmp_path / name)
    assert not steps
    assert same_adata(adata, build())


def test_a_fit_that_trains_nothing_says_that_it_keeps_no_state(build, tmp_path):
    with pytest.warns(UserWarning, match=r"state' is not used: .*Leave checkpoint out") as warned:
        fit(build(), "transport", checkpoint=tmp_path / "state")
    assert warned[0].filename == conftest.__file__
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("n_left", "told"), [(3, "resumes after epoch 3"), (20, "before the first")]
)
def test_an_interrupt_says_where_the_state_is(build, n_steps, n_left, told, tmp_path, caplog):
    with stopped_after(n_steps - n_left, KeyboardInterrupt):
        fit(build(), checkpoint=tmp_path)
    assert told in caplog.text
    assert str(tmp_path / "generator.safetensors") in caplog.text


def test_moments_and_learning_rate_survive(tmp_path):
    """Against an optimiser that went on without a stop."""
    weights = [torch.nn.Linear(3, 2) for _ in range(2)]
    weights[1].load_state_dict(weights[0].state_dict())
    whole, resumed = (torch.optim.Adam(w.parameters(), lr=0.1) for w in weights)

    def step(network, optimizer):
        optimizer.zero_grad()
        network(torch.ones(1, 3)).square().sum().backward()
        optimizer.step()

    step(weights[0], whole)
    whole.param_groups[0]["lr"] = 0.05
    state = _checkpoint.optimizer_state("adam", whole)
    state = {name: tensor.clone() for name, tensor in state.items()}
    weights[1].load_state_dict(weights[0].state_dict())
    _checkpoint.load_optimizer("adam", resumed, state)
    for network, optimizer in zip(weights, (whole, resumed), strict=True):
        step(network, optimizer)
    torch.testing.assert_close(weights[0].weight, weights[1].weight, rtol=0, atol=0)
