"""The release filter: a sample that is a patient's scan is drawn again, others stay, and the card says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from medidiff.cohort.scan_set import read_scan_set
from medidiff.errors import InputError
from medidiff.io import read_nifti, write_nifti
from medidiff.prior import Prior
from medidiff.privacy.guard import Guard
from medidiff.privacy.similarity import PoseSearch
from medidiff.synthesis.guard import GuardRequest
from medidiff.synthesis.request import SetRequest
from medidiff.synthesis.run import Where, run
from medidiff.volume import Volume

SHAPE = (16, 16, 16)
QUICK = PoseSearch(most_degrees=0, flips=False, candidates=3, starts=1, steps=2)


def blobs(seed: int) -> np.ndarray:
    return ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), 1.2).astype(np.float32)


def write_patients(root: Path, images: list[np.ndarray]) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        write_nifti(Volume(image, np.eye(4), None, f"p{i}"), root / f"p{i}.nii.gz")
    return root


def make(prior_file: Path, root: Path, guard: GuardRequest | None, **changes: Any) -> list[dict[str, Any]]:
    request = SetRequest(
        prior=prior_file, count=4, seed=5, n_steps=2, max_attempts=2, device="cpu", precision="float32"
    )
    request = replace(request, guard=guard, **changes)
    job = run(request, request.maker(), Where(root))
    return [job.rows[i] for i in range(4)]


def test_a_copy_is_too_near_and_a_stranger_is_not() -> None:
    images = np.stack([blobs(i) for i in range(30)])
    guard = Guard(images, [f"patient {i}" for i in range(30)], search=QUICK)
    assert guard.judge(images[3]).too_near
    assert guard.judge(images[3] * 7 + 100).too_near
    # above the largest of 30 strangers: about 1 in 31 strangers more; 5 of 20 have a probability of 0.0003
    assert sum(guard.judge(blobs(100 + i)).too_near for i in range(20)) <= 4


def test_its_word_does_not_depend_on_the_order_of_patients() -> None:
    images = np.stack([blobs(i) for i in range(12)])
    turned = Guard(images[::-1], [f"{i}" for i in range(12)][::-1], search=QUICK)
    guard = Guard(images, [f"{i}" for i in range(12)], search=QUICK)
    assert guard.hash == turned.hash
    assert guard.limit == pytest.approx(turned.limit)
    assert guard.judge(blobs(50)).gap == pytest.approx(turned.judge(blobs(50)).gap)


def test_too_few_patients_are_refused() -> None:
    with pytest.raises(InputError, match="10 are needed"):
        Guard(np.stack([blobs(i) for i in range(4)]), list("abcd"))


def test_a_set_draws_again_what_is_a_patients_scan(prior_file: Path, mask_prior: Prior, tmp_path: Path) -> None:
    before = make(prior_file, tmp_path / "before", None)
    copied = read_nifti(tmp_path / "before" / before[1]["image"]).data
    people = write_patients(tmp_path / "people", [blobs(i) for i in range(14)] + [copied])
    guard = GuardRequest(str(people), None, SHAPE, (1.0, 1.0, 1.0))
    after = make(prior_file, tmp_path / "after", guard)
    assert any(reason.startswith("guard: nearer to a patient than chance allows") for reason in after[1]["rejected"])
    assert after[1]["voxels_sha256"] != before[1]["voxels_sha256"]
    card = (tmp_path / "after" / "README.md").read_text()
    assert "Guard: " in card
    assert "Audit an unfiltered set" in card
    assert "people" not in (tmp_path / "after" / "synthesis.json").read_text()


def test_a_set_that_comes_near_nobody_stays_as_it_is(prior_file: Path, mask_prior: Prior, tmp_path: Path) -> None:
    before = make(prior_file, tmp_path / "before", None)
    people = write_patients(tmp_path / "people", [blobs(i) for i in range(14)])
    after = make(prior_file, tmp_path / "after", GuardRequest(str(people), None, SHAPE, (1.0, 1.0, 1.0)))
    kept = [(one, other) for one, other in zip(before, after, strict=True) if not other["rejected"]]
    assert kept
    assert all(one["voxels_sha256"] == other["voxels_sha256"] for one, other in kept)
    assert len(read_scan_set(tmp_path / "after")) == sum(row["status"] == "done" for row in after)
