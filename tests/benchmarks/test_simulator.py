"""Speed of the simulator: building a person, a rendered frame, a stored frame, a dataset."""

from __future__ import annotations

import pytest

from repro.data.simulator import BIOVID, UNBC, plan, simulate
from repro.data.simulator.actor import Actor


@pytest.fixture(scope="module", params=[64, 72, 128])
def actor(request):
    return Actor(UNBC, 0, 2, request.param)


def test_building_a_person(benchmark):
    benchmark(Actor, UNBC, 0, 1, 72)


def test_rendering_a_sequence(benchmark, actor):
    spec = plan(UNBC, 3, 1, frames=48)[2]
    script, shot = actor.script(spec), actor.shot(spec)

    def render():
        return sum(1 for _ in actor.person.render(script.performance, shot.background, shot.pose))

    benchmark.extra_info["frames"] = benchmark(render)


@pytest.mark.parametrize("domain", [UNBC, BIOVID], ids=lambda d: d.name)
def test_writing_a_sequence(benchmark, tmp_path, domain):
    actor, spec = Actor(domain, 0, 0, 72), plan(domain, 1, 1, frames=48)[0]
    benchmark.extra_info["frames"] = spec.n_frames
    benchmark(actor.write, tmp_path, spec)


@pytest.mark.parametrize(("domain", "videos"), [(UNBC, 4), (BIOVID, 5)], ids=["unbc", "biovid"])
def test_writing_a_dataset(benchmark, tmp_path, domain, videos):
    """All files of a dataset of 128 pixels by two processes, the processes' start and the people included."""
    roots = (tmp_path / str(k) for k in range(100))

    def fresh():
        return (domain, next(roots)), {"n_subjects": 4, "videos_per_subject": videos, "size": 128, "jobs": 2}

    benchmark.pedantic(simulate, setup=fresh, rounds=2)
    frames = sum(spec.n_frames for spec in plan(domain, 4, videos))
    benchmark.extra_info["frames"] = frames
    # Under --benchmark-disable there is nothing to record.
    if benchmark.stats is not None:
        benchmark.extra_info["frames_per_second"] = frames / benchmark.stats.stats.min
