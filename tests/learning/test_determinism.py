"""Deterministic algorithms: what is set, that it is undone, what is refused, and that a CPU's numbers stay."""

import os
import pickle
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch

from repro.learning.backbones import build
from repro.learning.determinism import CUBLAS_SETTINGS, deterministic, run_deterministically
from repro.learning.finetune import FineTuning, fine_tune, predict
from repro.learning.pretext import BackboneSpec
from repro.learning.schedule import Schedule

VARIABLE = "CUBLAS_WORKSPACE_CONFIG"


@pytest.fixture(autouse=True)
def no_setting(monkeypatch):
    monkeypatch.setenv(VARIABLE, "")  # so that what a test sets is undone
    monkeypatch.delenv(VARIABLE)


def settings():
    cudnn = torch.backends.cudnn
    return (
        torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled(),
        cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32,
    )  # fmt: skip


def test_everything_is_set_and_undone():
    before = settings()
    with pytest.raises(KeyError), deterministic():
        assert settings() == (True, False, True, False, False, False)
        assert os.environ[VARIABLE] == CUBLAS_SETTINGS[0]
        raise KeyError
    assert settings() == before


def test_cublas_settings_that_do_not_suffice_are_refused(monkeypatch):
    monkeypatch.setenv(VARIABLE, ":16:8")
    with deterministic():
        assert os.environ[VARIABLE] == ":16:8"
    monkeypatch.setenv(VARIABLE, ":0:0")
    with pytest.raises(ValueError, match="':0:0'.*unset it or use one of :4096:8, :16:8"), deterministic():
        pass
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr("torch.cuda.is_initialized", lambda: True)
    with pytest.raises(ValueError, match="set CUBLAS_WORKSPACE_CONFIG=:4096:8 where it is started"), deterministic():
        pass
    assert not torch.are_deterministic_algorithms_enabled()


def note(path, report):
    report(torch.are_deterministic_algorithms_enabled(), path)


def test_a_bound_function_can_be_sent_elsewhere():
    told = []
    sent = pickle.loads(pickle.dumps(partial(run_deterministically, note)))
    sent(path="here", report=lambda *what: told.append(what))
    assert told == [(True, "here")]


def scores(device="cpu", dims=2, seed=5):
    rng = np.random.default_rng(seed)
    shape = (24, 3, 32, 32) if dims == 2 else (24, 4, 3, 32, 32)
    images = torch.from_numpy(rng.integers(0, 256, shape, dtype=np.uint8))
    levels = np.arange(24) % 3
    spec = BackboneSpec("resnet18", width=0.125, dims=dims)
    settings = FineTuning(spec, Schedule(2, 8, 0.02, "cosine"))
    network = fine_tune(images, levels, 3, settings, seed=7, device=device)
    return predict(network, images).tobytes()


def test_a_cpu_gives_the_same_bytes_with_and_without():
    plain = scores()
    with deterministic():
        assert scores() == plain


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

TWICE = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("test_determinism", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
with module.deterministic():
    sys.stdout.write(module.scores("cuda").hex())
"""


@needs_gpu
def test_a_gpu_gives_the_same_bytes_in_two_processes():
    found = [
        subprocess.run([sys.executable, "-c", TWICE, __file__], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert found[0] and found[0] == found[1]


@needs_gpu
def test_an_operation_without_a_deterministic_form_fails_and_is_named():
    pool = torch.nn.AdaptiveAvgPool2d(3)
    images = torch.rand(2, 3, 8, 8, device="cuda", requires_grad=True)
    with pytest.raises(RuntimeError, match="adaptive_avg_pool2d"), deterministic():
        pool(images).sum().backward()


@needs_gpu
@pytest.mark.parametrize("name", ["resnet18", "resnet50", "inception_v1"])
def test_networks_can_be_trained_deterministically(name):
    network = build(name, width=0.125, generator=torch.Generator().manual_seed(0)).cuda()
    with deterministic():
        network(torch.rand(2, 3, 64, 64, device="cuda")).sum().backward()
