"""A whole table within seconds, as a command: inputs, pretext networks, cells, numbers.

``python small_table.py --store DIR --out DIR ...`` takes the options of every table; ``--scale smoke`` is made smaller.
``python small_table.py serve`` imports everything once, and then runs such commands in processes that are forked from
it, which saves seconds each. Commands come on standard input, a JSON list a line:

    ["run", LOG, [SEED, option, ...]]    starts one in a session of its own; the answer is its process id
    ["status", PID]               the answer is null while it runs, then its exit status, or minus the signal
    ["data", LOG, FOLDER]         writes the table's data, in the same way
    ["simulate", LOG, STORE]      writes a simulated dataset into a store, in the same way

Nothing heavy is imported at the top: workers that are spawned import this file, too.
"""

import json
import os
import sys
import traceback
from pathlib import Path


def table():
    from repro.suite.spec import OWN, Column, Row, Table

    rows = (
        Row("jigsaw", ("jigsaw",), "unbc", "jigsaw", pretext=(OWN,), published=False),
        Row("scratch", ("scratch",), "unbc", "scratch", published=False),
    )
    columns = (Column("MSE", "mse", published=False), Column("MAE", "mae", published=False))
    return Table("faults", "A table that is disturbed", "-", ("Method",), rows, columns, "grouped_k_fold")


def scales():
    """Return the smoke scale, for faces that fill the frame; a pretext has three epochs, each with a checkpoint."""
    from dataclasses import replace

    from repro.suite.scales import SCALES

    smoke = SCALES["smoke"]
    pretext = replace(smoke.pretext, schedule=replace(smoke.pretext.schedule, epochs=3, batch_size=8))
    return {**SCALES, "smoke": replace(smoke, input=replace(smoke.input, alignment="none"), pretext=pretext)}


def write_data(root, subjects=8, frames=90, side=32):
    """Write spots that move, in the layout of UNBC-McMaster: one sequence a subject, without pain and then with it."""
    import cv2
    import numpy as np

    y, x = np.mgrid[:side, :side]
    for number in range(subjects):
        video = f"{number:03d}-s{number}/s{number}t1aaaff"
        folders = [Path(root) / name / video for name in ("Images", "Frame_Labels/PSPI")]
        for folder in folders:
            folder.mkdir(parents=True)
        for index in range(frames):
            name = f"s{number}t1aaaff{index + 1:03d}"
            spot = np.exp(-((x - 16 - 6 * np.sin(index / 7)) ** 2 + (y - 12 - number) ** 2) / (30 + index / 3))
            picture = np.stack([90 + 120 * spot, 80 + number + 100 * spot, np.full_like(spot, 60 + index / 2)], -1)
            cv2.imwrite(str(folders[0] / f"{name}.png"), picture.astype(np.uint8))
            (folders[1] / f"{name}_facs.txt").write_text(f"   {(index >= frames // 2) * (1 + number % 3):.7e}\n")
    return 0


def simulate(store):
    """Write a small simulated dataset into a store."""
    from repro.suite.engine import Engine
    from repro.suite.progress import Progress
    from repro.suite.simulation import missing_simulations
    from repro.suite.spec import Simulated
    from repro.suite.store import Store

    _, tasks = missing_simulations(Store(store), {"biovid": ("biovid", Simulated(2, 2, 48, 30))})
    progress = Progress("simulation", visible=False)
    progress.add(tasks)
    with Engine(1) as engine:
        return len(engine.run(tasks, progress))


def run(arguments):
    from repro.suite import command

    command.SCALES = scales()
    return command.main(table(), ["--scale", "smoke", "--device", "cpu", "--quiet", *arguments])


def run_shuffled(words):
    """Run with options; before them comes None, or the seed of the order in which the engine is given its tasks."""
    import random

    from repro.suite.engine import Engine

    seed, *arguments = words
    original = Engine.run

    def shuffled(self, tasks, *more, **named):
        return original(self, random.Random(seed).sample(tasks, len(tasks)), *more, **named)

    if seed is not None:
        Engine.run = shuffled
    return run(arguments)


def start(log, function, argument):
    """Call a function in a child of this process, whose exit status is what it returns; return its process id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.setsid()
        with Path(log).open("ab", buffering=0) as file:
            for number in (1, 2):
                os.dup2(file.fileno(), number)
        status = function(argument)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def status(child):
    done, code = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(code) if done else None


def serve():
    import datasets  # noqa: F401
    import distributed  # noqa: F401
    import safetensors.torch  # noqa: F401
    import torch

    import repro.suite.command
    import repro.suite.tasks  # noqa: F401
    from baselines import METHODS
    from repro.ssd import distill

    METHODS["jigsaw"].load()
    distill(torch.zeros((20, 3, 32, 32), dtype=torch.uint8), segment_length=10)  # loads its kernels
    answers = {
        "run": lambda log, words: start(log, run_shuffled, words),
        "data": lambda log, folder: start(log, write_data, folder),
        "simulate": lambda log, store: start(log, simulate, store),
        "status": status,
    }
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        name, *words = json.loads(line)
        sys.stdout.write(json.dumps(answers[name](*words)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    else:
        raise SystemExit(run(sys.argv[1:]))
