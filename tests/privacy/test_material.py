"""Who is compared with whom, from scans to a verdict, on worlds small enough to know the answer."""

from __future__ import annotations

import numpy as np
import pytest

from medidiff.cohort.scan_set import ScanSet
from medidiff.errors import InputError
from medidiff.privacy.battery import Evidence, run_battery
from medidiff.privacy.judge import judge
from medidiff.privacy.material import Material, Subjects, gather, measure
from medidiff.privacy.thresholds import Thresholds

SHAPE = (10, 10, 10)
FAST = Thresholds(permutations=999, planted=12, must_see=("exact", "gamma", "noise"))


def scans(seed: int, count: int) -> np.ndarray:
    images = np.random.default_rng(seed).normal(size=(count, *SHAPE)).astype(np.float32)
    return (images - images.mean((1, 2, 3), keepdims=True)) / images.std((1, 2, 3), keepdims=True)


def scan_set(images: np.ndarray, name: str, patients: list[str] | None = None) -> ScanSet:
    names = tuple(f"{name}{i}" for i in range(len(images)))
    return ScanSet(name, images, None, tuple(patients or names), names, (1.0, 1.0, 1.0), ({},) * len(images))


def correlation(queries: np.ndarray, gallery: np.ndarray, progress: object) -> np.ndarray:
    return np.clip(queries.reshape(len(queries), -1) @ gallery.reshape(len(gallery), -1).T / 1000, -1, 1)


def verdict(synthetic: np.ndarray, train: np.ndarray, holdout: np.ndarray) -> str:
    subjects = gather(scan_set(synthetic, "s"), scan_set(train, "t"), scan_set(holdout, "h"))
    main = measure(subjects, correlation, FAST)
    return judge(run_battery(Evidence(subjects, main), FAST), FAST).verdict


def test_scans_keep_their_patients_and_sides() -> None:
    train, holdout = scans(0, 12), scans(1, 8)
    people = [f"t{i // 2}" for i in range(12)]
    subjects = gather(scan_set(scans(2, 5), "s"), scan_set(train, "t", people), scan_set(holdout, "h"))
    assert (subjects.gallery.n_train, subjects.gallery.n_holdout) == (6, 8)
    for image, patient in zip(subjects.real, subjects.gallery.patients, strict=True):
        mine = [name for one, name in zip(train, people, strict=True) if np.array_equal(one, image)]
        mine += [f"h{i}" for i, one in enumerate(holdout) if np.array_equal(one, image)]
        assert mine == [subjects.people[patient]]
        assert subjects.gallery.is_train[patient] == mine[0].startswith("t")
    assert {float(subjects.synthetic[i, 0, 0, 0]) for i in range(5)} == {float(x[0, 0, 0]) for x in scans(2, 5)}


def test_planted_copies_are_of_train_patients_alone() -> None:
    subjects = gather(scan_set(scans(2, 5), "s"), scan_set(scans(0, 12), "t"), scan_set(scans(1, 8), "h"))
    material = measure(subjects, correlation, FAST)
    for name in FAST.must_see:
        assert subjects.gallery.is_train[material.sources[name]].all()
    nearest = subjects.gallery.patients[material.planted["exact"].argmax(axis=1)]
    assert (nearest == material.sources["exact"]).all()


@pytest.mark.parametrize(
    ("train", "holdout", "words"),
    [
        (
            scan_set(scans(0, 6), "a", list("uvwxyz")),
            scan_set(scans(1, 6), "b", list("zstopq")),
            "in train and in hold",
        ),
        (scan_set(scans(0, 6), "a"), scan_set(scans(0, 6)[::-1], "b"), "are in holdout too"),
        (scan_set(scans(0, 4), "a"), scan_set(scans(1, 6), "b"), "--train a: 4 patients"),
        (scan_set(scans(0, 6), "a"), scan_set(scans(1, 6), "b", list("kkkkkk")), "--holdout b: 1 patients"),
    ],
)
def test_what_makes_an_audit_worthless_is_refused(train: ScanSet, holdout: ScanSet, words: str) -> None:
    with pytest.raises(InputError, match=words):
        gather(scan_set(scans(2, 5), "s"), train, holdout)


def test_copies_fail_and_strangers_do_not() -> None:
    train, holdout, made = scans(0, 40), scans(1, 40), scans(2, 100)
    assert verdict(made, train, holdout) in ("PASS", "INCONCLUSIVE")
    copied = made.copy()
    copied[:12] = train[:12]
    assert verdict(copied, train, holdout) == "FAIL"
    copied[:12] = holdout[:12]
    assert verdict(copied, train, holdout) in ("PASS", "INCONCLUSIVE")


def test_one_scan_of_a_patient_among_many_is_one_too_many() -> None:
    train, holdout, made = scans(0, 40), scans(1, 40), scans(2, 150)
    made[7] = train[3]
    subjects = gather(scan_set(made, "s"), scan_set(train, "t"), scan_set(holdout, "h"))
    found = judge(run_battery(Evidence(subjects, measure(subjects, correlation, FAST)), FAST), FAST)
    assert found.verdict == "FAIL"
    assert "1 of 150 synthetics ARE scans of train patients" in found.words
    made[7] = holdout[3]
    assert verdict(made, train, holdout) != "FAIL"


def test_the_findings_do_not_depend_on_the_order_of_files() -> None:
    def found(order: int) -> list[tuple[str, float | None, float | None]]:
        rng = np.random.default_rng(order)
        sets = [scan_set(x[rng.permutation(len(x))], n) for x, n in ((made, "s"), (train, "t"), (holdout, "h"))]
        subjects: Subjects = gather(*sets)
        main: Material = measure(subjects, correlation, FAST)
        return [(f.test, f.statistic, f.p_value) for f in run_battery(Evidence(subjects, main), FAST)]

    train, holdout, made = scans(0, 20), scans(1, 20), scans(2, 40)
    made[:3] = train[:3]
    first, second = found(0), found(1)
    for one, other in zip(first, second, strict=True):
        assert one[0] == other[0]
        assert one[1:] == pytest.approx(other[1:], abs=1e-12)
