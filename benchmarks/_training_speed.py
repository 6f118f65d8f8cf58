"""Patches a second of a whole training step, against MONAI's DiffusionModelUNet, alternated in one process.

Ours is the real thing: Lightning, the loader with its augmentation, noise maps, losses, guard, Muon, averages; the
network of configs/general.yaml, as shipped (precision by measurement) and in float32. Theirs is MONAI's 3D DDPM
tutorial in its layout (two residual blocks, attention at the lowest level, GroupNorm, Adam, noise prediction, float32)
with channels (64, 64, 120) instead of (256, 256, 512), which makes the parameters equal within 2%; patches lie ready
in memory for it. Ours must be at least 5 times as fast; the same at equal precision and without their attention is
shown.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor

from medidiff.precision import choose_precision
from medidiff.training.config import TrainingConfig, load_config

CONFIG = Path(__file__).parents[1] / "configs" / "general.yaml"
PATCH, BATCH = (48, 48, 48), 2
CHANNELS, GROUPS = (64, 64, 120), 8
LEAST_RATIO = 5.0
WARM = 2
PEAK_FLOPS = {"H200": 989e12, "H100": 989e12, "A100": 312e12}
"""Dense bfloat16 peak by name of the accelerator, for the utilisation (vendor's data sheets)."""


def run(quick: bool = False, rounds: int = 5, threads: int | None = None) -> dict[str, Any]:
    """Times of every variant; `quick` takes small patches and two rounds, and its ratios mean nothing."""
    threads = threads or int(os.environ.get("OMP_NUM_THREADS", 2))
    torch.set_num_threads(threads)
    patch, rounds = ((16, 16, 16), 2) if quick else (PATCH, rounds)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    load = os.getloadavg()[0]
    best = choose_precision("auto", device)
    theirs = {
        "monai as documented (float32)": Peer(patch, device, attention=True, bf16=False),
        "monai bf16, channels_last_3d": Peer(patch, device, attention=True, bf16=True),
        "monai float32, no attention": Peer(patch, device, attention=False, bf16=False),
        "monai bf16, channels_last_3d, no attention": Peer(patch, device, attention=False, bf16=True),
    }
    seconds: dict[str, list[float]] = {}
    parameters = {name: peer.parameters for name, peer in theirs.items()}
    for name, precision, peers in (
        (f"medidiff as shipped ({best.dtype})", best.dtype, theirs),
        ("medidiff float32", "float32", {name: peer for name, peer in theirs.items() if not peer.bf16}),
    ):
        if precision == "float32" and best.dtype == "float32" and "as shipped" not in name:
            continue
        parameters[name], times = alternate(patch, str(precision), rounds, peers)
        for variant, values in {**times, name: times["ours"]}.items():
            if variant != "ours":
                seconds.setdefault(variant, []).extend(values)
    return _summary(seconds, parameters, patch, threads, load, device, theirs, quick)


def alternate(
    patch: tuple[int, ...], precision: str, rounds: int, peers: dict[str, Peer]
) -> tuple[int, dict[str, list[float]]]:
    """Train ours; after each of its steps one step of every peer. Seconds by name, ours under `ours`."""
    times: dict[str, list[float]] = {"ours": [], **{name: [] for name in peers}}

    class Turns(lightning.Callback):
        started = time.perf_counter()

        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            _wait()
            if trainer.global_step > WARM:
                times["ours"].append(time.perf_counter() - self.started)
            for name, peer in peers.items():
                took = _timed(peer.step)
                if trainer.global_step > WARM:
                    times[name].append(took)
            self.started = time.perf_counter()  # the next interval has the loader's work in it

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = _train(Path(folder), patch, precision, WARM + rounds, Turns())
    return sum(p.numel() for p in module.denoiser.parameters()), times


def our_config(folder: Path, patch: tuple[int, ...], precision: str, steps: int) -> TrainingConfig:
    """configs/general.yaml on procedural volumes alone, from nothing, without validation."""
    sources = '[{"type": "procedural", "volumes": 8, "size": 64, "seed": 1}]'
    return load_config(
        CONFIG,
        [
            f"output={folder}",
            f"data.sources={sources}",
            f"data.cache={folder}",
            f"data.patch={list(patch)}",
            f"optimiser.batch={BATCH}",
            f"optimiser.steps={steps}",
            f"precision={precision}",
            "hours=null",
            "start_from=null",
            *(f"{key}=1000000" for key in ("validate_every", "checkpoint_minutes", "log_every")),
        ],
    )


def _train(folder: Path, patch: tuple[int, ...], precision: str, steps: int, turns: lightning.Callback) -> Any:
    from medidiff.training import run as training

    config = our_config(folder, patch, precision, steps)
    data = training._data_module(config)
    data.setup()
    data.loaded["val"] = []
    module = training.DenoiserTraining(config, data.kinds, data.sigma_data())
    budget = training.Budget(config.optimiser.steps, None)
    budget.begin()
    trainer, _ = training.make_trainer(config, module, budget, training.RunStatus(folder, "speed", steps))
    trainer.callbacks.append(turns)  # type: ignore[attr-defined]
    trainer.limit_val_batches = 0
    trainer.fit(module, datamodule=data)
    return module


class Peer:
    """One training step of MONAI's tutorial `generation/3d_ddpm`: random timesteps, noise prediction, MSE, Adam."""

    def __init__(self, patch: tuple[int, ...], device: torch.device, *, attention: bool, bf16: bool) -> None:
        from monai.networks.nets.diffusion_model_unet import DiffusionModelUNet
        from monai.networks.schedulers.ddpm import DDPMScheduler

        torch.manual_seed(0)
        self.bf16, self.device = bf16, device
        self.network: Any = DiffusionModelUNet(
            spatial_dims=3, in_channels=1, out_channels=1, channels=CHANNELS, num_res_blocks=2, norm_num_groups=GROUPS,
            attention_levels=(False, False, attention), num_head_channels=(0, 0, CHANNELS[-1]),
        )  # fmt: skip
        if not attention:
            self.network.middle_block.attention = torch.nn.Identity()
        self.network.to(device)
        if bf16:
            self.network.to(memory_format=torch.channels_last_3d)
        self.scheduler = DDPMScheduler(1000, schedule="scaled_linear_beta", beta_start=0.0005, beta_end=0.0195)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=5e-5)
        self.images = torch.randn(BATCH, 1, *patch, device=device)
        self.parameters = sum(p.numel() for p in self.network.parameters())

    def step(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        self.loss().backward()
        self.optimizer.step()
        _wait()

    def loss(self) -> Tensor:
        noise = torch.randn_like(self.images)
        timesteps = torch.randint(0, 1000, (BATCH,), device=self.device)
        noisy = self.scheduler.add_noise(original_samples=self.images, noise=noise, timesteps=timesteps)
        if self.bf16:
            noisy = noisy.to(memory_format=torch.channels_last_3d)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            predicted = self.network(noisy, timesteps=timesteps)
        return torch.nn.functional.mse_loss(predicted.float(), noise)


def _timed(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _summary(
    seconds: dict[str, list[float]], parameters: dict[str, int], patch: tuple[int, ...], threads: int, load: float,
    device: torch.device, theirs: dict[str, Peer], quick: bool,
) -> dict[str, Any]:  # fmt: skip
    rows = []
    for name in sorted(seconds, key=lambda name: statistics.median(seconds[name])):
        times = seconds[name]
        median = statistics.median(times)
        rows.append(
            {
                "name": name,
                "parameters": parameters[name],
                "step_s": median,
                "fastest_s": min(times),
                "slowest_s": max(times),
                "steps": len(times),
                "patches_per_s": BATCH / median,
            }
        )
    rate = {row["name"]: row["patches_per_s"] for row in rows}
    ratios = _ratios(rate)
    lines = [
        f"Patches {' x '.join(map(str, patch))}, batch {BATCH}, {threads} thread(s), {device.type}, load {load:.1f} at "
        f"the start, torch {torch.__version__}; medians, alternated.",
        "",
        "| whole training step | parameters | s a step (fastest, slowest) | patches/s |",
        "|---|---|---|---|",
    ]
    for r in rows:
        span = f"{r['step_s']:.2f} ({r['fastest_s']:.2f}, {r['slowest_s']:.2f})"
        lines.append(f"| {r['name']} | {r['parameters'] / 1e6:.2f} M | {span} | {r['patches_per_s']:.2f} |")
    lines += ["", *(f"- {name}: {value:.1f} times" for name, value in ratios.items())]
    result = {"rows": rows, "ratios": ratios, "threads": threads, "load_at_start": load, "patch": list(patch)}
    if device.type == "cuda":
        result["utilisation"] = _utilisation(rate, theirs, device)
        lines += [f"- share of the accelerator's peak, {k}: {v:.1%}" for k, v in result["utilisation"].items()]
    holds = quick or ratios["as shipped against as documented"] >= LEAST_RATIO
    return result | {"holds": holds, "lines": lines}


def _ratios(rate: dict[str, float]) -> dict[str, float]:
    """How many times faster ours is, like with like."""
    shipped = next(name for name in rate if "as shipped" in name)
    found = {"as shipped against as documented": rate[shipped] / rate["monai as documented (float32)"]}
    if "bf16" in shipped:
        found["both bf16"] = rate[shipped] / rate["monai bf16, channels_last_3d"]
        found["both bf16, no attention there"] = rate[shipped] / rate["monai bf16, channels_last_3d, no attention"]
    ours = rate.get("medidiff float32", rate[shipped])
    found["both float32"] = ours / rate["monai as documented (float32)"]
    found["both float32, no attention there"] = ours / rate["monai float32, no attention"]
    return found


def _utilisation(rate: dict[str, float], theirs: dict[str, Peer], device: torch.device) -> dict[str, float]:
    """Model FLOP utilisation: forward and backward operations of the network alone, over the dense bf16 peak.

    Untried: no accelerator was at hand when this was written.
    """
    from torch.utils.flop_counter import FlopCounterMode

    name = torch.cuda.get_device_name(device)
    peak = next((flops for key, flops in PEAK_FLOPS.items() if key in name), None)
    if peak is None:
        return {}
    found = {}
    for label, peer in theirs.items():
        with FlopCounterMode(display=False) as counter:
            peer.loss().backward()
        found[label] = rate[label] * counter.get_total_flops() / BATCH / peak
    with tempfile.TemporaryDirectory() as folder:
        from medidiff.nets.unet import HaarUNet

        config = our_config(Path(folder), PATCH, "bf16", 1)
        network = HaarUNet(config.network).to(device)
    x = torch.randn(BATCH, 1, *PATCH, device=device)
    with FlopCounterMode(display=False) as counter, torch.autocast("cuda", dtype=torch.bfloat16):
        mean, variance = network(x, torch.zeros(BATCH, 1, 1, 1, 1, device=device), None, None)
        (mean.float().sum() + variance.float().sum()).backward()
    shipped = next(name for name in rate if "as shipped" in name)
    found[shipped] = rate[shipped] * counter.get_total_flops() / BATCH / peak
    return found


if __name__ == "__main__":
    import sys

    print("\n".join(run(quick="--quick" in sys.argv)["lines"]))
