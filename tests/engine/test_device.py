from __future__ import annotations

import os

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.accelerators import cuda, mps
from lightning_fabric.strategies import DDPStrategy, SingleDeviceStrategy
from lightning_fabric.utilities.rank_zero import rank_zero_only

from scgan_perturb._messages import logger
from scgan_perturb.engine import _device
from scgan_perturb.engine._device import device_of, open_fabric, resolve_fabric


def product_dtype(precision: str) -> torch.dtype:
    """What a dense layer computes in."""
    with open_fabric("cpu", precision).autocast():
        return torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype


@pytest.mark.parametrize(
    ("precision", "faster", "expected"),
    [
        ("auto", "bf16-mixed", torch.bfloat16),
        ("auto", "32-true", torch.float32),
        ("32-true", "bf16-mixed", torch.float32),
        ("bf16-mixed", "32-true", torch.bfloat16),
    ],
)
def test_the_faster_precision_is_used_unless_the_user_decides(
    precision, faster, expected, monkeypatch
):
    monkeypatch.setattr(_device, "faster_precision", lambda _: faster)
    assert product_dtype(precision) == expected


def test_lightning_says_nothing_of_precision(caplog):
    caplog.set_level("INFO", logger="lightning_fabric")
    open_fabric("cpu", "bf16-mixed")
    assert not caplog.text


def test_without_a_word_it_is_float32():
    assert product_dtype("32-true") == torch.float32
    assert open_fabric("cpu").device == torch.device("cpu")


@pytest.mark.parametrize(
    ("accelerator", "precision", "match"),
    [
        ("cpu", "16-mixed", "precision must be one of 'auto', '32-true', 'bf16-mixed'"),
        ("abacus", "auto", "accelerator='abacus' cannot be used"),
    ],
)
def test_what_there_is_not_is_named(accelerator, precision, match):
    with pytest.raises(ValueError, match=match):
        open_fabric(accelerator, precision)


@pytest.fixture
def apple(monkeypatch):
    """A computer of Apple, whose GPU Lightning takes where it may choose."""
    monkeypatch.setattr(mps.MPSAccelerator, "is_available", staticmethod(lambda: True))
    monkeypatch.setattr(mps.MPSAccelerator, "setup_device", lambda *_: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_auto_is_the_cpu_on_a_computer_of_apple(apple):
    assert open_fabric("auto").device == torch.device("cpu")
    assert resolve_fabric(None).device == torch.device("cpu")


@pytest.mark.parametrize(
    "choose",
    [
        lambda: open_fabric("mps"),
        lambda: open_fabric("gpu"),
        lambda: resolve_fabric({"accelerator": "mps"}),
        lambda: resolve_fabric(Fabric(accelerator="mps", devices=1)),
    ],
    ids=["mps", "gpu", "options", "fabric"],
)
def test_the_gpu_of_apple_is_refused_with_the_remedy(apple, choose):
    with pytest.raises(ValueError, match=r"no float64\. Use accelerator='cpu'"):
        choose()


TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "fit",
    "RANK": "3",
    "LOCAL_RANK": "1",
    "GROUP_RANK": "1",
    "WORLD_SIZE": "4",
}
SRUN = {
    "SLURM_JOB_NAME": "fit",
    "SLURM_NTASKS": "4",
    "SLURM_NTASKS_PER_NODE": "2",
    "SLURM_NNODES": "2",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
}


@pytest.fixture
def no_wait(monkeypatch):
    """Do not wait for the other processes."""
    monkeypatch.setattr(Fabric, "launch", lambda _: None)


@pytest.fixture
def started():
    """Set what a launcher sets for the last of two processes on each of two machines."""
    yield os.environ.update
    rank_zero_only.rank = 0
    logger.disabled = False


@pytest.mark.parametrize("variables", [TORCHRUN, SRUN], ids=["torchrun", "srun"])
def test_a_launcher_says_which_process_it_is(variables, started, no_wait):
    started(variables)
    fabric = open_fabric("cpu", devices=2, num_nodes=2)
    assert (fabric.world_size, fabric.global_rank, fabric.local_rank) == (4, 3, 1)


@pytest.mark.parametrize("variables", [TORCHRUN, SRUN], ids=["torchrun", "srun"])
def test_other_processes_than_a_launcher_has_started_are_an_error(variables, started):
    started(variables)
    with pytest.raises(ValueError, match="devices=3, num_nodes=2 cannot be used: .*devices=3"):
        open_fabric("cpu", devices=3, num_nodes=2)


@pytest.mark.parametrize(
    ("options", "strategy"),
    [
        ({}, SingleDeviceStrategy),
        ({"devices": "auto"}, SingleDeviceStrategy),  # a processor is one device
        ({"strategy": "ddp"}, DDPStrategy),
        ({"devices": 2}, DDPStrategy),
        ({"num_nodes": 2}, DDPStrategy),
    ],
)
def test_several_processes_average_gradients_and_one_does_if_asked(options, strategy, no_wait):
    assert type(open_fabric("cpu", **options).strategy) is strategy


def test_more_gpus_than_there_are_is_an_error():
    too_many = torch.cuda.device_count() + 1
    with pytest.raises(ValueError, match=r"accelerator='cuda'.* cannot be used: "):
        open_fabric("cuda", devices=too_many)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"devices": 0}, "devices must be a whole number of at least 1, or 'auto', not 0"),
        ({"devices": "2"}, "devices must be .* not '2'"),
        ({"num_nodes": 0}, "num_nodes=0 cannot be used: .*positive integer"),
        ({"strategy": "fsdp"}, "strategy must be one of 'auto', 'ddp', not 'fsdp'"),
    ],
)
def test_devices_that_cannot_be_are_named(options, match):
    with pytest.raises(ValueError, match=match):
        open_fabric("cpu", **options)


def test_the_device_to_apply_models_on_is_found_once_and_errors_each_time():
    found = device_of("cpu")
    assert found == torch.device("cpu")
    assert device_of("cpu") is found  # not found again
    for _ in range(2):
        with pytest.raises(ValueError, match="accelerator='abacus' cannot be used"):
            device_of("abacus")


def test_options_of_the_engine_make_a_fabric_with_the_faster_precision(monkeypatch):
    monkeypatch.setattr(_device, "faster_precision", lambda _: "bf16-mixed")
    assert resolve_fabric(None).strategy.precision.precision == "bf16-mixed"
    asked = resolve_fabric({"accelerator": "cpu", "precision": "32-true"})
    assert asked.strategy.precision.precision == "32-true"


def test_a_fabric_is_used_as_it_is_and_launched_once(monkeypatch):
    launches = []

    def launch(self):
        launches.append(self)

    monkeypatch.setattr(Fabric, "launch", launch)
    given = Fabric(accelerator="cpu", devices=1)
    assert resolve_fabric(given) is given
    assert launches == [given]
    given._launched = True
    assert resolve_fabric(given) is given
    assert launches == [given]


def test_a_fabric_of_several_processes_sends_no_buffers(monkeypatch):
    monkeypatch.setattr(Fabric, "launch", lambda _: None)
    given = resolve_fabric(Fabric(accelerator="cpu", devices=2, strategy="ddp"))
    assert given.strategy._ddp_kwargs == _device._SEND_NO_BUFFERS


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"strategy": "fsdp"}, "fabric uses FSDPStrategy: use one device or strategy='ddp'"),
        ({"precision": "64-true"}, "precision must be one of '32-true', 'bf16-mixed'"),
    ],
)
def test_a_fabric_that_cannot_train_it_is_named(options, match, monkeypatch):
    monkeypatch.setattr(cuda.CUDAAccelerator, "is_available", lambda: True)
    monkeypatch.setattr(cuda, "num_cuda_devices", lambda: 1)
    accelerator = "cuda" if "strategy" in options else "cpu"
    with pytest.raises(ValueError, match=match):
        resolve_fabric(Fabric(accelerator=accelerator, devices=1, **options))
