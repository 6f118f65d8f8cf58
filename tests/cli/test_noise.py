"""`medidiff noise`: the estimate of `denoise` in words, as JSON, as files; clean scans; folders; privacy."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFont

from medidiff.cli.noise_measure import Measured
from medidiff.cli.noise_text import lines_of, table_of
from medidiff.draw.labels import wrapped
from medidiff.io import read_nifti, write_nifti
from medidiff.tasks.known_noise import KnownNoise
from medidiff.volume import Volume

from .conftest import Run
from .dicom_files import make_series

TINY = ("--prior", "tiny")


def ball(std: float, shape: tuple[int, int, int] = (32, 32, 32)) -> Volume:
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    clean = 800.0 * (x**2 + y**2 + z**2 < 0.6) + 100
    noise = np.random.default_rng(0).normal(0, std, shape) if std else 0
    return Volume.from_array((clean + noise).astype(np.float32), (1, 1, 2))


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    write_nifti(ball(40), tmp_path / "scan.nii.gz", "float32")
    return tmp_path / "scan.nii.gz"


def measured(**changes: object) -> Measured:
    known = KnownNoise("gaussian", 25.0, figures={"noise_kind_because": "it has negative values"}, source="estimate")
    for name, value in changes.items():
        object.__setattr__(known, name, value)
    return Measured("s.nii.gz", ball(0), known, False, 800.0)


def test_words_for_white_noise_of_one_level() -> None:
    first, kind, place, neighbours, trusted = lines_of(measured(interval=(24.0, 26.0)))
    assert first == "s.nii.gz: noise level 25 (interval 24 to 26), 3.1% of the scan's range"
    assert kind.endswith("gaussian: it has negative values")
    assert place.endswith("the same across the scan")
    assert "white" in neighbours
    assert trusted.endswith("yes")


def test_trusted_is_what_the_scan_says_and_the_prior_does_not_deny() -> None:
    assert measured(figures={"noise_trusted": True}).trusted
    assert measured(figures={"noise_trusted": True, "noise_refined": True}).trusted
    assert not measured(figures={"noise_trusted": True, "noise_refined": False}).trusted
    assert not measured(figures={"noise_trusted": False, "noise_refined": True}).trusted


def test_no_word_is_cut_off_the_picture() -> None:
    lines = ["short", "some words and more words " * 8, "w" * 200]
    broken = wrapped(lines, 300)
    assert " ".join(broken).split() == " ".join(lines).split()
    font = ImageFont.load_default(15)
    assert all(font.getlength(line) <= 292 for line in broken if "www" not in line)


def test_words_for_correlated_noise_that_varies_and_is_not_trusted() -> None:
    level = np.linspace(10, 30, 32**3, dtype=np.float32).reshape(32, 32, 32)
    one = measured(
        level=level,
        correlation=(0.45, 0.1, 0.31, 0.0, 0.01, 0.0),
        figures={"noise_trusted": False},
        kind="chi",
        coils=4,
    )
    lines = lines_of(one)
    assert "noise level 20," in lines[0]  # the median
    assert lines[1].strip().startswith("kind        chi of 4 coils")
    assert "varies across the scan, from 10.2 to 29.8" in lines[2]
    assert lines[3].endswith("correlated along x, y: neighbours 0.45, 0.31")
    assert lines[4].endswith("no, see the warnings")
    header, row = table_of([one])
    assert len(header) == len(row)
    assert "x 0.45, y 0.31" in row


def test_the_level_of_a_known_scan(scan: Path, run: Run) -> None:
    done = run("noise", scan, *TINY, "--noise", "gaussian", "--json")
    assert done.code == 0, done.err
    (one,) = done.json["scans"]
    assert one["noise_std"] == pytest.approx(40, rel=0.15)
    assert one["percent_of_range"] == pytest.approx(100 * one["noise_std"] / one["range"])
    assert (one["status"], one["kind"], one["files"]) == ("measured", "gaussian", [])
    assert set(one["correlation"]) == {"x", "y", "z"}


def test_noise_and_denoise_cannot_disagree(scan: Path, run: Run) -> None:
    assert run("denoise", scan, "-o", "clean.nii.gz", *TINY, "--save", "noise-map").code == 0
    told = json.loads(Path("clean.json").read_text())["result"]["figures"]
    (one,) = run("noise", scan, *TINY, "-o", "found", "--json").json["scans"]
    assert one["noise_std"] == told["noise_std"]
    assert one["kind"] == told["noise_kind"]
    used, found = read_nifti("clean_noise-map.nii.gz"), read_nifti("found/scan_noise-map.nii.gz")
    assert np.array_equal(used.data, found.data)
    assert np.array_equal(used.affine_ras, found.affine_ras)


def test_files_of_a_scan(scan: Path, run: Run) -> None:
    done = run("noise", scan, "-o", "found", *TINY)
    assert done.code == 0, done.err
    assert sorted(p.name for p in Path("found").iterdir()) == [
        "scan_noise-map.nii.gz", "scan_noise.json", "scan_noise.png",
    ]  # fmt: skip
    assert Path("found/scan_noise.png").read_bytes()[:4] == b"\x89PNG"
    assert json.loads(Path("found/scan_noise.json").read_text())["format"] == "medidiff-noise"
    run("noise", scan, "-o", "found", *TINY).failed_cleanly(2, "--overwrite")
    assert run("noise", scan, "-o", "found", *TINY, "--overwrite").code == 0
    Path("found/scan_noise.json").write_text("{}")
    run("noise", scan, "-o", "found", *TINY, "--overwrite").failed_cleanly(2, "did not write")


def test_a_clean_scan_is_said_to_be_clean(tmp_path: Path, run: Run) -> None:
    write_nifti(ball(0), tmp_path / "phantom.nii.gz", "float32")
    done = run("noise", "phantom.nii.gz", *TINY, "-o", "found")
    assert done.code == 0, done.err
    assert "already clean" in done.out
    assert not read_nifti("found/phantom_noise-map.nii.gz").data.any()


def test_a_folder_is_a_table_and_one_bad_file_does_not_stop_it(tmp_path: Path, run: Run) -> None:
    (tmp_path / "scans").mkdir()
    for std in (20, 60):
        write_nifti(ball(std), tmp_path / "scans" / f"s{std}.nii.gz", "float32")
    (tmp_path / "scans" / "bad.nii.gz").write_bytes(b"nothing")
    done = run("noise", "scans", *TINY)
    assert done.code == 4
    header, *rows = done.out.splitlines()
    assert header.startswith("scan")
    assert [row.split()[0] for row in rows] == ["scans/s20.nii.gz", "scans/s60.nii.gz"]
    assert "bad.nii.gz" in done.err
    run("noise", "scans", *TINY, "--mask", "scans/s20.nii.gz").failed_cleanly(2, "--mask")


def test_a_mask_says_where(tmp_path: Path, run: Run) -> None:
    scan = ball(20, (48, 32, 32))
    scan.data[24:] += np.random.default_rng(1).normal(0, 100, (24, 32, 32)).astype(np.float32)
    write_nifti(scan, tmp_path / "scan.nii.gz", "float32")
    region = np.zeros(scan.shape, np.uint8)
    region[:24] = 1
    write_nifti(scan.with_data(region), tmp_path / "mask.nii.gz", "uint8")
    (one,) = run("noise", "scan.nii.gz", *TINY, "--noise", "gaussian", "--mask", "mask.nii.gz", "--json").json["scans"]
    assert one["noise_std"] == pytest.approx(20, rel=0.2)
    write_nifti(ball(20), tmp_path / "other.nii.gz", "float32")
    run("noise", "scan.nii.gz", *TINY, "--mask", "other.nii.gz").failed_cleanly(7, "another grid")


def test_dicom_is_named_by_pseudonym(tmp_path: Path, run: Run) -> None:
    make_series(tmp_path / "dicom", shape=(24, 22), slices=18)
    done = run("noise", "dicom", *TINY, "-o", "found")
    assert done.code == 0, done.err
    assert done.out.startswith("p-")
    names = [path.name for path in Path("found").iterdir()]
    assert len(names) == 3
    assert all(name.startswith("p-") for name in names)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("no.nii.gz",), 3, "no such file"),
        (("scan.nii.gz", "--noise", "pink"), 2, "gaussian, rician"),
        (("scan.nii.gz", "--series", "3"), 2, "--series"),
        (("scan.nii.gz", "--overwrite"), 2, "--overwrite"),
        (("scan.nii.gz", "--prior", "none"), 6, "none"),
    ],
)
def test_errors(arguments: tuple[str, ...], code: int, said: str, scan: Path, run: Run) -> None:
    run("noise", *arguments).failed_cleanly(code, said)
