"""LSTM: what its CNN learns from, standardised features, and sequences of many lengths."""

import numpy as np
import pytest
import torch

from baselines.features.frames import contrast_in_bytes
from baselines.supervised import lstm as module
from baselines.supervised.lstm import LSTM, SequenceRegressor
from repro.data.features import Moments
from repro.learning.augmentation import Augmentation
from repro.learning.finetune import FineTuning
from repro.learning.pretext import BackboneSpec
from repro.learning.schedule import Schedule

CNN = FineTuning(
    BackboneSpec("resnet18", 0.125), Schedule(1, 16, 0.02, "cosine", clip_norm=1.0), Augmentation((0.8, 1.0), 1.1)
)
TINY = {"frames": 6, "size": 32, "cnn": CNN, "units": 8, "epochs": 3, "batch_size": 8}


def test_the_paper_s_network_is_the_default():
    system = LSTM()
    assert (system.frames, system.units, system.optimiser, system.contrast) == (16, 256, "adam", False)
    assert system.describe()["cnn"]["backbone"]["name"] == "resnet50"


def test_pictures_too_small_for_the_cnn_are_refused():
    with pytest.raises(ValueError, match="size 16 is too small"):
        LSTM(size=16)


def test_the_regressor_reads_the_last_step_of_each_sequence():
    torch.manual_seed(0)
    made = SequenceRegressor(5, 4, dropout=0.0)
    generator = torch.Generator().manual_seed(0)
    sequences = [torch.randn(length, 5, generator=generator) for length in (6, 1, 3)]
    for sequence, answer in zip(sequences, made(sequences), strict=True):
        last = made.lstm(sequence)[0][-1]
        torch.testing.assert_close(answer, made.output(last)[0])


@pytest.mark.parametrize(("kind", "contrast"), [("RGB", False), ("RGB", True), ("SSD(RGB)", True)])
def test_the_cnn_learns_the_levels_of_pictures(drawn, kind, contrast, monkeypatch):
    clips, levels, groups = drawn(kind)
    seen = []
    train = module.fine_tune

    def spy(images, targets, *args, **kwargs):
        seen.append((images, targets))
        return train(images, targets, *args, **kwargs)

    monkeypatch.setattr(module, "fine_tune", spy)
    system = LSTM(**TINY, contrast=contrast).fit(clips, levels, groups)
    moments = clips.features(system.extractors()[0])
    ((images, targets),) = seen
    if kind == "RGB" and contrast:
        assert torch.equal(images, contrast_in_bytes(moments))
    else:
        np.testing.assert_array_equal(images, moments.values, "maps are left as they are")
    np.testing.assert_array_equal(targets, clips.moment_levels(moments, levels))


def test_clips_are_learned_as_they_are_or_mirrored():
    system = LSTM(**TINY)
    system.centre_, system.deviation_ = torch.tensor([1.0]), torch.tensor([2.0])
    moments = Moments(np.zeros((5, 1), np.uint8), np.array([2, 3]), np.zeros((5, 2), np.int64))
    features = torch.arange(10.0).view(5, 2, 1)  # of each moment as it is and mirrored
    show = system._sequences(features, moments)
    plain, mirrored = ([(side + np.array(t)) / 2 - 0.5 for t in ([4, 6, 8], [0, 2])] for side in (0, 1))
    rows = torch.tensor([1, 0])
    for mirror, expected in ((False, plain), (True, mirrored)):
        for made, sequence in zip(show(rows, None, mirror), expected, strict=True):
            np.testing.assert_allclose(made[:, 0], sequence)
    drawn = show(rows.repeat(100), torch.Generator().manual_seed(0), False)
    share = np.mean([sequence[0, 0] == 1.5 for sequence in drawn[::2]])
    assert 0.3 < share < 0.7  # 100 draws: a standard error of .05


def test_features_are_standardised_by_those_of_training(drawn):
    clips, levels, groups = drawn()
    system = LSTM(**TINY).fit(clips, levels, groups)
    moments = clips.features(system.extractors()[0])
    sequences = system._inputs(moments)
    rows = torch.arange(len(clips))
    scores = torch.cat([sequence for mirrored in (False, True) for sequence in sequences(rows, None, mirrored)])
    varying = system.deviation_ > 1e-6
    assert varying.float().mean() > 0.5
    zero, one = torch.zeros(int(varying.sum())), torch.ones(int(varying.sum()))
    torch.testing.assert_close(scores[:, varying].mean(0), zero, atol=1e-4, rtol=0)
    torch.testing.assert_close(scores[:, varying].std(0, correction=0), one, atol=1e-3, rtol=0)
