"""Sources: the patient split, own noise, procedural volumes kept between runs."""

from pathlib import Path
from typing import cast

import numpy as np
import pytest

from medidiff.cohort.cases import Case
from medidiff.cohort.own_noise import measured_own_noise, own_noise_level
from medidiff.cohort.sources import AnySource, FolderSource, ProceduralSource, block_mean, load_source, read_split
from medidiff.errors import ConfigError, InputError
from medidiff.io import write_nifti
from medidiff.volume import Volume


def _write_scans(root: Path, rows: list[tuple[str, str, str]]) -> None:
    (root / "images").mkdir(parents=True)
    lines = ["case\tpatient\tsplit"] + ["\t".join(row) for row in rows]
    (root / "participants.tsv").write_text("\n".join(lines) + "\n")
    for number, (case, _, _) in enumerate(rows):
        data = np.random.default_rng(number).normal(100 + number, 20, (20, 20, 20)).astype(np.float32)
        write_nifti(Volume.from_array(data, (1, 1, 2)), root / "images" / f"{case}.nii.gz")


def _cases(source: AnySource, root: Path, cache: Path, split: str) -> list[Case]:
    """Cases that are in memory."""
    return cast(list[Case], load_source(source, root, cache, split))


SOURCE = FolderSource(name="set", files="images/{case}.nii.gz", table="participants.tsv")


def test_only_patients_of_the_split_are_read(tmp_path: Path) -> None:
    _write_scans(tmp_path, [("a", "p1", "train"), ("b", "p1", "train"), ("c", "p2", "holdout"), ("d", "p3", "val")])
    assert [case.name for case in load_source(SOURCE, tmp_path, tmp_path, "train")] == ["a", "b"]
    assert [case.name for case in load_source(SOURCE, tmp_path, tmp_path, "val")] == ["d"]


def test_holdout_is_refused(tmp_path: Path) -> None:
    _write_scans(tmp_path, [("a", "p1", "train"), ("c", "p2", "holdout")])
    with pytest.raises(ConfigError, match="holdout"):
        load_source(SOURCE, tmp_path, tmp_path, "holdout")


def test_a_patient_in_two_splits_is_refused(tmp_path: Path) -> None:
    _write_scans(tmp_path, [("a", "p1", "train"), ("b", "p1", "holdout")])
    with pytest.raises(ConfigError, match="two splits"):
        read_split(tmp_path / "participants.tsv", "train")


def test_a_glob_cannot_walk_past_the_table(tmp_path: Path) -> None:
    _write_scans(tmp_path / "set", [("a", "p1", "train"), ("c", "p2", "holdout")])
    source = FolderSource(name="set", files="set/images/*.nii.gz")
    with pytest.raises(ConfigError, match="name it as `table`"):
        load_source(source, tmp_path, tmp_path, "train")


def test_a_glob_without_a_table_reads_every_scan_once(tmp_path: Path) -> None:
    _write_scans(tmp_path, [(name, name, "train") for name in "abcdefghijk"])
    (tmp_path / "participants.tsv").unlink()
    source = FolderSource(name="set", files="images/*.nii.gz")
    train = [case.name for case in load_source(source, tmp_path, tmp_path, "train")]
    val = [case.name for case in load_source(source, tmp_path, tmp_path, "val")]
    assert sorted(train + val) == list("abcdefghijk")
    assert len(val) == 1


@pytest.mark.parametrize(
    ("pattern", "tokens"), [("sub-p{k}_ses-{s}_T1w", 1), ("IXI0{k:02d}_T{s}w", 1), ("patient_{k:02d}_{s}", 2)]
)
def test_without_a_table_files_of_one_patient_stay_together(pattern: str, tokens: int, tmp_path: Path) -> None:
    names = [pattern.format(k=k, s=s) for k in range(1, 13) for s in (1, 2, 3)]
    _write_scans(tmp_path, [(name, name, "train") for name in names])
    (tmp_path / "participants.tsv").unlink()
    source = FolderSource(name="set", files="images/*.nii.gz", tau=0.0)
    train, val = ([case.name for case in load_source(source, tmp_path, tmp_path, s)] for s in ("train", "val"))
    assert sorted(train + val) == sorted(names)
    assert len(val) == 3
    patients = [{tuple(name.split("_")[:tokens]) for name in side} for side in (train, val)]
    assert [len(side) for side in patients] == [11, 1]


def test_a_slip_in_a_column_s_name_is_no_patient(tmp_path: Path) -> None:
    """As a column of no meaning, `pateint` would make every case a patient of its own."""
    _write_scans(tmp_path, [("a", "p1", "train"), ("b", "p1", "val")])
    table = tmp_path / "participants.tsv"
    table.write_text(table.read_text().replace("patient", "pateint", 1))
    with pytest.raises(ConfigError, match=r"pateint.*patient"):
        read_split(table, "train")


def test_missing_scan_is_named(tmp_path: Path) -> None:
    _write_scans(tmp_path, [("a", "p1", "train")])
    (tmp_path / "images" / "a.nii.gz").unlink()
    with pytest.raises(InputError, match=r"a\.nii\.gz"):
        load_source(SOURCE, tmp_path, tmp_path, "train")


def test_downsampling_scales_spacing_and_own_noise(tmp_path: Path) -> None:
    """A ramp from 0 to 1000 with noise of 20: 0.04 of what -1 to 1 spans, and half of that in means over 4 voxels."""
    _write_scans(tmp_path, [("a", "p1", "train")])
    ramp = np.linspace(0, 1000, 48)[:, None, None] + 20 * np.random.default_rng(0).standard_normal((48, 48, 48))
    write_nifti(Volume.from_array(ramp.astype(np.float32), (1, 1, 2)), tmp_path / "images" / "a.nii.gz")
    plain = _cases(SOURCE, tmp_path, tmp_path, "train")[0]
    coarse = _cases(SOURCE.model_copy(update={"downsample": (2, 2, 1)}), tmp_path, tmp_path, "train")[0]
    assert plain.data.shape == (48, 48, 48)
    assert coarse.data.shape == (24, 24, 48)
    assert coarse.spacing_mm == (2, 2, 2)
    assert plain.tau == pytest.approx(0.04, rel=0.15)
    assert coarse.tau == pytest.approx(plain.tau / 2, rel=0.05)


def test_block_mean_is_the_mean() -> None:
    data = np.arange(4 * 4 * 3, dtype=np.float32).reshape(4, 4, 3)
    assert block_mean(data, (2, 2, 1))[0, 0, 0] == data[:2, :2, 0].mean()
    assert block_mean(data, (3, 3, 3)).shape == (1, 1, 1)


@pytest.mark.parametrize("tau", [0.02, 0.1])
def test_own_noise_of_a_noisy_phantom(tau: float, tmp_path: Path) -> None:
    source = ProceduralSource(generator="head", volumes=1, size=96, seed=5)
    clean = _cases(source, tmp_path, tmp_path, "train")[0].data.astype(np.float32)
    noisy = clean + tau * np.random.default_rng(0).standard_normal(clean.shape).astype(np.float32)
    # sampling: a MAD over 216 coefficients is 8% uncertain, the quietest tenth lies about 10% low. Anatomy: the folded
    # cortex of this head reaches every block, so a low level is overstated (measured: 34% at 0.02, 3% at 0.1).
    assert 0.85 * tau < own_noise_level(noisy) < 1.15 * tau + 0.008
    assert own_noise_level(clean) < 0.01


def test_procedural_volumes_are_kept_and_val_has_other_seeds(tmp_path: Path) -> None:
    source = ProceduralSource(volumes=2, size=16, seed=3)
    first = _cases(source, tmp_path, tmp_path, "train")
    files = sorted(tmp_path.rglob("*.npy"))
    again = _cases(source, tmp_path, tmp_path, "train")
    assert len(files) == 2
    assert all(np.array_equal(a.data, b.data) for a, b in zip(first, again, strict=True))
    val = _cases(source, tmp_path, tmp_path, "val")
    assert not any(np.array_equal(a.data, b.data) for a in first for b in val)


def test_the_shared_sets_load_and_no_patient_is_shared(shared_data: Path) -> None:
    for name in ("hippocampus", "ixi", "sarcoma"):
        table = shared_data / name / "participants.tsv"
        splits = [set(read_split(table, split)) for split in ("train", "val", "holdout")]
        assert splits[0]
        assert not splits[0] & splits[2]
        assert not splits[1] & splits[2]


def test_small_crops_have_their_noise_measured_too() -> None:
    """Foreground too thin for the usual blocks: the level comes from smaller ones, and is not taken for 0."""
    rng = np.random.default_rng(0)
    scan = np.full((36, 50, 34), -1.0)
    scan[4:32, 8:40, 10:19] = 0.3  # nine voxels thick
    noisy = scan + np.where(scan > -1, 0.05 * rng.standard_normal(scan.shape), 0)
    assert own_noise_level(noisy) == 0
    assert measured_own_noise(noisy) == pytest.approx(0.05, rel=0.25)
