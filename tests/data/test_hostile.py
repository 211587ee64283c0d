"""Damaged and malicious files: each is named with a remedy, left out in the ledger, or documented as harmless."""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from repro.data import DataError, Dataset, DatasetUnavailable, open_dataset

Damage = Callable[[Path], object]

SEQUENCE = "042-ll042/ll042t1aaaff"
IMAGE = f"Images/{SEQUENCE}/ll042t1aaaff002.png"
PSPI = f"Frame_Labels/PSPI/{SEQUENCE}/ll042t1aaaff002_facs.txt"
FACS = f"Frame_Labels/FACS/{SEQUENCE}/ll042t1aaaff002_facs.txt"
AAM = f"AAM_landmarks/{SEQUENCE}/ll042t1aaaff002_aam.txt"
VAS = "Sequence_Labels/VAS/042-ll042/ll042t1aaaff.txt"
CLIPS = "PartA/video/071309_w_21"
CLIP = f"{CLIPS}/071309_w_21-PA1-001.mp4"
OPENFACE = "OpenFace/071309_w_21/071309_w_21-PA1-001.csv"
SAMPLES = "PartA/starting_point/samples.csv"
BOXES = "bb_landmark/loose_bb_train.csv"
NAMES = "meta/identity_meta.csv"
STILL = "train/n000002/0001_01.jpg"
MANIFEST = "videos.csv"
NOISE = np.random.default_rng(0).bytes(500)


@pytest.fixture
def make(tmp_path, make_unbc, make_biovid, make_video) -> Callable[[str], Path]:
    """Write a sound dataset of that name and return its folder."""

    def vggface2() -> Path:
        root = tmp_path / "vggface2"
        (root / "bb_landmark").mkdir(parents=True)
        for name in ("n000002/0001_01", "n000003/0001_02"):
            (root / "train" / name).parent.mkdir(parents=True)
            cv2.imwrite(str(root / "train" / f"{name}.jpg"), np.full((40, 30, 3), 90, np.uint8))
        (root / BOXES).write_text('NAME_ID,X,Y,W,H\n"n000002/0001_01",-4,2,10,20\n"n000003/0001_02",1,2,9,9\n')
        (root / NAMES).parent.mkdir()
        (root / NAMES).write_text(
            "Class_ID, Name, Sample_Num, Flag, Gender\n"
            'n000002, "A_Person,_Jr.",1,1, f,\nn000003, "Another_Person",1,1, m,\n'
        )
        return root

    def manifest() -> Path:
        root = tmp_path / "mine"
        for name in ("a", "b"):
            make_video(root / "clips" / f"{name}.mp4")
        (root / MANIFEST).write_text("video,subject,label,start,end\nclips/a.mp4,ann,0,,\nclips/b.mp4,bob,3,1,5\n")
        return root

    writers = {
        "unbc": make_unbc,
        "biovid": lambda: make_biovid(subjects=("071309_w_21",), openface=True),
        "vggface2": vggface2,
        "manifest": manifest,
    }
    return lambda name: writers[name]()


def use(name: str, root: Path, strict: bool) -> Dataset:
    """Open a dataset and read everything in it."""
    data = open_dataset(name, root / MANIFEST if name == "manifest" else root, strict=strict)
    data.verify()
    for record in data.records:
        if name != "vggface2":
            assert record.frames().shape[:2] == (record.n_frames, 3)
            record.landmarks()
    return data


# Damage: each function takes a dataset's folder.


def put(file: str, content: str | bytes) -> Damage:
    return lambda root: (root / file).write_bytes(content if isinstance(content, bytes) else content.encode())


def append(file: str, content: str) -> Damage:
    return lambda root: put(file, (root / file).read_bytes() + content.encode())(root)


def swap(file: str, old: str, new: str) -> Damage:
    def damage(root: Path) -> None:
        text = (root / file).read_text()
        assert old in text
        (root / file).write_text(text.replace(old, new, 1))

    return damage


def cut(file: str, keep: float = 0.5) -> Damage:
    return lambda root: os.truncate(root / file, int((root / file).stat().st_size * keep))


def drop_last_line(file: str) -> Damage:
    return lambda root: (root / file).write_text("".join((root / file).read_text().splitlines(True)[:-1]))


def rename(file: str, name: str) -> Damage:
    return lambda root: (root / file).rename((root / file).with_name(name))


def copy(file: str, name: str) -> Damage:
    return lambda root: shutil.copy(root / file, (root / file).with_name(name))


def loop(file: str) -> Damage:
    def damage(root: Path) -> None:
        (root / file).unlink()
        (root / file).symlink_to((root / file).name)

    return damage


def folder(file: str) -> Damage:
    def damage(root: Path) -> None:
        (root / file).unlink()
        (root / file).mkdir()

    return damage


def link_outside(file: str) -> Damage:
    """Move a file or a folder to another place and leave a link to it."""

    def damage(root: Path) -> None:
        outside = root.parent / f"outside{Path(file).suffix}"
        shutil.move(root / file, outside)
        (root / file).symlink_to(outside)

    return damage


def link(file: str, target: str) -> Damage:
    return lambda root: (root / file).symlink_to(target)


def image(pixels: np.ndarray, everywhere: bool = True) -> Damage:
    """Write another picture, to all frames of the sequence or to one."""

    def damage(root: Path) -> None:
        for path in sorted((root / IMAGE).parent.iterdir()) if everywhere else [root / IMAGE]:
            cv2.imwrite(str(path), pixels)

    return damage


def png(width: int, height: int, *, colour: int = 2, data: bytes = b"", palette: bytes = b"") -> bytes:
    """Compose a PNG image with sound check sums, whatever it claims."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    body = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))
    body += chunk(b"PLTE", palette) if palette else b""
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def every_image(content: bytes) -> Damage:
    return lambda root: [path.write_bytes(content) for path in (root / IMAGE).parent.iterdir()]


def huge_jpeg(size: int) -> Damage:
    """Let a still claim size x size pixels; beyond 32768 x 32768 OpenCV refuses by itself."""

    def damage(root: Path) -> None:
        content = bytearray((root / STILL).read_bytes())
        at = content.index(b"\xff\xc0") + 5
        content[at : at + 4] = struct.pack(">HH", size, size)
        (root / STILL).write_bytes(content)

    return damage


def avi(size: int | None = None, n_frames: int | None = None) -> Damage:
    """Put a raw AVI file, whose header alone says size and length, in the place of a manifest's video."""

    def damage(root: Path) -> None:
        path = root / "clips/a.avi"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"I420"), 25.0, (32, 24))
        assert writer.isOpened()
        for _ in range(6):
            writer.write(np.full((24, 32, 3), 90, np.uint8))
        writer.release()
        content = bytearray(path.read_bytes())
        if size is not None:
            at = content.index(b"strf") + 12
            content[at : at + 8] = struct.pack("<II", size, size)
        if n_frames is not None:
            at = content.index(b"strh") + 40
            content[at : at + 4] = struct.pack("<I", n_frames)
        path.write_bytes(content)
        swap(MANIFEST, "a.mp4", "a.avi")(root)

    return damage


def add_openface_row(number: str, values: str = "1") -> Damage:
    def damage(root: Path) -> None:
        columns = (root / OPENFACE).read_text().splitlines()[0].count(",")
        append(OPENFACE, f"{number}{(',' + values) * columns}\n")(root)

    return damage


def openface_cell(name: str, value: str, row: int = 1) -> Damage:
    """Write another value into a column of OpenFace's file, in one row."""

    def damage(root: Path) -> None:
        lines = [line.split(",") for line in (root / OPENFACE).read_text().splitlines()]
        lines[row][[cell.strip() for cell in lines[0]].index(name)] = value
        (root / OPENFACE).write_text("\n".join(",".join(line) for line in lines) + "\n")

    return damage


def points(rows: int, row: str = "1.0 2.0") -> str:
    return f"{row}\n" * rows


DAMAGED = [
    # UNBC: PSPI
    *(
        pytest.param("unbc", put(PSPI, content), (PSPI, words, "copy the labels again"), id=f"unbc-pspi-{kind}")
        for kind, content, words in [
            ("nan", "nan\n", "expected one number"),
            ("infinite", "inf", "expected one number"),
            ("overflow", "1e999", "expected one number"),
            ("negative", "-1.0", "whole number in 0..16"),
            ("fractional", "2.5", "whole number in 0..16"),
            ("too-large", "17", "whole number in 0..16"),
            ("text", "none", "expected one number"),
            ("empty", "", "expected one number"),
            ("two-numbers", "1.0 2.0", "expected one number"),
            ("underscore", "1_0", "expected one number"),
            ("binary", bytes(range(256)), "expected one number"),
            ("not-utf8", b"\xff\xfe1\x00", "expected one number"),
        ]
    ),
    pytest.param("unbc", loop(PSPI), (PSPI, "copy it again"), id="unbc-pspi-symlink-loop"),
    pytest.param("unbc", folder(PSPI), (PSPI, "copy it again"), id="unbc-pspi-is-a-folder"),
    pytest.param(
        "unbc", lambda root: (root / PSPI).unlink(), (Path(PSPI).name, "copy the labels"), id="unbc-pspi-gone"
    ),
    # UNBC: images
    pytest.param("unbc", put(IMAGE, ""), (IMAGE, "copy it again"), id="unbc-png-zero-bytes"),
    pytest.param("unbc", cut(IMAGE), (IMAGE, "copy it again"), id="unbc-png-truncated"),
    pytest.param("unbc", put(IMAGE, NOISE[:300]), (IMAGE, "copy it again"), id="unbc-png-binary"),
    pytest.param(
        "unbc",
        every_image(png(60000, 60000)),
        ("ll042t1aaaff001.png", "60000 x 60000", "copy the file again"),
        id="unbc-png-absurd-size",
    ),
    pytest.param("unbc", every_image(png(0, 24)), ("ff001.png", "0 x 24", "copy the file"), id="unbc-png-no-width"),
    pytest.param(
        "unbc", every_image(png(32, 24)), ("ff001.png", "damaged", "copy it again"), id="unbc-png-without-pixels"
    ),
    pytest.param(
        "unbc", image(np.zeros((20, 20, 3), np.uint8), False), (IMAGE, "20 x 20", "copy"), id="unbc-png-mixed-sizes"
    ),
    pytest.param("unbc", loop(IMAGE), (IMAGE, "copy it again"), id="unbc-png-symlink-loop"),
    *(
        pytest.param("unbc", link(place, target), words, id=f"unbc-{kind}")
        for kind, place, target, words in [
            ("subject-linked-to-nowhere", "Images/200-xx200", "/none/200-xx200", ("Images/200-xx200", "remove it")),
            ("sequence-linked-to-itself", "Images/042-ll042/loop", "loop", ("042-ll042/loop", "nowhere", "remove it")),
            ("subject-linked-to-above", "Images/200-xx200", "..", ("Images/200-xx200/", "no frames", "remove it")),
            ("images-linked-to-themselves", "Images/Images", ".", ("Images/Images/", "no frames", "remove it")),
            ("sequence-linked-to-above", "Images/042-ll042/loop", "..", ("042-ll042/loop", "no frames", "remove it")),
        ]
    ),
    pytest.param("unbc", folder(IMAGE), ("ff001.png", "missing", "copy the folder"), id="unbc-png-is-a-folder"),
    pytest.param(
        "unbc", copy(IMAGE, "ll042t1aaaff0002.png"), ("ll042t1aaaff0002.png", "same number"), id="unbc-number-twice"
    ),
    pytest.param(
        "unbc", lambda root: (root / IMAGE).unlink(), ("ff001.png and ll042t1aaaff003.png", "copy"), id="unbc-gap"
    ),
    pytest.param(
        "unbc", rename(IMAGE, "ll042t1aaaff9.png"), ("ff003.png are missing", "copy"), id="unbc-number-out-of-order"
    ),
    pytest.param("unbc", rename(IMAGE, "ll042t1aaaff-2.png"), ("ff-2.png", "rename"), id="unbc-number-negative"),
    pytest.param("unbc", rename("Images/042-ll042", "ll042"), ("ll042", "copy the labels"), id="unbc-subject-renamed"),
    pytest.param(
        "unbc", rename("Images/042-ll042", os.fsdecode(b"\xff")), ("copy the labels",), id="unbc-subject-not-utf8"
    ),
    # UNBC: the other labels
    *(
        pytest.param("unbc", put(FACS, content), (FACS, "copy the labels again"), id=f"unbc-facs-{kind}")
        for kind, content in [
            ("one-column", "4.0\n"),
            ("intensity-6", "4 6 0 0"),
            ("intensity-negative", "4 -1 0 0"),
            ("intensity-infinite", "4 inf 0 0"),
            ("intensity-nan", "4 nan 0 0"),
            ("unit-fractional", "4.5 1 0 0"),
            ("unit-43-above-1", "43 2 0 0"),
            ("underscore", "4 1_0 0 0"),
            ("text", "AU4 B 0 0"),
            ("binary", b"\x00\xff\xfe"),
        ]
    ),
    *(
        pytest.param("unbc", put(AAM, content), (AAM, "copy the landmarks again"), id=f"unbc-aam-{kind}")
        for kind, content in [
            ("65-rows", points(65)),
            ("67-rows", points(67)),
            ("nan", points(65) + "nan 1.0\n"),
            ("infinite", points(65) + "inf 1.0\n"),
            ("beyond-float32", points(65) + "1e300 1.0\n"),
            ("three-columns", points(66, "1 2 3")),
            ("44-rows-of-three", points(44, "1 2 3")),
            ("text", points(66, "x y")),
            ("binary", NOISE[:64] + b"\xff"),
        ]
    ),
    *(
        pytest.param("unbc", put(VAS, content), (VAS, "copy the labels again"), id=f"unbc-vas-{kind}")
        for kind, content in [("text", "much"), ("empty", ""), ("nan", "nan"), ("negative", "-1"), ("above-10", "10.5")]
    ),
    # BioVid: videos and their names
    pytest.param("biovid", put(CLIP, ""), (CLIP, "copy it again"), id="biovid-mp4-zero-bytes"),
    pytest.param("biovid", cut(CLIP), (CLIP, "copy it again"), id="biovid-mp4-truncated"),
    pytest.param("biovid", put(CLIP, NOISE[:500]), (CLIP, "copy it again"), id="biovid-mp4-binary"),
    pytest.param("biovid", put(CLIP, png(32, 24)), (CLIP, "still image"), id="biovid-mp4-is-a-png"),
    pytest.param("biovid", loop(CLIP), (CLIP, "check the path"), id="biovid-mp4-symlink-loop"),
    *(
        pytest.param("biovid", link("PartA/video/200101_w_20", target), words, id=f"biovid-subject-linked-to-{kind}")
        for kind, target, words in [
            ("nowhere", "/none", ("200101_w_20", "leads nowhere", "remove it")),
            ("above", "..", ("200101_w_20", "no videos", "remove it")),
        ]
    ),
    *(
        pytest.param("biovid", rename(CLIP, f"{name}.mp4"), (f"{name}.mp4", "rename the file"), id=f"biovid-{kind}")
        for kind, name in [
            ("class-unknown", "071309_w_21-PA5-001"),
            ("class-lower-case", "071309_w_21-pa1-001"),
            ("number-short", "071309_w_21-PA1-1"),
            ("number-text", "071309_w_21-PA1-abc"),
            ("subject-of-another", "082315_w_60-PA1-001"),
        ]
    ),
    pytest.param("biovid", copy(CLIP, "071309_w_21-PA1-001.avi"), (CLIP, "keep one"), id="biovid-video-twice"),
    # BioVid: samples.csv
    *(
        pytest.param("biovid", damage, (*words, "samples.csv"), id=f"biovid-samples-{kind}")
        for kind, damage, words in [
            ("other-class", swap(SAMPLES, "\t1\tPA1\t", "\t2\tPA2\t"), ("PA1-001.mp4", "class 2", "copy both")),
            ("other-subject", swap(SAMPLES, "1\t071309_w_21\t1", "1\t082315_w_60\t1"), ("082315_w_60", "copy both")),
            ("id-against-name", swap(SAMPLES, "\t1\tPA1\t", "\t2\tPA1\t"), ("line", "remove it")),
            ("unlisted", rename(CLIP, "071309_w_21-PA1-079.mp4"), ("PA1-079", "complete that file")),
            ("row-twice", append(SAMPLES, "1\t071309_w_21\t1\tPA1\t9\t071309_w_21-PA1-001\n"), ("before", "remove it")),
            ("short-row", append(SAMPLES, "1\t071309_w_21\t1\tPA1\n"), ("no sample_name", "remove it")),
            ("no-column", swap(SAMPLES, "class_name", "klass"), ("no column class_name", "remove it")),
            ("truncated", cut(SAMPLES), ("samples.csv",)),
            ("empty", put(SAMPLES, ""), ("no column", "remove it")),
            ("not-utf8", put(SAMPLES, b"\xff\xfe" * 50), ("no column", "remove it")),
            ("endless-field", append(SAMPLES, "x" * 140_000), ("cannot be read", "remove it")),
            ("escapes", swap(SAMPLES, "071309_w_21-PA1-001", "../071309_w_21-PA1-001"), ("is no name", "remove it")),
        ]
    ),
    # BioVid: OpenFace
    *(
        pytest.param("biovid", damage, (OPENFACE, words, "OpenFace"), id=f"openface-{kind}")
        for kind, damage, words in [
            ("without-x_0", swap(OPENFACE, " x_0,", " z_0,"), "no column x_0"),
            ("row-beyond-the-video", add_openface_row("99"), "this very video"),
            ("frame-0", add_openface_row("0"), "this very video"),
            ("frame-nan", add_openface_row("nan"), "this very video"),
            ("frame-fractional", add_openface_row("5.5"), "this very video"),
            ("frames-descend", add_openface_row("2"), "frame 2 comes after frame 6"),
            ("frame-twice", add_openface_row("6", "0"), "face 0 is in frame 6 more than once"),
            ("column-twice", swap(OPENFACE, " y_0,", " x_0,"), "several columns x_0"),
            ("landmark-nan", openface_cell("x_5", "nan"), "x_5 is nan in frame 1"),
            ("confidence-above-1", openface_cell("confidence", "1.5"), "confidence is 1.5 in frame 1"),
            ("confidence-nan", openface_cell("confidence", "nan"), "confidence is nan in frame 1"),
            ("intensity-above-5", openface_cell("AU04_r", "5.01"), "AU04_r is 5.01 in frame 1"),
            ("intensity-negative", openface_cell("AU45_r", "-0.1"), "AU45_r is -0.1 in frame 1"),
            ("presence-2", openface_cell("AU45_c", "2"), "AU45_c is 2 in frame 1"),
            ("success-2", openface_cell("success", "2"), "success is neither 0 nor 1"),
            ("infinite", add_openface_row("5", "inf"), "run OpenFace"),
            ("beyond-float32", add_openface_row("5", "1e300"), "run OpenFace"),
            ("text", add_openface_row("5", "high"), "run OpenFace"),
            ("truncated", cut(OPENFACE, 0.9), "run OpenFace"),
            ("empty", put(OPENFACE, ""), "run OpenFace"),
            ("binary", put(OPENFACE, b"\xff\x00\xfe"), "run OpenFace"),
        ]
    ),
    pytest.param("biovid", loop(OPENFACE), (OPENFACE, "copy it again"), id="openface-symlink-loop"),
    pytest.param(
        "biovid",
        lambda root: shutil.copy(root / OPENFACE, root / "OpenFace"),
        ("OpenFace/071309_w_21-PA1-001.csv", OPENFACE, "landmarks of the same video", "keep one"),
        id="openface-file-twice",
    ),
    # VGGFace2
    *(
        pytest.param("vggface2", damage, (BOXES, words, "copy the file again"), id=f"vggface2-boxes-{kind}")
        for kind, damage, words in [
            ("header", swap(BOXES, "NAME_ID", "NAME"), "expected columns"),
            ("empty", put(BOXES, ""), "expected columns"),
            ("binary", put(BOXES, b"\xff\x00\xfe" * 9), "expected columns"),
            ("header-only", put(BOXES, "NAME_ID,X,Y,W,H\n"), "no boxes"),
            ("three-numbers", swap(BOXES, "-4,2,10,20", "-4,2,10"), "found"),
            ("text", swap(BOXES, "-4,2", "left,2"), "found"),
            ("nan", swap(BOXES, "-4,2", "nan,2"), "found"),
            ("infinite", swap(BOXES, "-4,2", "inf,2"), "found"),
            ("identity-missing", swap(BOXES, "n000003", "n000004"), "n000003"),
            ("escapes", append(BOXES, '"../n000002/0001_01",1,1,5,5\n'), "does not name a still of an identity"),
            ("escapes-below", append(BOXES, '"n000002/../../0001_01",1,1,5,5\n'), "does not name a still of n000002"),
            ("row-twice", append(BOXES, '"n000002/0001_01",1,1,5,5\n'), "n000002/0001_01 is listed before"),
            ("underscore", swap(BOXES, "10,20", "1_0,20"), "found"),
            ("no-width", swap(BOXES, "10,20", "0,20"), "has no size"),
            ("negative-height", swap(BOXES, "10,20", "10,-20"), "has no size"),
        ]
    ),
    *(
        pytest.param("vggface2", damage, (NAMES, words, "remove it"), id=f"vggface2-names-{kind}")
        for kind, damage, words in [
            ("header", swap(NAMES, "Class_ID", "ID"), "expected columns"),
            ("empty", put(NAMES, ""), "expected columns"),
            ("binary", put(NAMES, b"\xff\x00\xfe" * 9), "expected columns"),
            ("short-row", append(NAMES, 'n000004, "A"\n'), "line 4"),
            ("row-twice", append(NAMES, 'n000002, "A",1,1, f,\n'), "line 4: n000002 is listed before"),
        ]
    ),
    *(
        pytest.param("vggface2", link("train/n000009", target), words, id=f"vggface2-identity-linked-to-{kind}")
        for kind, target, words in [
            ("nowhere", "/none", ("train/n000009", "leads nowhere", "remove it")),
            ("above", "..", ("train/n000009", "no stills", "remove it")),
        ]
    ),
    pytest.param(
        "vggface2",
        lambda root: shutil.copytree(root / "train/n000002", root / "test/n000002"),
        ("test/n000002", "is in train too", "remove one"),
        id="vggface2-identity-in-both-splits",
    ),
    pytest.param(
        "vggface2", swap(BOXES, "-4,2,10,20", "90,90,5,5"), ("0001_01.jpg", BOXES, "correct"), id="vggface2-box-outside"
    ),
    *(
        pytest.param("vggface2", damage, ("train/n000002", words, "copy"), id=f"vggface2-jpg-{kind}")
        for kind, damage, words in [
            ("truncated", cut(STILL), "0001_01.jpg"),
            ("zero-bytes", put(STILL, ""), "0001_01.jpg"),
            ("binary", put(STILL, NOISE), "0001_01.jpg"),
            ("is-a-png", put(STILL, png(32, 24)), "0001_01.jpg"),
            ("ends-only", put(STILL, b"\xff\xd8" + bytes(20) + b"\xff\xd9"), "0001_01.jpg"),
            ("loop", loop(STILL), "0001_01.jpg"),
            ("is-a-folder", folder(STILL), "no stills"),
            ("absurd-size", huge_jpeg(65000), "0001_01.jpg"),
            ("large-size", huge_jpeg(20000), "0001_01.jpg"),
        ]
    ),
    # Manifest: rows
    *(
        pytest.param("manifest", damage, (MANIFEST, *words), id=f"manifest-{kind}")
        for kind, damage, words in [
            ("escapes", swap(MANIFEST, "clips/a.mp4", "../mine/clips/a.mp4"), ("line 2", "leads out", "move")),
            ("hidden-escape", swap(MANIFEST, "clips/a", "clips/../../mine/clips/a"), ("leads out", "move")),
            ("absolute", swap(MANIFEST, "clips/a.mp4", "/etc/passwd"), ("line 2", "/etc/passwd", "move")),
            ("start-above-end", swap(MANIFEST, "3,1,5", "3,5,1"), ("line 3", "5 to 1", "start must")),
            ("start-is-end", swap(MANIFEST, "3,1,5", "3,2,2"), ("line 3", "start must")),
            ("end-beyond", swap(MANIFEST, "3,1,5", "3,1,7"), ("line 3", "which has 6")),
            ("end-1e300", swap(MANIFEST, "3,1,5", "3,1,1e300"), ("line 3", "which has 6")),
            ("start-negative", swap(MANIFEST, "3,1,5", "3,-1,5"), ("line 3", "start '-1'", "correct")),
            ("label-text", swap(MANIFEST, "ann,0", "ann,mild"), ("line 2", "'mild'", "correct")),
            ("label-nan", swap(MANIFEST, "ann,0", "ann,nan"), ("line 2", "correct")),
            ("label-infinite", swap(MANIFEST, "ann,0", "ann,inf"), ("line 2", "correct")),
            ("label-fractional", swap(MANIFEST, "ann,0", "ann,0.5"), ("line 2", "correct")),
            ("label-underscore", swap(MANIFEST, "ann,0", "ann,1_0"), ("line 2", "correct")),
            ("label-absurd", swap(MANIFEST, "ann,0", "ann,1e300"), ("line 2", "above 1000", "correct")),
            ("label-empty", swap(MANIFEST, "ann,0", "ann,"), ("line 2", "correct")),
            ("decimal-comma", swap(MANIFEST, "ann,0,,", "ann,0,0,5,7"), ("line 2", "more values", "quote")),
            ("short-row", append(MANIFEST, "clips/a.mp4\n"), ("line 4", "no subject", "fill it in")),
            ("row-twice", append(MANIFEST, "clips/a.mp4,ann,0,,\n"), ("line 4", "listed before", "remove")),
            ("row-twice-in-disguise", append(MANIFEST, "./clips//a.mp4,ann,0,,\n"), ("line 4", "listed before")),
        ]
    ),
    # Manifest: videos
    *(
        pytest.param("manifest", damage, words, id=f"manifest-video-{kind}")
        for kind, damage, words in [
            ("missing", swap(MANIFEST, "a.mp4", "c.mp4"), ("c.mp4", "check the path")),
            ("null-character", swap(MANIFEST, "a.mp4", "a\0.mp4"), (".mp4", "check the path")),
            ("name-too-long", swap(MANIFEST, "a.mp4", "a" * 300 + ".mp4"), ("aaa.mp4", "check the path")),
            ("is-a-folder", swap(MANIFEST, "clips/a.mp4", "clips"), ("clips", "give a video file")),
            ("unknown-extension", swap(MANIFEST, "clips/a.mp4", MANIFEST), (MANIFEST, "convert it")),
            ("loop", loop("clips/a.mp4"), ("clips/a.mp4", "check the path")),
            ("absurd-size", avi(size=12000), ("a.avi", "copy")),
            ("absurd-length", avi(n_frames=2_000_000_000), ("a.avi", "2,000,000,000", "copy")),
        ]
    ),
]


@pytest.mark.parametrize("name", ["unbc", "biovid", "vggface2", "manifest"])
def test_the_undamaged_datasets_are_sound(make, name: str) -> None:
    data = use(name, make(name), strict=True)
    assert data.excluded == []
    assert len(data) >= 2


@pytest.mark.parametrize(("name", "damage", "words"), DAMAGED)
def test_damage_is_told(make, name: str, damage: Damage, words: tuple[str, ...]) -> None:
    root = make(name)
    damage(root)
    with pytest.raises(DataError) as caught:
        use(name, root, strict=True)
    for word in words:
        assert word in str(caught.value)
    # The ledger says the same, and what is left can be read.
    data = use(name, root, strict=False)
    rows = [f"{row.file}: {row.reason}" for row in data.excluded]
    assert any(all(word in row for word in words) for row in rows), rows
    assert data.records


UNAVAILABLE = [
    pytest.param(put(MANIFEST, ""), ("found none", "Add"), id="empty"),
    pytest.param(put(MANIFEST, "video,subject,label\n"), ("lists no video", "Add"), id="header-only"),
    pytest.param(swap(MANIFEST, "label", "grade"), ("Add label",), id="no-label-column"),
    pytest.param(swap(MANIFEST, ",subject,label", ";subject;label"), ("Separate values by commas",), id="semicolons"),
    pytest.param(swap(MANIFEST, "start", "label"), ("several columns label", "Keep one"), id="column-twice"),
    pytest.param(put(MANIFEST, b"\xff\xfev\x00"), ("not a readable CSV",), id="utf-16"),
    pytest.param(put(MANIFEST, NOISE[:200] + b"\xff"), ("manifest",), id="binary"),
    pytest.param(append(MANIFEST, "x" * 140_000), ("not a readable CSV",), id="endless-field"),
    pytest.param(loop(MANIFEST), ("Check the path",), id="symlink-loop"),
]


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(("damage", "words"), UNAVAILABLE)
def test_a_useless_manifest_is_unavailable(make, damage: Damage, words: tuple[str, ...], strict: bool) -> None:
    root = make("manifest")
    damage(root)
    with pytest.raises(DatasetUnavailable) as caught:
        use("manifest", root, strict)
    for word in (MANIFEST, *words):
        assert word in str(caught.value)


HARMLESS = [
    pytest.param("unbc", image(np.full((24, 32), 70, np.uint8)), id="unbc-png-grey"),
    pytest.param("unbc", image(np.full((24, 32, 3), 30_000, np.uint16)), id="unbc-png-16-bit"),
    pytest.param(
        "unbc",
        every_image(png(32, 24, colour=3, data=(b"\0" + b"\1" * 32) * 24, palette=b"\0\0\0\x80\x90\xa0")),
        id="unbc-png-palette",
    ),
    pytest.param("unbc", link_outside(IMAGE), id="unbc-png-linked-from-outside"),
    pytest.param("unbc", link_outside("Images/042-ll042"), id="unbc-subject-linked-from-outside"),
    pytest.param("unbc", link_outside("Frame_Labels"), id="unbc-labels-linked-from-outside"),
    pytest.param("unbc", put(FACS, "43 1 0\n"), id="unbc-facs-three-columns"),
    pytest.param("unbc", put(FACS, "-1 9e-1 0 0\n0 3 0 0\n"), id="unbc-facs-units-up-to-0"),
    pytest.param("unbc", put(FACS, " \n"), id="unbc-facs-blank"),
    pytest.param("unbc", put(AAM, ""), id="unbc-aam-empty"),
    pytest.param("unbc", rename("Sequence_Labels/VAS/042-ll042", "ll042"), id="unbc-vas-under-a-short-name"),
    pytest.param("unbc", put("SIMULATED.json", "[" * 100_000), id="note-of-the-simulator-nested"),
    pytest.param("biovid", link_outside(CLIP), id="biovid-mp4-linked-from-outside"),
    pytest.param("biovid", link_outside(CLIPS), id="biovid-subject-linked-from-outside"),
    pytest.param("biovid", link_outside(str(Path(OPENFACE).parent)), id="openface-folder-linked-from-outside"),
    pytest.param("biovid", link("OpenFace/loop", "."), id="openface-link-to-itself"),
    pytest.param("biovid", link("OpenFace/above", "../.."), id="openface-link-to-above"),
    pytest.param("biovid", lambda root: (root / SAMPLES).unlink(), id="biovid-without-samples"),
    pytest.param("biovid", append(OPENFACE, "\n   \n"), id="openface-blank-lines"),
    pytest.param("biovid", drop_last_line(OPENFACE), id="openface-fewer-rows"),
    pytest.param("biovid", openface_cell("x_5", "nan", row=3), id="openface-nan-without-a-face"),
    pytest.param("biovid", add_openface_row("6"), id="openface-two-faces"),
    pytest.param("vggface2", append(BOXES, '"n000002/0009_01",1,1,5,5\n'), id="vggface2-box-of-no-still"),
    pytest.param("vggface2", link_outside("train/n000002"), id="vggface2-identity-linked-from-outside"),
    pytest.param("vggface2", link_outside(STILL), id="vggface2-jpg-linked-from-outside"),
    pytest.param("vggface2", append(STILL, "appended"), id="vggface2-jpg-with-a-tail"),
    pytest.param(
        "vggface2",
        lambda root: cv2.imwrite(str(root / STILL), np.full((50, 40), 90, np.uint8)),
        id="vggface2-jpg-grey-and-of-another-size",
    ),
    pytest.param("manifest", swap(MANIFEST, "video", "\ufeffvideo"), id="manifest-bom"),
    pytest.param("manifest", append(MANIFEST, "\r\n\r\n"), id="manifest-blank-lines"),
    pytest.param("manifest", link_outside("clips/a.mp4"), id="manifest-video-linked-from-outside"),
]


@pytest.mark.parametrize(("name", "change"), HARMLESS)
def test_harmless_variants_open(make, name: str, change: Damage) -> None:
    root = make(name)
    before = use(name, root, strict=True)
    change(root)
    data = use(name, root, strict=True)
    assert data.excluded == before.excluded
    assert [record.video for record in data.records] == [record.video for record in before.records]


def test_facs_units_up_to_zero_are_skipped(make) -> None:
    root = make("unbc")
    put(FACS, "0 3 0 0\n-4 5 0 0\n43 1 0 0\n")(root)  # the frame's PSPI is 1
    put(PSPI, "1")(root)
    assert [row for row in open_dataset("unbc", root).notes if "action units" in row.reason] == []


def test_landmarks_are_found_in_a_linked_folder(make) -> None:
    root = make("biovid")
    link_outside(str(Path(OPENFACE).parent))(root)
    data = open_dataset("biovid", root)
    assert data.notes == []
    assert all(np.isfinite(record.landmarks()[0]).all() for record in data.records)


def test_palette_and_greyscale_give_rgb(make) -> None:
    root = make("unbc")
    every_image(png(32, 24, colour=3, data=(b"\0" + b"\1" * 32) * 24, palette=b"\0\0\0\x80\x90\xa0"))(root)
    frames = open_dataset("unbc", root).records[0].frames()
    assert frames[0, :, 0, 0].tolist() == [0x80, 0x90, 0xA0]
