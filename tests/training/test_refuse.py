"""What cannot become a prior, or cannot run here, is refused before the first step."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image

from medidiff.errors import ConfigError, InputError, MemoryLimitError
from medidiff.training import run
from medidiff.training.config import load_config
from medidiff.training.refuse import least_memory_bytes, sigma_data_of

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning")


def cohort(folder: Path, scans: dict[str, np.ndarray], patients: dict[str, str]) -> list[str]:
    """Write scans and their table; returns the settings that name them."""
    lines = ["case\tpatient\tsplit", "none\tnobody\tholdout"]
    for name, voxels in scans.items():
        Nifti1Image(voxels, np.eye(4)).to_filename(folder / f"{name}.nii.gz")
        lines.append(f"{name}\t{patients[name]}\ttrain")
    (folder / "participants.tsv").write_text("\n".join(lines) + "\n")
    source = "{type: folder, name: t1, files: '{case}.nii.gz', table: participants.tsv, licence: none}"
    return [f"data.sources=[{source}]"]


def texture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 20, (16, 16, 16)).astype(np.float32)


def test_one_patient_is_no_cohort(tmp_path: Path, tiny_config: Callable[..., Path]) -> None:
    config = tiny_config(tmp_path)
    one = cohort(tmp_path, {"a": texture(0), "b": texture(1)}, {"a": "p", "b": "p"})
    with pytest.raises(InputError, match="all 2 train scans are of one patient"):
        run.run_training(config, one, dry_run=False)
    assert not (tmp_path / "out").exists()


def test_constant_scans_are_named(tmp_path: Path, tiny_config: Callable[..., Path]) -> None:
    config = tiny_config(tmp_path)
    flat = np.full((16, 16, 16), 7.0, np.float32)
    settings = cohort(tmp_path, {"a": flat, "b": flat}, {"a": "p", "b": "q"})
    with pytest.raises(InputError, match="every voxel is 7"):
        run.run_training(config, settings)
    stores: Any = SimpleNamespace(sigma_data=lambda: (0.0,))
    with pytest.raises(InputError, match="every training patch is constant"):
        sigma_data_of(stores)
    stores.sigma_data = lambda: (float("nan"),)
    with pytest.raises(InputError, match="not finite"):
        sigma_data_of(stores)


def test_an_empty_cohort_is_named(tmp_path: Path, tiny_config: Callable[..., Path]) -> None:
    config = tiny_config(tmp_path)
    with pytest.raises(InputError, match="t1: no scan of split train"):
        run.run_training(config, cohort(tmp_path, {}, {}))


def test_a_patch_larger_than_memory_is_refused_at_once(tmp_path: Path, tiny_config: Callable[..., Path]) -> None:
    config = tiny_config(tmp_path)
    with pytest.raises(MemoryLimitError, match=r"4096 x 4096 x 4096.*GiB are free.*scale\.accumulate"):
        run.run_training(config, ["data.patch=[4096, 4096, 4096]"])
    with pytest.raises(ConfigError, match="multiples of 4"):
        run.run_training(config, ["data.patch=[10, 8, 8]"])


def test_the_least_memory_follows_what_is_held_at_a_time(tmp_path: Path, tiny_config: Callable[..., Path]) -> None:
    path = tiny_config(tmp_path)
    whole = least_memory_bytes(load_config(path, ["optimiser.batch=4"]))
    # 5 maps of 2 bytes: levels of 4^3 and 2^3 voxels, 8 features, 2 blocks and 1; 4 patches
    assert whole == 4 * (2 * 64 + 8) * 8 * 5 * 2
    assert least_memory_bytes(load_config(path, ["optimiser.batch=4", "scale.accumulate=2"])) == whole // 2
    assert least_memory_bytes(load_config(path, ["optimiser.batch=4", "scale.devices=2"])) == whole
    again = load_config(path, ["optimiser.batch=4", "scale.activation_checkpointing=true"])
    assert least_memory_bytes(again) == whole // 5


def test_running_out_of_memory_says_what_to_do(
    tmp_path: Path, tiny_config: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr("medidiff.training.module.draw_batch", full)
    with pytest.raises(MemoryLimitError, match=r"out of memory.*smaller data\.patch"):
        run.run_training(tiny_config(tmp_path), [])
