"""Peak memory of a stretch of code, without a sampling thread that would disturb what is timed."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from pathlib import Path
from typing import ClassVar, Protocol

import torch

__all__ = ["PeakMemory"]

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


class _Gauge(Protocol):
    source: str

    def start(self) -> int:
        """Forget earlier peaks as far as possible; return the bytes held now."""

    def peak(self) -> int:
        """Return the most bytes held since `start`."""


class PeakMemory:
    """Context manager: how much memory a block took above what was held when it began.

    Memory that an allocator kept from before and hands out again would not show. With glibc it is given back to the
    system at the start; elsewhere the number is a lower bound. Blocks may be nested, in one thread.

    Parameters
    ----------
    device : str or torch.device
        A GPU's allocated memory is counted for ``"cuda"``, this process's resident memory for everything else.

    Attributes
    ----------
    bytes : int or None
        After the block; None where the platform does not tell.
    source : str
        Where the number comes from. ``"resident set"``: Linux's high-water mark, reset at the start.
        ``"process peak"``: growth of the mark since the process began, where it cannot be reset; 0 if an earlier
        peak was higher. ``"CUDA allocator"``: PyTorch's own count. ``"unknown"``: none of these.
    """

    _open: ClassVar[list[PeakMemory]] = []

    def __init__(self, device: str | torch.device = "cpu") -> None:
        self._gauge = _gauge(torch.device(device))
        self._held = self._highest = 0
        self.bytes: int | None = None
        self.source = "unknown" if self._gauge is None else self._gauge.source

    def __enter__(self) -> PeakMemory:
        """Start to measure."""
        if self._gauge is not None:
            for outer in self._open:  # whose mark is about to be reset
                outer._look()
            self._held = self._gauge.start()
            self._highest = self._held
            self._open.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        """Note the peak."""
        if self._gauge is not None:
            self._open.remove(self)
            self._look()
            self.bytes = self._highest - self._held

    def _look(self) -> None:
        assert self._gauge is not None
        self._highest = max(self._highest, self._gauge.peak())


def _gauge(device: torch.device) -> _Gauge | None:
    if device.type == "cuda":
        return _CudaGauge(device)
    if _resident_mark_can_be_reset():
        return _ResidentGauge()
    return None if sys.platform == "win32" else _ProcessGauge()


@cache
def _resident_mark_can_be_reset() -> bool:
    # Asked once, before the first block begins: asking resets the mark.
    try:
        _CLEAR.write_text("5")
        return "VmHWM:" in _STATUS.read_text()
    except OSError:
        return False


class _ResidentGauge:
    """Linux: writing 5 to ``clear_refs`` sets the high-water mark back to what is held."""

    source = "resident set"

    def start(self) -> int:
        if (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
            trim(0)
        _CLEAR.write_text("5")
        return self._field("VmRSS")

    def peak(self) -> int:
        return self._field("VmHWM")

    @staticmethod
    def _field(name: str) -> int:
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
        return 1024 * int(line.split()[1])


class _ProcessGauge:
    """Any Unix: the peak since the process began."""

    source = "process peak"

    def start(self) -> int:
        return self.peak()

    def peak(self) -> int:
        import resource

        # kilobytes, but bytes on macOS
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class _CudaGauge:
    """Memory that PyTorch's tensors take on one GPU."""

    source = "CUDA allocator"

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def start(self) -> int:
        torch.cuda.synchronize(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)
        return torch.cuda.memory_allocated(self.device)

    def peak(self) -> int:
        return torch.cuda.max_memory_allocated(self.device)
