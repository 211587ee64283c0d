"""Records by published counts: they add up to what is published, and plan to the keys of real stills."""

import csv
from importlib import resources

import numpy as np
import pytest

from repro.data.encoding import InputSpec
from repro.data.material import Material
from repro.data.schema import Dataset
from repro.data.still_images import still_input
from repro.data.vggface2 import IdentityRecord
from repro.suite.encoding import encoding_tasks
from repro.suite.expected_data import CountedStills, expected_dataset
from repro.suite.still_corpus import StillCorpus


def published():
    with resources.files("repro.data").joinpath("published_counts.csv").open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def count(dataset, quantity):
    return next(
        int(row["count"])
        for row in published()
        if (row["dataset"], row["quantity"], row["subject"], row["level"]) == (dataset, quantity, "", "")
    )


@pytest.mark.parametrize(
    ("name", "subjects", "videos", "frames"),
    [("unbc", "subjects", "sequences", "frames"), ("biovid", "subjects", "videos", "frames")],
)
def test_videos_add_up_to_the_published_counts(name, subjects, videos, frames):
    made = expected_dataset(name)
    assert len(made.subjects) == count(name, subjects)
    assert len(made) == len({record.video for record in made.records}) == count(name, videos)
    assert sum(record.n_frames for record in made.records) == count(name, frames)
    assert all(len(record.levels) == record.n_frames for record in made.records)
    assert not made.simulated


def test_subjects_of_unbc_have_their_published_sequences_and_frames():
    made = expected_dataset("unbc")
    for row in published():
        if row["dataset"] == "unbc" and row["subject"]:
            own = [record.n_frames for record in made.records if record.subject == row["subject"]]
            assert int(row["count"]) == (len(own) if row["quantity"] == "sequences" else sum(own))


def test_levels_of_unbc_are_plausible():
    made = expected_dataset("unbc")
    pain = np.concatenate([record.levels > 0 for record in made.records]).mean()
    assert 0.12 < pain < 0.2  # published: 17.3 %
    assert not any(record.levels.any() for record in made.records if record.subject == "101-mg101")


def test_stills_add_up_to_the_published_counts():
    made = expected_dataset("vggface2")
    assert len(made) == count("vggface2", "identities")
    assert sum(record.n_frames for record in made.records) == count("vggface2", "stills")
    corpus = CountedStills(made)
    sources = corpus.sources(Material(), still_input(InputSpec()))
    assert sum(len(clip) for source in sources for clip in source.clips) == count("vggface2", "stills")


def test_other_datasets_have_no_published_counts():
    with pytest.raises(ValueError, match="'manifest' has no published counts; they are known of unbc, biovid"):
        expected_dataset("manifest")


def test_counted_stills_are_encoded_under_the_keys_of_stills():
    records = [IdentityRecord(f"n{i}", f"n{i}", 3 + i, np.full(3 + i, -1)) for i in range(3)]
    made = Dataset("vggface2", "nowhere", records, content="0", n_levels=0)
    spec = still_input(InputSpec(size=32))
    named, counted = (
        encoding_tasks(corpus(made), spec, "store", material=Material()) for corpus in (StillCorpus, CountedStills)
    )
    assert list(named) == list(counted)
    assert [task.cost for task in named.values()] == [task.cost for task in counted.values()]
