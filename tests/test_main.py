"""``python -m repro check`` looks at a dataset that is given, and else at the store."""

import cv2
import numpy as np

from repro.__main__ import main


def write_unbc(root, n_frames=3):
    """Write one sequence of black and grey frames, marked as simulated."""
    video = "042-ll042/ll042t1aaaff"
    images, labels = root / "Images" / video, root / "Frame_Labels" / "PSPI" / video
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    for index in range(n_frames):
        cv2.imwrite(str(images / f"ll042t1aaaff{index + 1:03d}.png"), np.full((8, 8, 3), 40 + index, np.uint8))
        (labels / f"ll042t1aaaff{index + 1:03d}_facs.txt").write_text(f"   {index:.7e}\n")
    (root / "SIMULATED.json").write_text("{}")
    return root


def test_check(tmp_path, capsys, monkeypatch):
    root, out = write_unbc(tmp_path / "unbc"), tmp_path / "out"
    common = ["check", "--store", str(tmp_path / "store"), "--out", str(out), "--quiet"]
    (tmp_path / "store").mkdir()
    monkeypatch.setenv("REPRO_UNBC", str(root))
    assert main(common) == 0
    assert "0 cells" in capsys.readouterr().out and not out.exists()
    assert main([*common, "--unbc", str(root), "--verify"]) == 0
    printed = capsys.readouterr().out
    assert "unbc: simulated data" in printed and "differs" not in printed and "cells" not in printed
    assert [path.name for path in (out / "tables" / "simulated").iterdir()] == ["ledger_unbc.csv"]
