"""What a CPU can show of a captured step: when it is run, captured and replayed, and on what."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch

from scgan_perturb.training._captured import WARM_UP, Captured


class Graph:
    """A CUDA graph's part: what was called while it was captured, it calls again on the same memory."""

    captured: Graph | None = None

    def replay(self) -> None:
        self.function()


class Capture:
    """`torch.cuda.graph`: nothing is computed while it is captured."""

    def __init__(self, graph: Graph, stream: object) -> None:
        Graph.captured = graph

    def __enter__(self) -> None: ...

    def __exit__(self, *_) -> None:
        Graph.captured = None


class Stream:
    def wait_stream(self, other: object) -> None: ...


@pytest.fixture(autouse=True)
def device(monkeypatch):
    """A stand-in for the parts of `torch.cuda` that need a device."""
    fakes = {
        "Stream": Stream,
        "CUDAGraph": Graph,
        "graph": Capture,
        "stream": lambda _: nullcontext(),
        "current_stream": Stream,
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)


class Sum:
    """Adds what it is given to a state that stays, and returns the state."""

    def __init__(self) -> None:
        self.state, self.output = torch.zeros(2), torch.zeros(2)
        self.n_python_runs = 0

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        self.n_python_runs += 1
        if Graph.captured is not None:
            Graph.captured.function = lambda: self.compute(x)
        else:
            self.compute(x)
        return self.output

    def compute(self, x: torch.Tensor) -> None:
        self.state += x
        self.output.copy_(self.state)


def test_each_call_does_what_the_function_does():
    plain, captured = Sum(), Captured(function := Sum())
    for value in range(8):
        x = torch.tensor([float(value), -1.0])
        torch.testing.assert_close(captured(x), plain(x))
        x.zero_()  # the graph keeps its own copy
    torch.testing.assert_close(function.state, plain.state)


def test_it_is_captured_once():
    captured = Captured(function := Sum())
    for _ in range(WARM_UP + 5):
        captured(torch.ones(2))
    assert function.n_python_runs == WARM_UP + 1
