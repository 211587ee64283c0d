"""Runs an illustration as tables are run: same options, modes and exit statuses; files beside the other figures."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro.files import check_writable
from repro.suite.command import COMPLETE, INCOMPLETE, USAGE, add_options, as_asked, interrupted, parsed, report_failures
from repro.suite.corpus import Corpus
from repro.suite.drawn import write_figure
from repro.suite.engine import Failure, Task
from repro.suite.progress import Progress
from repro.suite.scales import SCALES
from repro.suite.session import Session
from repro.suite.spec import Population, Scale

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["Drawing", "FacesNotShown", "Illustration", "Steps", "main", "run_illustration"]


class FacesNotShown(ValueError):
    """Faces of licensed data would be drawn, and nobody said that they may be."""


class _NotComputed(Exception):
    """The mode computes nothing, and something is missing."""


class _Failed(Exception):
    """Steps failed."""

    def __init__(self, n_tasks: int | None, failures: Sequence[Failure]) -> None:
        super().__init__(f"{len(failures)} steps failed")
        self.n_tasks, self.failures = n_tasks, failures


@dataclass(frozen=True, eq=False)
class Drawing:
    """What an illustration shows.

    Parameters
    ----------
    plot : callable
        From `shown` to the figure; called with the journal's style in force.
    shown : object
        All that the plot depends on; see `repro.suite.drawn.digest_of`.
    frame : DataFrame
        The numbers behind it; its column ``data`` tells simulated data from licensed.
    """

    plot: Callable[[Any], Figure]
    shown: Any
    frame: pd.DataFrame


class Steps:
    """What is computed, or not, before anything can be drawn.

    Parameters
    ----------
    options : Namespace
        Of `repro.suite.command.add_options`.
    session : Session
    progress : Progress

    Attributes
    ----------
    store : Store
    scale : Scale
    remarks : list of str
        What readers of the terminal should know.
    """

    def __init__(self, options: argparse.Namespace, session: Session, progress: Progress) -> None:
        self.options, self.store = options, session.store
        self.scale: Scale = SCALES[options.scale]
        self.remarks: list[str] = []
        self._session, self._progress = session, progress

    @property
    def computing(self) -> bool:
        """Whether the mode is one that computes what is missing."""
        return self.options.mode in ("only-missing", "always")

    def corpora(self, names: Sequence[str]) -> dict[str, Corpus]:
        """Open those of the datasets that were given; if none was, all of them, simulated."""
        roots = {Population(name): Path(root) for name in names if (root := getattr(self.options, name)) is not None}
        given = bool(roots)
        if not given:
            populations = [Population(name) for name in names]
            roots, failures, missing = self._session.simulate(
                populations, self.scale, self._progress, allowed=self.computing
            )
            if missing:
                raise _NotComputed("simulated data")
            if failures:
                raise _Failed(None, failures)
        opened = self._session.corpora(roots, self.scale, given=given)
        return {name: corpus for name, corpus in opened.items() if isinstance(corpus, Corpus)}

    def complete(self, tasks: Sequence[Task]) -> None:
        """Run tasks, unless the mode is one that only looks."""
        if not tasks:
            return
        if not self.computing:
            counts = Counter(task.kind for task in tasks)
            raise _NotComputed(", ".join(f"{counts[kind]} {name}" for kind, name in _KINDS.items() if counts[kind]))
        tasks = as_asked(tasks, self.options)
        self._progress.add(tasks)
        if failures := self._session.engine.run(tasks, self._progress):
            raise _Failed(len(tasks), failures)


_KINDS = {
    "input": "subjects to encode",
    "pretext": "pretext networks",
}


@dataclass(frozen=True)
class Illustration:
    """A figure made of pictures.

    Parameters
    ----------
    name, title : str
    gather : callable
        Brings what is needed into being.
    draw : callable
        From what `gather` returned to the drawing.
    add_own : callable
        Adds the figure's own options; absent ones must do no harm to `gather`, as ``python -m repro all`` has none.
    """

    name: str
    title: str
    gather: Callable[[Steps], Any]
    draw: Callable[[Any], Drawing]
    add_own: Callable[[argparse.ArgumentParser], None]


def main(figure: Illustration, arguments: Sequence[str] | None = None) -> int:
    """Run one illustration from the command line and return the exit status; see :func:`run_illustration`."""
    parser = argparse.ArgumentParser(
        prog=f"python -m repro.{figure.name}", description=figure.title, allow_abbrev=False
    )
    add_options(parser)
    figure.add_own(parser)
    return run_illustration(figure, parsed(parser, arguments))


def run_illustration(figure: Illustration, options: argparse.Namespace, session: Session | None = None) -> int:
    """Gather, draw and write, in a session of its own unless one is given.

    Returns
    -------
    int
        0: complete; 1: a step failed or is left to do, or faces may not be shown in a run of all experiments; 2: the
        options or the data cannot be used; 130: interrupted.
    """
    progress = Progress(figure.name, visible=not options.quiet)
    try:
        for name in ("out", "store"):
            check_writable(getattr(options, name), f"--{name}")
        if session is not None:
            return _run(figure, options, session, progress)
        with Session(options) as own:
            return _run(figure, options, own, progress)
    except _NotComputed as missing:
        sys.stdout.write(f"{figure.name}: not drawn; left to do: {missing}\n")
        return COMPLETE if options.mode == "plan" else INCOMPLETE
    except _Failed as failed:
        return report_failures(figure.name, failed.n_tasks, failed.failures, options)
    except FacesNotShown as error:
        _say(f"{figure.name}: {error}")
        return USAGE if hasattr(options, "show_faces") else INCOMPLETE
    except (ValueError, OSError) as error:
        _say(f"{figure.name}: {error}")
        return USAGE
    except KeyboardInterrupt as error:
        return interrupted(figure.name, options, error)
    finally:
        progress.close()


def _run(figure: Illustration, options: argparse.Namespace, session: Session, progress: Progress) -> int:
    steps = Steps(options, session, progress)
    found = figure.gather(steps)
    progress.close()
    for remark in steps.remarks:
        _say(remark)
    if options.mode == "plan":
        sys.stdout.write(f"{figure.name}: everything is there to be drawn; left to do: nothing\n")
        return COMPLETE
    drawing = figure.draw(found)
    data = "simulated" if (drawing.frame["data"] == "simulated").any() else "licensed"
    folder = options.out / "figures" / data
    written = write_figure(drawing.plot, drawing.shown, drawing.frame, folder, figure.name)
    sys.stdout.write(f"{figure.title} ({data} data)\n")
    _say("written: " + ", ".join(str(path) for path in written))
    return COMPLETE


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
