from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from scgan_perturb.networks._networks import (
    ALIGNMENT,
    BatchNorm,
    Classifier,
    Discriminator,
    Generator,
    calibrate,
    from_arrays,
    initialise,
    perturb,
    to_arrays,
)

N_GENES = 9
NETWORKS = {
    "classifier": lambda: Classifier(N_GENES, 4),
    "generator": lambda: Generator(N_GENES),
    "discriminator": lambda: Discriminator(N_GENES),
}
ON_META = torch.device("meta")


def network(name: str = "generator", seed: int = 0) -> nn.Module:
    with ON_META:
        made = NETWORKS[name]()
    initialise(made, seed)
    return made


def x(n_samples: int = 8) -> torch.Tensor:
    return torch.rand(n_samples, N_GENES, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("name", "widths"),
    [
        ("classifier", [1024, 512, 128, 4]),
        ("generator", [512, 256, 128, *[128] * 6, 256, 512, N_GENES]),
        ("discriminator", [512, 256, 128, 1]),
    ],
)
def test_dense_layers_have_the_paper_widths(name, widths):
    found = [m.out_features for m in network(name).modules() if isinstance(m, nn.Linear)]
    assert found == widths


@pytest.mark.parametrize(
    ("name", "n_norms"), [("classifier", 0), ("generator", 11), ("discriminator", 3)]
)
def test_each_hidden_dense_layer_but_the_classifier_has_batch_norm(name, n_norms):
    norms = [m for m in network(name).modules() if isinstance(m, nn.BatchNorm1d)]
    assert [m.eps for m in norms] == [1e-3] * n_norms


def test_perturbation_lies_within_one_and_the_sample_within_the_unit_interval():
    change, perturbed = perturb(network(), x() * 1)
    assert change.abs().max() <= 1
    assert torch.equal(perturbed, (x() + change).clamp(0, 1)) or torch.allclose(
        perturbed, (x() + change).clamp(0, 1)
    )
    assert perturbed.min() >= 0
    assert perturbed.max() <= 1


def test_initial_weights_are_glorot_uniform():
    weight = network("classifier")[2].weight.detach().numpy()
    bound = np.sqrt(6 / (1024 + 512))
    assert np.abs(weight).max() <= bound
    assert weight.std() == pytest.approx(bound / np.sqrt(3), rel=0.01)


def test_initial_weights_follow_the_seed():
    first, same, other = (to_arrays(network(seed=seed)) for seed in (0, 0, 1))
    assert all(np.array_equal(first[name], same[name]) for name in first)
    assert not np.array_equal(first["0.weight"], other["0.weight"])


def test_making_a_network_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    network()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_survive_the_way_through_arrays(name):
    original = network(name)
    original(x())  # moves the batch-norm statistics
    arrays = to_arrays(original)
    with ON_META:
        restored = NETWORKS[name]()
    from_arrays(restored, arrays)
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
    assert torch.equal(restored(x()), original.eval()(x()))


def test_weights_as_torch_allocates_them_are_shared_and_others_are_copied():
    arrays = to_arrays(network())
    # Where HDF5 puts them, or NumPy: not where torch would.
    memory = np.empty(arrays["0.weight"].size + 1, dtype=np.float32)
    start = int(memory.ctypes.data % ALIGNMENT == 0)
    unaligned = memory[start : start + arrays["0.weight"].size].reshape(-1, N_GENES)
    unaligned[:] = arrays["0.weight"]
    made = []
    for weights in (arrays, {**arrays, "0.weight": unaligned}):
        with ON_META:
            empty = Generator(N_GENES)
        made.append(from_arrays(empty, weights))
    shared, copied = made
    assert np.shares_memory(shared[0].weight.numpy(), arrays["0.weight"])
    assert not np.shares_memory(copied[0].weight.numpy(), unaligned)
    assert copied[0].weight.data_ptr() % ALIGNMENT == 0
    assert torch.equal(shared(x()), copied(x()))


def test_missing_weights_are_named():
    arrays = to_arrays(network())
    del arrays["0.bias"]
    with ON_META:
        empty = Generator(N_GENES)
    with pytest.raises(ValueError, match=r"missing or left over: '0\.bias'"):
        from_arrays(empty, arrays)


def test_weights_of_another_shape_are_refused():
    arrays = to_arrays(network())
    arrays["0.bias"] = np.zeros(1, dtype=np.float32)
    with ON_META:
        empty = Generator(N_GENES)
    with pytest.raises(ValueError, match=r"'0\.bias' has shape \(1,\), not \(512,\)"):
        from_arrays(empty, arrays)


def test_calibration_takes_means_and_variances_of_the_present_weights():
    made = network()
    made(10 * x())  # statistics to be forgotten
    batches = [x(8), x(16) * 0.5]
    calibrate(made, batches)
    hidden = [made[0](batch).detach().numpy() for batch in batches]
    norm = made[1]
    assert isinstance(norm, BatchNorm)
    np.testing.assert_allclose(
        norm.running_mean, np.mean([h.mean(axis=0) for h in hidden], axis=0), atol=1e-6
    )
    np.testing.assert_allclose(
        norm.running_var, np.mean([h.var(axis=0, ddof=1) for h in hidden], axis=0), atol=1e-6
    )
