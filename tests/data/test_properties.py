"""What is written is read back, whatever it is; anything else is a `DataError` and no other error."""

from __future__ import annotations

import csv
import string
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from repro.data import DataError, open_dataset
from repro.data.openface import N_LANDMARKS, POSE, OpenFace, read_openface
from repro.data.unbc_labels import MAX_COORDINATE, MAX_PSPI, parse_facs, parse_points, parse_pspi
from repro.data.vggface2_files import parse_names

few = settings(max_examples=50, deadline=None, derandomize=True)

STYLES = ("{:d}", "{:.1f}", "{:.7e}", "   {:.7e}\n", "+{:d}\r\n", "{:g}\t", "{:E}")


@few
@given(st.integers(0, MAX_PSPI), st.sampled_from(STYLES))
def test_pspi_in_any_style_is_read(level: int, style: str) -> None:
    assert parse_pspi("f.txt", style.format(level).encode()) == level


def _is_pspi(content: bytes) -> bool:
    """Whether a file holds one whole number in 0..16, judged by its characters first."""
    text = content.decode("latin-1").strip(string.whitespace)
    if not text or set(text) - set("0123456789+-.eE"):
        return False
    try:
        return float(text) in range(MAX_PSPI + 1)
    except ValueError:
        return False


@few
@given(st.binary(max_size=24) | st.text("0123456789+-._eE naif\n", max_size=8).map(str.encode))
def test_anything_else_than_a_pspi_is_an_error(content: bytes) -> None:
    if _is_pspi(content):
        assert parse_pspi("f.txt", content) == float(content)
    else:
        with pytest.raises(DataError, match=r"^f\.txt: .*copy the labels again"):
            parse_pspi("f.txt", content)


CODED = st.dictionaries(st.integers(1, 64), st.integers(0, 5) | st.floats(0, 5, width=32), max_size=8).map(
    lambda units: {unit: min(level, 1) if unit == 43 else level for unit, level in units.items()}
)
ROWS = (
    " {0:.7e} {1!r} 0.0000000e+00 0.0000000e+00\n",
    "{0} {1!r} 0 0\r\n",
    "   {0}.0\t{1!r}\n",
    "{0:+d}  {1!r}  1  2  \n\n",
)


@few
@given(CODED, st.sampled_from(ROWS), st.lists(st.integers(-9, 0), max_size=2))
def test_action_units_in_any_style_are_read(units: dict[int, float], row: str, skipped: list[int]) -> None:
    text = "".join(row.format(unit, float(level)) for unit, level in [*units.items(), *((s, 5) for s in skipped)])
    assert parse_facs("f.txt", text.encode()) == units


@few
@given(arrays(np.float64, (66, 2), elements=st.floats(-MAX_COORDINATE, MAX_COORDINATE)))
def test_landmarks_are_read_to_single_precision(points: np.ndarray) -> None:
    text = "".join(f"   {x!r}   {y!r}\n" for x, y in points.tolist())
    np.testing.assert_array_equal(parse_points("p.txt", text.encode()), points.astype(np.float32))


ANYTHING = st.binary(max_size=60) | st.text("0123456789+-._eE naif\n\t", max_size=60).map(str.encode)


@few
@given(ANYTHING)
def test_any_other_text_is_told_with_the_file(content: bytes) -> None:
    with pytest.raises(DataError, match=r"^p\.txt: expected 66 rows"):
        parse_points("p.txt", content)
    try:
        units = parse_facs("f.txt", content)
    except DataError as error:
        assert str(error).startswith("f.txt: expected rows of action unit and intensity")
    else:
        assert all(unit > 0 and 0 <= level <= 5 for unit, level in units.items())


WORDS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\r\n/\\", exclude_categories=("Cc", "Cs")),
    min_size=1,
    max_size=12,
).map(str.strip)
NAMES = WORDS.filter(lambda name: name.strip(".") and len(name.encode()) < 60)


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    import cv2

    path = tmp_path_factory.mktemp("clip") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (32, 24))
    for _ in range(9):
        writer.write(np.full((24, 32, 3), 90, np.uint8))
    writer.release()
    return path


PARTS = st.tuples(st.integers(0, 8), st.integers(1, 9)).filter(lambda part: part[0] < part[1]) | st.none()


@few
@given(
    rows=st.lists(
        st.tuples(NAMES, WORDS.filter(bool), st.integers(0, 1000), PARTS),
        min_size=1,
        max_size=5,
        unique_by=lambda r: r[0],
    ),
    bom=st.booleans(),
)
def test_a_manifest_gives_back_its_rows(tmp_path_factory, clip: Path, rows: list, bom: bool) -> None:
    """Names with blanks, commas, quotation marks, and letters of any script."""
    folder = tmp_path_factory.mktemp("mine")
    with (folder / "videos.csv").open("w", newline="", encoding="utf-8-sig" if bom else "utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["video", "subject", "label", "start", "end"])
        for name, subject, label, part in rows:
            (folder / f"{name}.avi").symlink_to(clip)
            writer.writerow([f"{name}.avi", subject, label, *(part or ("", ""))])
    data = open_dataset("manifest", folder / "videos.csv")
    for record, (name, subject, label, part) in zip(data.records, rows, strict=True):
        start, stop = part or (0, 9)
        assert (record.subject, record.video) == (subject, f"{name}@{start}-{stop}" if part else name)
        assert record.levels.tolist() == [label] * (stop - start)
    assert data.n_levels == max(row[2] for row in rows) + 1


@few
@given(
    st.dictionaries(
        st.from_regex(r"n[0-9]{6}", fullmatch=True),
        st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=20),
        max_size=5,
    ),
)
def test_names_of_identities_are_read(tmp_path_factory, people: dict[str, str]) -> None:
    path = tmp_path_factory.getbasetemp() / "identity_meta.csv"
    rows = [f'{identity}, "{name}",315,1, f,\n' for identity, name in people.items()]
    path.write_text("Class_ID, Name, Sample_Num, Flag, Gender\n" + "".join(rows), encoding="utf-8")
    assert parse_names(path) == people


def write_openface(path: Path, face: OpenFace, blank: str, order: list[str]) -> None:
    """Write OpenFace's CSV with its columns in any order; frames without a face are zeros, as OpenFace writes them."""
    n_frames = len(face.success)
    columns: dict[str, np.ndarray] = {
        "frame": np.arange(1, n_frames + 1),
        "confidence": face.confidence,
        "success": face.success.astype(int),
    }
    columns |= {f"x_{p}": face.landmarks[:, p, 0] for p in range(N_LANDMARKS)}
    columns |= {f"y_{p}": face.landmarks[:, p, 1] for p in range(N_LANDMARKS)}
    columns |= {name: face.pose[:, k] for k, name in enumerate(POSE)} if face.pose is not None else {}
    columns |= {f"AU{unit:02d}_r": values for unit, values in face.intensities.items()}
    columns |= {f"AU{unit:02d}_c": values for unit, values in face.presences.items()}
    names = sorted(columns, key=lambda name: (order + [name]).index(name))
    table = [[repr(np.nan_to_num(columns[name])[f].item()) for name in names] for f in range(n_frames)]
    path.write_text("\n".join(f",{blank}".join(row) for row in [names, *table]) + "\n")


@few
@given(
    n_frames=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
    blank=st.sampled_from(["", " "]),
    with_pose=st.booleans(),
    units=st.lists(st.sampled_from([1, 4, 6, 9, 12, 25, 45]), unique=True),
    first=st.permutations(["AU45_c", "x_3", "frame", "success", "pose_Rz"]),
)
def test_openface_files_are_read_back(tmp_path_factory, n_frames, seed, blank, with_pose, units, first) -> None:
    random = np.random.default_rng(seed)
    success = random.random(n_frames) < 0.7

    def draw(low: float, high: float, *shape: int) -> np.ndarray:
        values = random.uniform(low, high, (n_frames, *shape)).astype(np.float32)
        values[~success] = np.nan
        return values

    face = OpenFace(
        landmarks=draw(-500, 2000, N_LANDMARKS, 2),
        pose=draw(-900, 900, 6) if with_pose else None,
        intensities={unit: draw(0, 5) for unit in units},
        presences={unit: np.round(draw(0, 1)) for unit in units},
        success=success,
        confidence=np.where(success, random.uniform(0, 1, n_frames), 0).astype(np.float32),
    )
    path = tmp_path_factory.getbasetemp() / "openface.csv"
    write_openface(path, face, blank, list(first))
    read = read_openface(path, n_frames=n_frames)
    for name in ("landmarks", "success", "confidence", "intensities", "presences"):
        np.testing.assert_equal(getattr(read, name), getattr(face, name))
    assert (read.pose is None) == (face.pose is None)
    if with_pose:
        np.testing.assert_equal(read.pose, face.pose)
