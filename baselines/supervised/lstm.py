"""LSTM: a recurrent network over what a convolutional one says of each frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from baselines.features.frames import contrast_in_bytes
from baselines.supervised.moments import learnable_levels
from baselines.supervised.network import IntensityNetwork
from baselines.supervised.training import Show
from repro.data.features import ClipSet, Moments
from repro.learning.augmentation import Augmentation, to_network
from repro.learning.backbones import MIN_SIZE
from repro.learning.finetune import FineTuning, fine_tune
from repro.learning.pretext import BackboneSpec, isolated_randomness
from repro.learning.schedule import Schedule
from repro.learning.seeds import seed_from

__all__ = ["LSTM"]

_CHUNK = 256
"""Pictures that are described at a time."""

_CNN_SHARE = 0.8
"""Of the progress; fine-tuning takes most of the time."""


class SequenceRegressor(nn.Module):
    """One LSTM layer and a linear output of its last step.

    Parameters
    ----------
    n_features : int
    units : int
    dropout : float
    """

    def __init__(self, n_features: int, units: int, dropout: float) -> None:
        super().__init__()
        self.lstm = nn.LSTM(n_features, units, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(units, 1)

    def forward(self, sequences: list[Tensor]) -> Tensor:
        """Map B sequences (T, n_features), of any lengths and on any device, to one number each, (B,)."""
        states, _ = self.lstm(pad_sequence(sequences, batch_first=True).to(self.output.weight.device))
        ends = torch.tensor([len(sequence) - 1 for sequence in sequences])
        last = states[torch.arange(len(states)), ends]  # what is padded comes after it and changes nothing
        intensity: Tensor = self.output(self.dropout(last))[:, 0]
        return intensity


@dataclass
class LSTM(IntensityNetwork):
    """Long short-term memory over fine-tuned features of frames.

    P. Rodriguez, G. Cucurull, J. Gonzalez, J. M. Gonfaus, K. Nasrollahi, T. B. Moeslund and F. X. Roca, "Deep Pain:
    exploiting long short-term memory networks for facial expression classification", IEEE Transactions on Cybernetics
    52(5), 2022 (early access 2017). From the paper and its authors' code: a convolutional network is fine-tuned on
    single frames and their labels, then frozen; its features, standardised by those of the training frames, are the
    input of one LSTM layer of 256 units; a linear layer reads its last step; sequences of 16 frames; Adam and the mean
    squared error. Ours, beside what `IntensityNetwork` says:

    * the convolutional network. The paper's was trained on millions of other faces before, and no such network is at
      hand: it is one of this suite's backbones, trained from scratch as a classifier of the levels of the training
      clips' frames. Where these are not known, or all alike, frames have their clip's;
    * a sequence is a clip, not the frames before each frame: pictures spread over it. Clips of fewer pictures, as of
      maps, are shorter sequences;
    * each clip is learned as it is or mirrored, as drawn anew each time;
    * `contrast` is what the convolutional network sees, rounded to bytes; see `contrast_in_bytes`.

    Parameters
    ----------
    cnn : FineTuning
        The convolutional network and its training.
    units : int
        Of the LSTM layer.
    dropout : float
        Of its last step.
    frames, size, contrast
        See `IntensityNetwork`; of maps, all are looked at.
    epochs, batch_size, learning_rate, weight_decay
        Of the LSTM's training; see `IntensityNetwork`. The optimiser is Adam.

    Attributes
    ----------
    backbone_ : nn.Module
        The convolutional network, without its classifier.
    centre_, deviation_ : Tensor, (d,)
        Mean and standard deviation of its features of training pictures and their mirror images.

    Raises
    ------
    ValueError
        For pictures that are too small for the convolutional network.
    """

    name: ClassVar[str] = "lstm"
    version: ClassVar[int] = 1

    cnn: FineTuning = FineTuning(
        BackboneSpec("resnet50"), Schedule(10, 32, 0.02, "cosine", clip_norm=1.0), Augmentation((0.8, 1.0), 1.1)
    )
    units: int = 256
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Check the size."""
        if self.size < MIN_SIZE:
            raise ValueError(f"size {self.size} is too small for the CNN, which takes {MIN_SIZE} pixels or more")

    def _fit(self, clips: ClipSet, levels: NDArray[np.int64], groups: NDArray[Any]) -> None:
        """Train the CNN on pictures, then the LSTM on its features of clips."""
        moments = clips.features(*self.extractors())
        pictures = self._pictures(moments)
        trained = fine_tune(
            pictures,
            learnable_levels(clips, moments, levels)[0],
            self.n_levels_,
            self.cnn,
            seed=seed_from(self.name, "cnn", self.seed),
            device=self.device,
            checkpoint=self._folder("cnn"),
            keep=True,
            report=self._part(0.0, _CNN_SHARE),
        )
        self.backbone_: nn.Module = trained.backbone  # type: ignore[assignment]
        features = self._describe(pictures)
        self.centre_ = features.mean((0, 1))
        self.deviation_ = features.std((0, 1), correction=0).clamp(min=1e-6)
        generator = torch.Generator().manual_seed(seed_from(self.name, "batches", self.seed))
        with isolated_randomness(seed_from(self.name, "global", self.seed)):
            network = SequenceRegressor(features.shape[-1], self.units, self.dropout).to(self.device)
            self._regress(network, self._sequences(features, moments), levels, generator, start=_CNN_SHARE)

    def _inputs(self, moments: Moments) -> Show:
        """Return what shows the LSTM clips' features."""
        return self._sequences(self._describe(self._pictures(moments)), moments)

    def _pictures(self, moments: Moments) -> Tensor:
        """Return the pictures (M, 3, size, size) uint8 that the CNN sees."""
        return contrast_in_bytes(moments) if self._contrasts(moments) else torch.from_numpy(moments.values)

    @torch.no_grad()
    def _describe(self, pictures: Tensor) -> Tensor:
        """Return features (M, 2, d) of pictures and their mirror images."""
        backbone = self.backbone_.to(self.device)
        rows = []
        for chunk in pictures.split(_CHUNK):
            inputs = to_network(chunk).to(self.device)
            rows.append(torch.stack([backbone(inputs), backbone(inputs.flip(-1))], dim=1).cpu())
        return torch.cat(rows)

    def _sequences(self, features: Tensor, moments: Moments) -> Show:
        """Return what shows clips by sequences of their z-scored features, given those of all moments (M, 2, d)."""
        scores = (features - self.centre_) / self.deviation_
        sequences = scores.transpose(0, 1).split(moments.counts.tolist(), dim=1)

        def show(rows: Tensor, generator: torch.Generator | None, mirrored: bool) -> list[Tensor]:
            mirror = torch.full((len(rows),), int(mirrored))
            if generator is not None:
                mirror = torch.randint(2, (len(rows),), generator=generator)
            return [sequences[i][m] for i, m in zip(rows.tolist(), mirror.tolist(), strict=True)]

        return show
