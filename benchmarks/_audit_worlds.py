"""One audit of a world drawn from the bank: whose labels are tossed anew, and what the battery says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks._audit_bank import KINDS, Bank
from medidiff.privacy.battery import Evidence, run_battery
from medidiff.privacy.finding import Finding, Verdict
from medidiff.privacy.gallery import Gallery
from medidiff.privacy.identity import identical_scans
from medidiff.privacy.judge import IDENTITY, Judgement, judge
from medidiff.privacy.material import Material, Subjects
from medidiff.privacy.membership import black_box_membership
from medidiff.privacy.permutation import label_permutation
from medidiff.privacy.thresholds import TRANSFORMS, Thresholds

SIZES = ((100, 25), (100, 50), (100, 100))
SYNTHETICS = 200
MIXED = "mixed"
"""Every copy under a transform of its own."""


@dataclass(frozen=True)
class World:
    """What one audit reads; similarities by space."""

    gallery: Gallery
    sim: dict[str, np.ndarray]
    real: dict[str, np.ndarray]
    controls: dict[str, np.ndarray]
    sources: dict[str, np.ndarray]


def draw(
    bank: Bank,
    rng: np.random.Generator,
    size: tuple[int, int],
    base: str = "null",
    kind: str = "exact",
    rate: float = 0.0,
    planted: int = 30,
) -> World:
    """Train and holdout patients, synthetics of which a share are copies of train scans, and planted controls."""
    m, h = size
    people = rng.permutation(len(bank.gallery["pose"]))[: m + h]
    is_train = np.zeros(m + h, dtype=bool)
    is_train[rng.permutation(m + h)[:m]] = True
    number = {int(patient): i for i, patient in enumerate(people)}
    rows = rng.permutation(len(bank.synthetic["pose"][base]))[:SYNTHETICS]
    sim = {space: kinds[base][rows][:, people] for space, kinds in bank.synthetic.items()}

    def of_train(name: str) -> np.ndarray:
        sources = bank.sources[name]
        return np.array([i for i, s in enumerate(sources) if int(s) in number and is_train[number[int(s)]]])

    order = {name: rng.permutation(of_train(name)) for name in KINDS}
    for slot in range(round(rate * SYNTHETICS)):
        name = TRANSFORMS[slot % len(TRANSFORMS)] if kind == MIXED else kind
        copy = order[name][slot % len(order[name])]
        for space in sim:
            sim[space][slot] = bank.copies[space][name][copy][people]
    controls, sources = {}, {}
    for name in (*TRANSFORMS, *((kind,) if kind in KINDS and kind not in TRANSFORMS else ())):
        chosen = rng.permutation(of_train(name))[:planted]
        if name not in bank.copies["pose"]:
            continue  # false alarms need no controls; the draws are the same
        controls[name] = bank.copies["pose"][name][chosen][:, people]
        sources[name] = np.array([number[int(s)] for s in bank.sources[name][chosen]])
    real = {space: matrix[np.ix_(people, people)] for space, matrix in bank.gallery.items()}
    return World(Gallery(np.arange(m + h), is_train), sim, real, controls, sources)


def limits(kind: str = "exact") -> Thresholds:
    """The thresholds as they ship; a kind that is not among the transforms must be seen too."""
    shipped = Thresholds()
    return shipped if kind in (*TRANSFORMS, MIXED) else shipped.model_copy(update={"must_see": (*TRANSFORMS, kind)})


def deciding(world: World, thresholds: Thresholds) -> list[Finding]:
    """The tests that can make the audit FAIL: no control can, and none takes a FAIL back."""
    gallery, second = world.gallery, world.sim["projection"]
    return [
        identical_scans(world.sim["pose"], world.real["pose"], gallery),
        label_permutation(world.sim["pose"], gallery, thresholds),
        black_box_membership(world.sim["pose"], gallery, thresholds),
        label_permutation(second, gallery, thresholds, role="secondary", space="projection"),
        black_box_membership(second, gallery, thresholds, space="projection"),
    ]


def fails(world: World, thresholds: Thresholds) -> tuple[bool, bool]:
    """Whether the audit FAILs, by the deciding tests; and by those of them alone that have a p-value."""
    tests = deciding(world, thresholds)
    with_p = [f for f in tests if f.test != IDENTITY]
    return judge(tests, thresholds).verdict == "FAIL", judge(with_p, thresholds).verdict == "FAIL"


def judged(world: World, thresholds: Thresholds) -> Judgement:
    """The whole battery of `medidiff audit` on a world."""
    images = np.zeros((0, 8, 8, 8), np.float32)
    subjects = Subjects(world.gallery, images, (), images, (), ())
    main = Material("", world.sim["pose"], world.real["pose"], world.controls, world.sources)
    other = Material("projection", world.sim["projection"], world.real["projection"])
    return judge(run_battery(Evidence(subjects, main, (other,)), thresholds), thresholds)


def verdict(world: World, thresholds: Thresholds, whole: bool = False) -> Verdict:
    """That of the whole battery, of which the deciding tests alone are made where they suffice."""
    if not whole and judge(deciding(world, thresholds), thresholds).verdict == "FAIL":
        return "FAIL"
    return judged(world, thresholds).verdict
