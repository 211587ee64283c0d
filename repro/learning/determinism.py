"""The same numbers again on a GPU, as far as PyTorch and CUDA can promise it.

On a CPU nothing of this is needed: tasks run on one thread, take their randomness from seeds of their own, and give the
same bytes on the same machine. A GPU adds in an order that differs from run to run unless it is told otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

__all__ = ["CUBLAS_SETTINGS", "deterministic", "run_deterministically"]

CUBLAS_SETTINGS = (":4096:8", ":16:8")
"""Values of ``CUBLAS_WORKSPACE_CONFIG`` with which cuBLAS is deterministic; the first is the faster one."""

_VARIABLE = "CUBLAS_WORKSPACE_CONFIG"


@contextmanager
def deterministic() -> Iterator[None]:
    """Use deterministic algorithms only, and full float32 precision, until the block is left.

    PyTorch's deterministic algorithms are switched on, cuDNN's choice by trial and TensorFloat-32 off, and cuBLAS is
    given a workspace of fixed size, for which it looks when a process first uses it. An operation that has no
    deterministic form on a GPU raises `RuntimeError`, which names it.

    Raises
    ------
    ValueError
        If cuBLAS has been started without such a workspace, or the environment asks for another one.
    """
    _prepare_cublas()
    cuda, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        cudnn.deterministic,
        cudnn.benchmark,
        cudnn.allow_tf32,
        cuda.allow_tf32,
    )
    torch.use_deterministic_algorithms(True)
    cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, cuda.allow_tf32 = True, False, False, False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, cuda.allow_tf32 = before[2:]


def run_deterministically(function: Callable[..., None], /, **arguments: Any) -> None:
    """Call a function within `deterministic`; bound to a function, it can be sent to another process."""
    with deterministic():
        function(**arguments)


def _prepare_cublas() -> None:
    value = os.environ.get(_VARIABLE)
    if value is None and torch.cuda.is_initialized():
        raise ValueError(
            f"this process has used its GPU without {_VARIABLE}, so that cuBLAS is not deterministic; set "
            f"{_VARIABLE}={CUBLAS_SETTINGS[0]} where it is started"
        )
    if value is not None and value not in CUBLAS_SETTINGS:
        raise ValueError(
            f"{_VARIABLE} is {value!r}, with which cuBLAS is not deterministic; unset it or use one of "
            f"{', '.join(CUBLAS_SETTINGS)}"
        )
    os.environ[_VARIABLE] = value or CUBLAS_SETTINGS[0]
