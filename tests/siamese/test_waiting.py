"""The host does not wait for a GPU while a batch is solved.

Whatever makes a host wait for a device's numbers is an operation that a dispatch mode sees on a CPU too, so that the
code which runs on a GPU is checked without one. On a GPU its own check for synchronisation is used.
"""

from functools import partial

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from repro.siamese import program
from repro.siamese.affine_hull import dissimilarity
from repro.siamese.lasso import Lasso, minimise

WAITING = {
    "_local_scalar_dense",  # bool(), float(), item(), tolist()
    "item",
    "is_nonzero",
    "equal",
    "nonzero",
    "nonzero_numpy",
    "argwhere",
    "masked_select",
    "unique2",
    "_unique2",
    "repeat_interleave",
    "_linalg_check_errors",
    "linalg_cholesky",  # and these raise errors of their own
    "linalg_inv",
    "linalg_solve",
    "_linalg_svd",
    "_linalg_eigh",
}


class Waits(TorchDispatchMode):
    """Note each operation whose result, or its shape, the host has to know."""

    def __init__(self):
        super().__init__()
        self.seen, self.count = [], 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        self.count += 1
        if name in WAITING or name.startswith("index") and self.has_mask(args):
            self.seen.append(name)
        return func(*args, **(kwargs or {}))

    @staticmethod
    def has_mask(args):
        nested = [part for arg in args for part in (arg if isinstance(arg, (list, tuple)) else [arg])]
        return any(isinstance(part, torch.Tensor) and part.dtype == torch.bool for part in nested)


def normal(seed, *shape, shift=0.0):
    return torch.from_numpy(np.random.default_rng(seed).normal(shift, 1, shape))


def problem(batch=20, size=8, equations=6):
    rows = normal(1, batch, equations, size)
    linear = (normal(2, batch, 1, equations) @ rows).squeeze(-2)
    return Lasso(rows.mT @ rows, linear, 0.3 * normal(3, batch, size).abs(), torch.full_like(linear, 1e-14))


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """Take the way that a GPU would."""
    monkeypatch.setattr(program, "minimise", partial(minimise, waits=False))


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: bool((x > 0).all()),
        lambda x: x.sum().item(),
        lambda x: x[x > 0],
        lambda x: (x > 0).nonzero(),
        lambda x: torch.linalg.cholesky(torch.eye(2) + 0 * x.sum()),
    ],
)
def test_the_mode_sees_what_waits(wait):
    with Waits() as mode:
        wait(normal(0, 5).float())
    assert mode.seen


def test_the_loop_does_not_wait():
    with Waits() as mode:
        minimise(problem(), waits=False)
    assert mode.count > 100 and not mode.seen
    with Waits() as mode:
        minimise(problem(), waits=True)
    assert mode.seen


@pytest.mark.parametrize("settings", [{}, {"lambda_i": 0.1}, {"lambda_j": torch.tensor(0.1).double()}])
def test_one_wait_for_a_batch(as_on_a_gpu, settings):
    """It chooses how to factorise. A given weight is checked as well, a wait if it is on a GPU."""
    h_i, h_j = normal(1, 6, 1, 4, 64, shift=1).requires_grad_(), normal(2, 6, 4, 64).requires_grad_()
    with Waits() as mode:
        dissimilarity(h_i, h_j, **settings).value.sum().backward()
    assert mode.count > 100
    checks = len([value for value in settings.values() if value is not None])
    assert mode.seen == (1 + checks) * ["_local_scalar_dense"]


@pytest.mark.parametrize("energy", [1.0, 0.8])
def test_the_way_of_a_gpu_ends_where_that_of_a_cpu_does(monkeypatch, energy):
    """640 pairs, among them hulls that meet, near-duplicates and samples of other sizes; value and gradient to 1e-9."""
    h_i, h_j = normal(1, 640, 5, 16, shift=1), normal(2, 640, 6, 16, shift=-0.5)
    h_i[100:200, 1] = h_i[100:200, 0] + 1e-4 * normal(3, 100, 16)
    h_i[200:300] *= 100
    h_j[300:400, :, 6:] = 0
    h_i[300:400, :, 6:] = 0
    results = []
    for waits in (True, False):
        monkeypatch.setattr(program, "minimise", partial(minimise, waits=waits))
        halves = h_i.clone().requires_grad_(), h_j.clone().requires_grad_()
        found = dissimilarity(*halves, energy=energy)
        assert found.residual.max() < 1e-9
        results.append((found.value.detach(), *torch.autograd.grad(found.value.sum(), halves)))
    (value, *gradients), (other, *others) = results
    size = h_i.square().sum((-2, -1)) + h_j.square().sum((-2, -1))
    assert ((value - other).abs() <= 1e-9 * torch.maximum(value, 1e-8 * size)).all()
    for gradient, expected in zip(gradients, others, strict=True):
        largest = gradient.abs().amax((-2, -1), keepdim=True)
        assert ((gradient - expected).abs() <= 1e-9 * torch.maximum(largest, size.sqrt()[:, None, None])).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu():
    h_i, h_j = normal(1, 8, 1, 4, 64, shift=1), normal(2, 1, 8, 4, 64)
    expected = dissimilarity(h_i, h_j)
    device_i, device_j = h_i.cuda().requires_grad_(), h_j.cuda().requires_grad_()
    found = dissimilarity(device_i, device_j)
    assert torch.allclose(found.value.cpu(), expected.value, rtol=1e-9)
    found.value.sum().backward()
    assert device_i.grad.is_cuda and device_i.grad.isfinite().all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU, whose driver tells what waits")
def test_the_loop_does_not_wait_on_a_gpu():
    on_device = Lasso(*(part.cuda() for part in problem()))
    minimise(on_device)
    torch.cuda.set_sync_debug_mode("error")
    try:
        z = minimise(on_device)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.allclose(z.cpu(), minimise(problem(), waits=False), rtol=1e-9, atol=1e-9)
