"""A small store for the tests of what reads one."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medidiff.cohort.manifest import AttributeKind, ScanRow
from medidiff.cohort.recipe import Recipe
from medidiff.cohort.store import Store, content_hash, scan_id

KINDS: dict[str, AttributeKind] = {"age": "continuous", "sex": "categorical"}
Scan = tuple[str, str, float | None, str | None]


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., Store]:
    """Write a store of noise scans given as (patient, split, age, sex); shape: of every scan; taus: in turn."""

    def make(
        scans: list[Scan],
        shape: tuple[int, int, int] = (40, 30, 50),
        name: str = "store",
        taus: tuple[float, ...] = (0.1,),
    ) -> Store:
        store = Store.create(tmp_path / name, Recipe().model_dump(mode="json"))
        rows = []
        for number, (patient, split, age, sex) in enumerate(scans):
            image = np.random.default_rng(number).standard_normal(shape).astype(np.float16)
            mask = (image > 1).astype(np.uint8)
            identity = scan_id(image, np.eye(4))
            rows.append(
                ScanRow(
                    scan_id=identity,
                    patient=patient,
                    split=split,
                    modality="CT",
                    shape=shape,
                    spacing_mm=(1.0, 1.5, 2.0),
                    affine_ras=tuple(np.diag([1, 1.5, 2, 1]).ravel().tolist()),
                    body_low=(8, 8, 8),
                    body_high=(30, 20, 40),
                    intensity_scale=1.0,
                    intensity_offset=0.0,
                    tau=taus[number % len(taus)],
                    foreground=0.5,
                    content_hash=content_hash(image, mask),
                    source=f"{patient}/{number}.nii.gz",
                    bytes=store.write_scan(identity, image, mask),
                    attributes={"age": age, "sex": sex},
                )
            )
        store.write_manifest(rows, KINDS)
        return Store.open(tmp_path / name)

    return make
