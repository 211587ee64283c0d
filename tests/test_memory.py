"""Peak memory of a block, measured on blocks whose memory is known."""

import sys

import numpy as np
import pytest
import torch

from repro import memory
from repro.memory import PeakMemory

MIB = 1 << 20

resettable = pytest.mark.skipif(not memory._resident_mark_can_be_reset(), reason="the mark cannot be reset here")


def take(mebibytes):
    """Hold so much for a moment; arrays of this size are given back to the system when they are dropped."""
    np.ones(mebibytes * MIB, dtype=np.uint8)


@resettable
def test_a_block_is_charged_with_what_it_took_not_with_what_came_before():
    take(128)
    with PeakMemory() as peak:
        take(64)
        take(32)
    assert peak.source == "resident set"
    # the interpreter may take some pages of its own, and give some back
    assert peak.bytes == pytest.approx(64 * MIB, abs=8 * MIB)


@resettable
def test_memory_held_before_is_not_counted():
    held = np.ones(64 * MIB, dtype=np.uint8)
    with PeakMemory() as peak:
        pass
    assert held.nbytes == 64 * MIB and peak.bytes < 8 * MIB


@resettable
def test_memory_that_the_allocator_kept_counts_when_it_is_used_again():
    def many_small_ones():
        return [torch.ones(MIB // 8) for _ in range(64)]  # too small to be given back when they are dropped

    many_small_ones()
    with PeakMemory() as peak:
        many_small_ones()
    assert peak.bytes > 24 * MIB


@resettable
def test_an_inner_block_does_not_hide_an_outer_ones_peak():
    with PeakMemory() as outer:
        take(96)
        with PeakMemory() as inner:
            take(32)
    assert inner.bytes == pytest.approx(32 * MIB, abs=8 * MIB)
    assert outer.bytes == pytest.approx(96 * MIB, abs=8 * MIB)


@pytest.mark.skipif(sys.platform == "win32", reason="no resource module")
def test_where_the_mark_cannot_be_reset_only_a_new_peak_shows(monkeypatch):
    monkeypatch.setattr(memory, "_resident_mark_can_be_reset", lambda: False)
    with PeakMemory() as first:
        take(256)
    with PeakMemory() as second:
        take(64)
    assert first.source == second.source == "process peak"
    assert 0 <= first.bytes <= 264 * MIB
    assert second.bytes < 8 * MIB


def test_where_nothing_is_told_the_answer_is_none(monkeypatch):
    monkeypatch.setattr(memory, "_resident_mark_can_be_reset", lambda: False)
    monkeypatch.setattr(memory.sys, "platform", "win32")
    with PeakMemory() as peak:
        take(1)
    assert (peak.bytes, peak.source) == (None, "unknown")


@resettable
def test_a_block_that_fails_is_closed():
    with pytest.raises(RuntimeError, match="fails"), PeakMemory() as peak:
        raise RuntimeError("fails")
    assert peak.bytes is not None and PeakMemory._open == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpus_memory_is_the_allocators():
    with PeakMemory("cuda") as peak:
        torch.ones(64 * MIB, dtype=torch.uint8, device="cuda")
    assert (peak.bytes, peak.source) == (64 * MIB, "CUDA allocator")
