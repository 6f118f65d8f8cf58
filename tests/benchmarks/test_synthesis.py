"""The pieces of the synthesis benchmark that figures rest on, on cases known by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks._synthesis_classifier_net import auc
from benchmarks._synthesis_conditions import agreement
from benchmarks._synthesis_data import (
    FIDELITY_WINDOW,
    WINDOW,
    fidelity_window,
    joined,
    read_made,
    real_pairs,
    window,
)
from benchmarks._synthesis_distance import fold
from benchmarks._synthesis_intervals import patient_bootstrap, shown
from benchmarks._synthesis_peer import batch_of, channels_of
from benchmarks._synthesis_peer_ddpm import DDIM_STEPS, DdimSampler
from benchmarks._synthesis_peer_vae import LatentGaussianSampler
from benchmarks._synthesis_samples import kept_samples
from benchmarks._synthesis_segmentation_net import dice, patient_means
from benchmarks._synthesis_settings import Settings, key
from benchmarks._synthesis_train import Budget, train
from benchmarks.synthesis import PARTS, main
from benchmarks.synthesis_page import fill
from medidiff.errors import InputError

RNG = np.random.default_rng(0)


def test_window_takes_the_middle_and_mirrors_where_there_is_no_more() -> None:
    line = np.arange(6, dtype=np.float32)[:, None, None] * np.ones((1, 4, 4), np.float32)
    middle = window(line, mirrored=True, shape=(4, 4, 4))
    np.testing.assert_array_equal(middle[:, 0, 0], [1, 2, 3, 4])
    wider = window(line, mirrored=True, shape=(9, 4, 4))
    np.testing.assert_array_equal(wider[:, 0, 0], [0, 0, 1, 2, 3, 4, 5, 5, 4])
    np.testing.assert_array_equal(window(line, mirrored=False, shape=(9, 4, 4))[:, 0, 0], [0, 0, 1, 2, 3, 4, 5, 0, 0])
    assert fidelity_window(RNG.random((2, *WINDOW))).shape == (2, *FIDELITY_WINDOW)


def test_dice_by_hand() -> None:
    truth = np.zeros((3, 4, 1, 1), np.uint8)
    truth[:2, :2, 0, 0], truth[:2, 2, 0, 0] = 1, 2
    found = truth.copy()
    found[1, 0] = 0  # label 1: 1 of 2 found: 2 * 1 / (1 + 2); label 2 whole
    np.testing.assert_allclose(dice(found, truth), [1.0, (2 / 3 + 1) / 2, 1.0])  # the third has no label at all
    np.testing.assert_allclose(patient_means(np.array([0.5, 0.7, 0.9]), ["b", "a", "b"]), [0.7, 0.7])


def test_auc_by_hand() -> None:
    assert auc(np.array([0.0, 1.0]), np.array([2.0, 3.0])) == 1.0
    assert auc(np.array([0.0, 2.0]), np.array([1.0, 2.0])) == (1 + 0 + 1 + 0.5) / 4
    assert np.isnan(auc(np.array([]), np.array([1.0])))


def test_bootstrap_of_equal_patients_has_no_width() -> None:
    a, b = np.full(9, 0.8), np.full(9, 0.5)
    assert patient_bootstrap(lambda x, y: x - y, a, b) == pytest.approx((0.3, 0.3, 0.3))
    wide = patient_bootstrap(lambda x: x, RNG.standard_normal(100))
    assert wide[2] - wide[1] == pytest.approx(2 * 1.96 / 10, rel=0.3)  # standard error 1/10
    assert shown((0.1234, 0.1, 0.2), sign=True) == "+0.123 [+0.100, +0.200]"


def test_agreement_of_volumes_that_are_a_tenth_too_large() -> None:
    asked = np.linspace(2, 4, 41)
    found = agreement(asked, 1.1 * asked, limit=2.5)
    assert found["correlation"][0] == pytest.approx(1.0)
    assert found["bias"] == pytest.approx((0.1, 0.1, 0.1))
    assert found["low_median_ratio"] == pytest.approx(1.1)
    assert found["low_count"] == 10


def test_a_distance_inside_the_band_counts_as_its_end() -> None:
    assert fold(0.8, 0.2, 0.1) == pytest.approx(4.0)
    assert fold(0.8, -0.05, 0.1) == pytest.approx(8.0)
    assert fold(0.05, -0.05, 0.1) == 1.0


def _line(seed: int) -> tuple[nn.Linear, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    net = nn.Linear(3, 1)
    return net, torch.optim.AdamW(net.parameters(), 0.1)


def _run(path: Path, steps: int) -> tuple[torch.Tensor, int]:
    net, optimiser = _line(0)
    calls = 0

    def step(_number: int, _progress: float) -> None:
        nonlocal calls
        calls += 1
        optimiser.zero_grad()
        net(torch.randn(4, 3)).square().mean().backward()
        optimiser.step()

    spent = train({"net": net, "optimiser": optimiser}, step, Budget(steps=steps), path, seed=3)
    assert spent.steps == steps
    return net.weight.detach().clone(), calls


def test_a_training_that_was_stopped_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    whole, calls = _run(tmp_path / "whole.pt", 9)
    assert calls == 9
    _run(tmp_path / "parts.pt", 4)
    again, calls = _run(tmp_path / "parts.pt", 9)
    assert calls == 5
    torch.testing.assert_close(again, whole, rtol=0, atol=0)
    assert _run(tmp_path / "parts.pt", 9)[1] == 0  # finished: only loaded


def test_a_budget_in_minutes_ends(tmp_path: Path) -> None:
    net, optimiser = _line(0)
    parts: dict[str, nn.Module | torch.optim.Optimizer] = {"net": net, "optimiser": optimiser}
    spent = train(parts, lambda *_: sum(range(20_000)), Budget(cpu_minutes=0.05 / 60), tmp_path / "a.pt", 0)
    assert spent.seconds >= 0.05
    assert Budget(steps=10, cpu_minutes=1).progress(5, 45) == 0.75


def test_samples_are_drawn_once(tmp_path: Path) -> None:
    drawn = []

    def draw(index: int) -> dict[str, np.ndarray]:
        drawn.append(index)
        return {"image": np.full((2, 2), index)}

    assert kept_samples(tmp_path, 30, draw)["image"][:, 0, 0].tolist() == list(range(30))
    more = kept_samples(tmp_path, 33, draw)["image"]
    assert more[:, 0, 0].tolist() == list(range(33))
    assert kept_samples(tmp_path, 7, draw)["image"].shape == (7, 2, 2)
    assert drawn == list(range(33))


def test_an_npz_is_read_as_pairs(tmp_path: Path) -> None:
    images, masks = RNG.standard_normal((3, *WINDOW)).astype(np.float16), np.zeros((3, *WINDOW), np.uint8)
    masks[:, :10, :10, :10] = 2
    path = tmp_path / "made.npz"
    np.savez(path, image=images, mask=masks, volume_ml=np.array([1.0, 2.0, 3.0]))
    pairs = read_made(path)
    np.testing.assert_array_equal(pairs.images, images.astype(np.float32))
    assert pairs.volume_ml.tolist() == [1.0, 1.0, 1.0]
    assert pairs.requested_ml.tolist() == [1.0, 2.0, 3.0]
    both = joined(pairs, pairs.take(np.array([2])))
    assert len(both) == 4
    assert both.patients[3] == pairs.patients[2]
    channels = channels_of(pairs)
    assert channels[:, 1].unique().tolist() == [-1.0]
    assert channels[0, 2].mean() == pytest.approx(2 * 1000 / masks[0].size - 1)
    batch = batch_of(channels, 8, seed=0, number=1)
    torch.testing.assert_close(batch, batch_of(channels, 8, seed=0, number=1))
    with pytest.raises(InputError, match="neither"):
        read_made(tmp_path / "nothing")


def test_the_latent_gaussian_has_the_latents_covariance() -> None:
    class Half(nn.Module):
        def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
            return x[:, :, ::2, ::2, ::2], None

        def decode(self, z: torch.Tensor) -> torch.Tensor:
            return z

    data = torch.from_numpy(RNG.standard_normal((40, 1, 2, 2, 4))).float() @ torch.diag(torch.tensor([1.0, 1, 3, 1]))
    sampler = LatentGaussianSampler(Half(), data)  # type: ignore[arg-type]
    samples = torch.stack([sampler.sample(seed) for seed in range(3000)])[:, 0, 0, 0]
    own = data[:, 0, 0, 0, ::2]
    torch.testing.assert_close(samples.mean(dim=0), own.mean(dim=0), rtol=0, atol=0.2)
    torch.testing.assert_close(torch.cov(samples.T), torch.cov(own.T), rtol=0.15, atol=0.2)  # bf16 latents


def test_ddim_reaches_the_data_of_an_exact_noise_predictor() -> None:
    target = torch.from_numpy(RNG.uniform(-1, 1, (1, 3, *WINDOW))).float()

    class Exact(nn.Module):
        def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            a = sampler.scheduler.alphas_cumprod[t]
            return (x - a.sqrt() * target) / (1 - a).sqrt()

    sampler = DdimSampler(Exact(), -1.0, 1.0)  # type: ignore[arg-type]
    torch.testing.assert_close(sampler.sample(0), target[0], rtol=0, atol=1e-3)
    assert len(sampler.scheduler.timesteps) == DDIM_STEPS


def test_keys_tell_settings_and_arrays_apart() -> None:
    a = np.zeros((2, 3))
    assert key(1, a) == key(1, a.copy())
    assert len({key(1, a), key(2, a), key(1, a + 1), key(1, a.reshape(3, 2)), key(1, a.astype(np.float32))}) == 5


def test_the_page_is_filled_from_the_results() -> None:
    page = "A\n<!-- from results: peers -->\nold\n<!-- end -->\n<!-- from results: verdicts -->\n<!-- end -->\n"
    filled = fill(page, {"peers": {"lines": ["| a |"], "holds": False, "date": "2026-11-22", "cpu": "X"}})
    assert "old" not in filled
    assert "| a |" in filled
    assert f"| {PARTS['peers']} | SHORT |" in filled
    assert filled.count("not measured yet") == len(PARTS) - 1
    assert fill(filled, {"peers": {"lines": ["| a |"], "holds": False, "date": "2026-11-22", "cpu": "X"}}) == filled


def test_an_unknown_part_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["everything"]) == 2
    assert "must be one of segmentation" in capsys.readouterr().err


def test_real_pairs_of_the_store() -> None:
    store = Settings().store
    if not (store / "store.json").is_file():
        pytest.skip(f"no prepared store at {store}: see configs/hippocampus.yaml")
    train_pairs, val = real_pairs(store, "train"), real_pairs(store, "val")
    assert not set(train_pairs.patients) & set(val.patients)
    inside = (val.masks > 0).sum(axis=(1, 2, 3)) / 1000
    np.testing.assert_allclose(inside, val.volume_ml, rtol=0.01)  # the window holds every hippocampus
    assert set(np.unique(val.masks)) == {0, 1, 2}
    assert abs(float(np.median(val.images))) < 1


def test_a_folder_of_medidiff_synth_is_read(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from benchmarks._synthesis_folder import read_folder
    from medidiff.io import write_nifti
    from medidiff.volume import Volume

    rows = []
    for index in (1, 0):
        image = RNG.normal(500, 100, WINDOW).astype(np.float32)
        mask = np.zeros(WINDOW, np.uint8)
        mask[: index + 1] = 1
        volume = Volume.from_array(image, (1.0, 1.0, 1.0))
        write_nifti(volume, tmp_path / f"s-{index}.nii.gz", "float32")
        write_nifti(volume.with_data(mask), tmp_path / f"s-{index}_mask.nii.gz", "uint8")
        names = {"image": f"s-{index}.nii.gz", "mask": f"s-{index}_mask.nii.gz"}
        rows.append({"index": index, "status": "done", **names, "condition_volume_ml": 2.0 + index})
    rows.append({"index": 2, "status": "failed", "image": "", "mask": "", "condition_volume_ml": None})
    with pytest.raises(InputError, match="no manifest"):
        read_folder(tmp_path)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "manifest.parquet")
    pairs = read_folder(tmp_path)
    assert pairs.requested_ml.tolist() == [2.0, 3.0]
    assert pairs.volume_ml.tolist() == [48 * 40 / 1000, 2 * 48 * 40 / 1000]
    assert np.percentile(pairs.images[0], [0.5, 99.5]) == pytest.approx([-1, 1], abs=1e-3)


def test_help_names_every_part(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert all(name in said for name in PARTS)
    assert "95% of the real Dice" in said
