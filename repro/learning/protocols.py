"""Evaluation protocols: who is trained on and who is tested.

A protocol yields index arrays. It is given the subject of each sample and knows nothing of models, inputs or
files. Arguments are checked at the call, before the first fold. No subject is ever in both parts of a split.
"""

import math
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from repro.learning.seeds import seed_from

Indices = NDArray[np.intp]


class Split(NamedTuple):
    """One fold of a protocol.

    Attributes
    ----------
    fold : int
        From 0.
    train, test : ndarray of int, shapes (n_train,) and (n_test,)
        Indices of the samples, ascending.
    """

    fold: int
    train: Indices
    test: Indices


def leave_one_subject_out(subjects: ArrayLike) -> Iterator[Split]:
    """Test on each subject in turn, train on all others (the paper's protocol for Tables 6 and 7).

    Parameters
    ----------
    subjects : array_like, shape (n,)
        Subject of each sample.

    Returns
    -------
    iterator of Split
        One for each subject, in the sorted order of subjects, whatever the order of samples.

    Raises
    ------
    ValueError
        With fewer than two subjects.
    """
    names, codes = _encode(subjects)
    if len(names) < 2:
        raise ValueError(f"leave-one-subject-out needs at least 2 subjects, got {names.tolist()}")
    return _splits(codes, np.arange(len(names)), len(names))


def grouped_k_fold(subjects: ArrayLike, k: int, seed: int, strata: ArrayLike | None = None) -> Iterator[Split]:
    """Divide the subjects into k folds with about equal numbers of samples.

    Subjects are shuffled, taken from the largest to the smallest, and each joins the fold where the sum of
    squared loads grows least (longest processing time first). With ``strata``, the load of a fold is its
    share of all samples and its share of each stratum, so that, say, samples with pain are spread as well as
    samples are. Every fold holds at least one subject.

    Parameters
    ----------
    subjects : array_like, shape (n,)
        Subject of each sample.
    k : int
        Number of folds, 2 to the number of subjects.
    seed : int
        The same subjects, strata and seed give the same folds, whatever the order of samples.
    strata : array_like, shape (n,), optional
        What to balance besides the number of samples, such as ``levels > 0``.

    Returns
    -------
    iterator of Split
        Folds 0 to k - 1; each sample is tested exactly once.

    Raises
    ------
    ValueError
        For a k out of range, or strata of another length.
    """
    names, codes = _encode(subjects)
    if not 2 <= k <= len(names):
        raise ValueError(f"k must lie between 2 and the number of subjects, {len(names)}, got {k}")
    shares = _shares(codes, len(names), strata)
    # Shuffling decides between subjects of equal size; a stable sort keeps that decision.
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-shares.sum(axis=1)[order], kind="stable")]
    loads = np.zeros((k, shares.shape[1]))
    folds = np.empty(len(names), dtype=np.intp)
    for subject in order:
        fold = int(np.argmin(loads @ shares[subject]))
        folds[subject] = fold
        loads[fold] += shares[subject]
    return _splits(codes, folds, k)


def share_of_videos(
    videos: ArrayLike, subjects: ArrayLike, train_subjects: Sequence[Hashable], share: float, seed: int
) -> Indices:
    """Choose a share of a dataset's videos among those of the training subjects (D18).

    "A + B (30 %)" in the paper's Tables 4 and 5 adds 30 % of all of B's videos to the pretext data. Here they
    are taken from training subjects only, so that no held-out subject enters the pretext data. They are
    spread over those subjects as evenly as their numbers of videos allow, and they are nested: for the same
    seed and training subjects, the videos of a smaller share are among those of a larger one.

    Parameters
    ----------
    videos, subjects : array_like, shape (n,)
        Video and subject of each sample of the dataset, held-out subjects included. A video is identified by
        its subject and its name together, and may have several samples (clips).
    train_subjects : sequence
        Subjects to choose from; each must occur in ``subjects``.
    share : float
        Above 0 and at most 1, of all videos in ``videos``; the number of videos is rounded half up and is at
        least 1.
    seed : int

    Returns
    -------
    ndarray of int, shape (m,)
        Indices of all samples of the chosen videos, ascending.

    Raises
    ------
    ValueError
        When the training subjects have fewer videos than the share asks for, or for malformed arguments.
    """
    return VideosInTurn(videos, subjects, seed).share(train_subjects, share)


class VideosInTurn:
    """A dataset's videos in the order in which shares are filled, for many choices by one seed: `share_of_videos`.

    Every prefix of the order, and of what is left of it for some subjects, takes from each subject about equally often.
    A subject's own order of videos is hashed from the seed and the names, hence the same whoever else trains.

    Parameters
    ----------
    videos, subjects, seed
        As for `share_of_videos`.

    Raises
    ------
    ValueError
        For malformed arguments.
    """

    def __init__(self, videos: ArrayLike, subjects: ArrayLike, seed: int) -> None:
        video_names, subject_names = np.asarray(videos), _column(subjects, "subjects")
        if video_names.shape != subject_names.shape:
            raise ValueError(f"{video_names.shape} videos do not match {subject_names.shape} subjects")
        pairs = list(zip(subject_names.tolist(), video_names.tolist(), strict=True))
        place_of = {pair: place for place, pair in enumerate(_in_turn(dict.fromkeys(pairs), seed))}
        self._codes: dict[Hashable, int] = {}
        for subject, _ in place_of:
            self._codes.setdefault(subject, len(self._codes))
        self._subject = np.array([self._codes[subject] for subject, _ in place_of], dtype=np.intp)
        self._place = np.array([place_of[pair] for pair in pairs], dtype=np.intp)

    def share(self, train_subjects: Sequence[Hashable], share: float) -> Indices:
        """Choose a share of the videos among those of the training subjects; see `share_of_videos`."""
        if not 0 < share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, got {share}")
        unknown = [subject for subject in train_subjects if subject not in self._codes]
        if unknown:
            raise ValueError(f"training subjects without a video in the dataset: {unknown}")
        allowed = np.zeros(len(self._codes), dtype=bool)
        allowed[[self._codes[subject] for subject in train_subjects]] = True
        candidates = np.flatnonzero(allowed[self._subject])
        wanted = max(1, math.floor(share * len(self._subject) + 0.5))
        if wanted > len(candidates):
            raise ValueError(
                f"{share:.0%} of {len(self._subject)} videos are {wanted}, but the {allowed.sum()} training"
                f" subjects have {len(candidates)}: lower the share or train on more subjects"
            )
        chosen = np.zeros(len(self._subject), dtype=bool)
        chosen[candidates[:wanted]] = True
        return np.flatnonzero(chosen[self._place])


def few_labels(levels: ArrayLike, n: int, seed: int) -> Indices:
    """Choose the n samples of a training set whose labels are known, for learning from few labels.

    Samples with pain (a level above 0) and without are drawn in the proportion of the whole set, so that neither is
    missing by chance. Choices are nested: those of a smaller n are among those of a larger one.

    Parameters
    ----------
    levels : array_like, shape (N,)
    n : int
    seed : int

    Returns
    -------
    ndarray of int, shape (n,)
        Indices, ascending.

    Raises
    ------
    ValueError
        If n is below 2 or above N.
    """
    values = _column(levels, "levels")
    if not 2 <= n <= len(values):
        raise ValueError(f"{n} labelled clips cannot be drawn from {len(values)} training clips; ask for 2 to all")
    order = np.random.default_rng(seed).permutation(len(values))
    place = np.empty(len(values))
    for pain in (False, True):
        own = order[(values.astype(np.float64)[order] > 0) == pain]
        place[own] = (np.arange(len(own)) + 0.5) / max(1, len(own))
    return np.sort(np.argsort(place, kind="stable")[:n])


def _in_turn(pairs: Iterable[tuple[Hashable, Any]], seed: int) -> list[tuple[Hashable, Any]]:
    """Order different (subject, video) pairs so that every prefix takes from each subject about equally often."""
    by_subject: dict[Hashable, list[Any]] = {}
    for subject, video in pairs:
        by_subject.setdefault(subject, []).append(video)
    ranked: list[tuple[int, int, Hashable, Any]] = []
    for subject, own in by_subject.items():
        turn = seed_from("share_of_videos", seed, str(subject))
        keyed = sorted((seed_from("share_of_videos", seed, str(subject), str(video)), video) for video in own)
        ranked += [(place, turn, subject, video) for place, (_, video) in enumerate(keyed)]
    ranked.sort(key=lambda row: row[:2])
    return [(subject, video) for _, _, subject, video in ranked]


def _column(values: ArrayLike, name: str) -> NDArray[np.generic]:
    array = np.asarray(values)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} must be a non-empty 1-D array, got shape {array.shape}")
    return array


def _encode(subjects: ArrayLike) -> tuple[NDArray[np.generic], Indices]:
    """Return the sorted subjects and each sample's position among them."""
    names, codes = np.unique(_column(subjects, "subjects"), return_inverse=True)
    return names, codes


def _shares(codes: Indices, n_subjects: int, strata: ArrayLike | None) -> NDArray[np.float64]:
    """Return (n_subjects, 1 + n_strata): each subject's share of all samples and of each stratum."""
    counts = [np.bincount(codes, minlength=n_subjects)]
    if strata is not None:
        labels = _column(strata, "strata")
        if labels.shape != codes.shape:
            raise ValueError(f"{labels.shape} strata do not match {codes.shape} subjects")
        counts += [np.bincount(codes[labels == s], minlength=n_subjects) for s in np.unique(labels)]
    table = np.stack(counts, axis=1).astype(np.float64)
    return table / table.sum(axis=0)


def _splits(codes: Indices, fold_of_subject: Indices, n_folds: int) -> Iterator[Split]:
    fold_of_sample = fold_of_subject[codes]
    for fold in range(n_folds):
        tested = fold_of_sample == fold
        yield Split(fold, np.flatnonzero(~tested), np.flatnonzero(tested))
