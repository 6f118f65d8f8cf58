"""The volumes of a 4D scan share what is known of their noise."""

from typing import Any

import numpy as np
import pytest

from medidiff.cli.frames import merge_frames
from medidiff.result import Result
from medidiff.tasks import frames
from medidiff.tasks.frames import DIFFUSION_NOTE, combine, share
from medidiff.tasks.known_noise import KnownNoise, Told
from medidiff.volume import Volume


def known(level: float | np.ndarray, **more: Any) -> KnownNoise:
    return KnownNoise(more.pop("kind", "rician"), level, source="estimate", **more)


def test_medians_hold_for_all_volumes() -> None:
    alike = [known(level, correlation=(c, 0, 0, 0, 0, 0)) for level, c in ((9.0, 0.1), (10.0, 0.2), (40.0, 0.3))]
    together = combine([*alike, known(1.0, kind="gaussian")], frames=12)
    assert (together.kind, together.level, together.source) == ("rician", 10.0, "shared")
    assert together.correlation[0] == 0.2
    assert together.figures["noise_volumes"] == 12
    assert any("1 of 4 volumes" in text for text in together.warnings)


def test_maps_are_combined_voxel_by_voxel() -> None:
    maps = [known(np.full((2, 2, 2), value, dtype=np.float32)) for value in (1.0, 2.0, 5.0)]
    together = combine(maps, frames=3)
    assert isinstance(together.level, np.ndarray)
    assert np.all(together.level == 2)


def test_a_few_volumes_are_judged_and_a_told_level_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []

    def find(volume: Volume, data: np.ndarray, told: Told, where: np.ndarray | None = None) -> KnownNoise:
        seen.append(float(data.flat[0]))
        return known(3.0)

    monkeypatch.setattr(frames, "find_noise", find)
    volumes = [Volume.from_array(np.arange(64.0).reshape(4, 4, 4) + k) for k in range(50)]
    shared = share(iter(volumes), 50, Told(), diffusion=True)
    assert shared.noise is not None
    assert shared.noise.level == 3.0
    assert shared.warnings == [DIFFUSION_NOTE]
    assert (len(seen), seen[0], seen[-1]) == (9, 0.0, 49.0)  # the first and the last are among them
    assert share(iter(volumes), 50, Told(std=2.0)).noise is None
    assert len(seen) == 9


def test_the_status_of_a_4d_scan_is_that_of_its_volumes() -> None:
    volume = Volume.from_array(np.arange(8.0).reshape(2, 2, 2))

    def merged(*statuses: str) -> Result:
        return merge_frames([Result("denoise", status, volume, figures={"noise_std": 1.0}) for status in statuses])

    clean = "unchanged: already clean"
    assert merged(clean, clean).status == clean
    mixed = merged(clean, "denoised")
    assert mixed.status == "denoised"
    assert [frame["status"] for frame in mixed.figures["frames"]] == [clean, "denoised"]
    assert merged("denoised", "extrapolated: modality PT").status == "extrapolated: modality PT"
