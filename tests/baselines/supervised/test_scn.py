"""SCN: its settings and its teachers."""

import numpy as np
import pytest

from baselines.supervised import scn as module
from baselines.supervised.scn import SCN, TEACHERS

TINY = {
    "frames": 8,
    "size": 32,
    "width": 1 / 16,
    "teacher_width": 0.125,
    "teacher_epochs": 1,
    "transfer_epochs": 1,
    "epochs": 2,
    "batch_size": 8,
}


def test_the_paper_s_network_is_the_default():
    system = SCN()
    assert (system.width, system.depths, system.teacher, system.contrast) == (1.0, (1, 3, 5, 7), "labels", False)
    assert system.inputs == ("RGB",) and system.optimiser == "sgd"


def test_teachers_give_other_weights_and_tell_of_progress(drawn):
    clips, levels, groups = drawn()
    made = []
    for teacher in TEACHERS:
        told = []
        system = SCN(**{**TINY, "teacher": teacher}).run_with(
            report=lambda share, message, told=told: told.append(share)
        )
        made.append(system.fit(clips, levels, groups).predict(clips))
        assert told == sorted(told) and told[0] > 0 and told[-1] == pytest.approx(1)
    assert not np.allclose(made[0], made[1]) and not np.allclose(made[1], made[2])


@pytest.mark.parametrize("contrast", [False, True])
def test_the_teacher_learns_the_levels_of_frames_as_they_are(drawn, contrast, monkeypatch):
    clips, levels, groups = drawn()
    seen = []
    train = module.fine_tune

    def spy(images, targets, *args, **kwargs):
        seen.append((images, targets))
        return train(images, targets, *args, **kwargs)

    monkeypatch.setattr(module, "fine_tune", spy)
    system = SCN(**TINY, contrast=contrast).fit(clips, levels, groups)
    moments = clips.features(system.extractors()[0])
    ((images, targets),) = seen
    np.testing.assert_array_equal(images, moments.values)
    np.testing.assert_array_equal(targets, clips.moment_levels(moments, levels))


@pytest.mark.parametrize(
    ("options", "message"), [({"teacher": "imagenet"}, "teacher 'imagenet'"), ({"size": 16}, "size 16 is too small")]
)
def test_bad_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SCN(**options)
    assert SCN(size=16, teacher="none").size == 16


def test_maps_are_refused(drawn):
    clips, levels, groups = drawn("SSD(RGB)")
    with pytest.raises(ValueError, match="scn: these clips are shown by maps of segments"):
        SCN(frames=8, size=32).fit(clips, levels, groups)
