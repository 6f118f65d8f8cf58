"""A few real training steps in a process of their own: what a step takes in time and memory, before a run starts."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import lightning
import torch
from torch import Tensor

from medidiff.errors import MemoryLimitError, TrainingError
from medidiff.training.config import TrainingConfig

WARM, TIMED = 2, 4
"""Steps that are not counted (allocation, compilation) and steps that are: by turns with one noise level and with a
map, which takes more time and memory."""
_LIMIT_S = 900
_MEMORY_CODES = (-9, 137, 5)


@dataclass(frozen=True)
class Measured:
    """What the steps took.

    Attributes:
        step_s: One micro-batch, forward, backward and update; mean over constant levels and maps as the run has them.
        cpu_s: Processor time of it over all threads; far below `step_s` on a machine that others use too.
        forward_s: One patch through the network as validation does it.
        peak_rss_gib: Largest memory of the process, without scans.
        peak_cuda_gib: Largest memory on the accelerator, None without one.
        checkpoint_bytes: Weights, averages and optimiser, as a checkpoint holds them.
        parameters: Weights of the network.
        trained: Weights that move.
        precision: bf16 or float32.
        reason: Why.
        device: cpu, cuda or mps.
    """

    step_s: float
    cpu_s: float
    forward_s: float
    peak_rss_gib: float
    peak_cuda_gib: float | None
    checkpoint_bytes: int
    parameters: int
    trained: int
    precision: str
    reason: str
    device: str


def measure_step(config: TrainingConfig, kinds: tuple[str, ...], sigma_data: float, threads: int) -> Measured:
    """Train a few steps on random numbers in a new process, so that its memory is that of a run.

    Args:
        config: The run, with the conditions of its data.
        kinds: Values of the condition `kind`.
        sigma_data: Standard deviation of the patches.
        threads: CPU threads.

    Raises:
        MemoryLimitError: A step does not fit into memory.
        TrainingError: It failed otherwise; the message has its last line.
    """
    from medidiff.device import pick_device
    from medidiff.precision import choose_precision

    choice = choose_precision(
        config.precision, pick_device("auto")
    )  # here: trying both would count as the step's memory
    request = {
        "config": config.model_dump(mode="json") | {"precision": choice.dtype},
        "kinds": kinds,
        "sigma_data": sigma_data,
        "threads": threads,
    }
    command = [sys.executable, "-m", "medidiff.training.measure"]
    try:
        done = subprocess.run(
            command, input=json.dumps(request), capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise TrainingError(f"a few steps took more than {_LIMIT_S} s: data.patch or network is too large.") from error
    if done.returncode in _MEMORY_CODES or "out of memory" in done.stderr.lower():
        raise MemoryLimitError(
            f"a training step of {micro_batch(config)} patches {config.data.patch} does not fit into memory. Lower "
            "data.patch, raise scale.accumulate, or set scale.activation_checkpointing."
        )
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise TrainingError(f"a trial step failed: {last}")
    return replace(Measured(**json.loads(done.stdout.splitlines()[-1])), reason=choice.reason)


def micro_batch(config: TrainingConfig) -> int:
    """Patches that one process takes at a time."""
    scale = config.scale
    return max(1, config.optimiser.batch // (scale.devices * scale.nodes * scale.accumulate))


def random_batch(config: TrainingConfig, kinds: tuple[str, ...], patches: int, number: int = 0) -> dict[str, Any]:
    """A batch as the loader gives it (see `cohort`), of random numbers."""
    generator = torch.Generator().manual_seed(number)
    batch: dict[str, Any] = {
        "target": torch.randn(patches, config.network.channels, *config.data.patch, generator=generator).clamp(-1, 1),
        "tau": torch.zeros(patches, 1, 1, 1, 1),
        "spacing_mm": torch.ones(patches, 3),
        "kind": torch.randint(1, len(kinds) + 1, (patches,), generator=generator),
        "number": torch.arange(number * patches, (number + 1) * patches),
    }
    slots = config.network.slots
    cond: dict[str, Tensor] = {
        name: torch.zeros(patches, dtype=torch.long) for name in slots.categorical if name != "kind"
    }
    cond |= {name: torch.full((patches,), float("nan")) for name in slots.continuous}
    if cond:
        batch["cond"] = cond
    if config.network.position:
        batch["position"] = torch.eye(3, 4).expand(patches, 3, 4).clone() / 100
    return batch


class _Clock(lightning.Callback):
    def __init__(self) -> None:
        self.times: list[float] = []
        self.cpu: list[float] = []
        self._last = time.perf_counter(), time.process_time()

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Constant levels and maps by turns."""
        pl_module.maps = replace(pl_module.maps, p_constant=float(batch_idx % 2 == 0))

    @staticmethod
    def mean(values: list[float], p_constant: float) -> float:
        """Of the counted steps, weighted as the run has constant levels."""
        constant, maps = (statistics.median(values[WARM + i :: 2]) for i in range(2))
        return p_constant * constant + (1 - p_constant) * maps

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Time between ends; on a GPU the work is waited for."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter(), time.process_time()
        self.times.append(now[0] - self._last[0])
        self.cpu.append(now[1] - self._last[1])
        self._last = now


class _Batches(torch.utils.data.Dataset):
    def __init__(self, config: TrainingConfig, kinds: tuple[str, ...], patches: int) -> None:
        self.made = [random_batch(config, kinds, patches, number) for number in range(WARM + TIMED)]

    def __len__(self) -> int:
        return len(self.made)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.made[index]


def _main() -> None:
    from medidiff.device import pick_device, set_threads
    from medidiff.precision import choose_precision
    from medidiff.training.module import DenoiserTraining
    from medidiff.training.strategy import checkpoint_blocks
    from medidiff.training.watch_status import peak_rss_gib

    request = json.load(sys.stdin)
    config, kinds = TrainingConfig.model_validate(request["config"]), tuple(request["kinds"])
    set_threads(request["threads"])
    device = pick_device("auto")
    choice = choose_precision(config.precision, device)
    module = DenoiserTraining(config, kinds, request["sigma_data"])
    if config.scale.activation_checkpointing:
        checkpoint_blocks(module.denoiser)
    clock = _Clock()
    trainer = lightning.Trainer(
        accelerator={"cuda": "gpu"}.get(device.type, device.type),
        devices=1,
        precision="bf16-mixed" if choice.dtype == "bf16" else "32-true",
        max_steps=WARM + TIMED,
        callbacks=[clock],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    batches = _Batches(config, kinds, micro_batch(config))
    trainer.fit(module, torch.utils.data.DataLoader(batches, batch_size=None))
    peak = peak_rss_gib()
    cuda = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else None
    optimisers: Any = [optimiser.state_dict() for optimiser in trainer.optimizers]
    measured = Measured(
        step_s=clock.mean(clock.times, config.noise.p_constant),
        cpu_s=clock.mean(clock.cpu, config.noise.p_constant),
        forward_s=_forward_s(module.to(device), trainer, random_batch(config, kinds, 1)),
        peak_rss_gib=peak,
        peak_cuda_gib=cuda,
        checkpoint_bytes=_bytes([module.state_dict(), module.ema.state_dict(), optimisers]),
        parameters=sum(p.numel() for p in module.denoiser.parameters()),
        trained=sum(p.numel() for p in module.denoiser.parameters() if p.requires_grad),
        precision=str(choice.dtype),
        reason=choice.reason,
        device=device.type,
    )
    sys.stdout.write("\n" + json.dumps(asdict(measured)) + "\n")


@torch.no_grad()
def _forward_s(module: Any, trainer: Any, batch: dict[str, Any]) -> float:
    target = batch["target"].to(module.device)
    module.eval()
    times = []
    for _ in range(3):
        began = time.perf_counter()
        with trainer.strategy.precision_plugin.forward_context():
            float(module.averaged(target, torch.tensor(0.2).to(target), None, None).mean[0, 0, 0, 0, 0])
        times.append(time.perf_counter() - began)
    return min(times)


def _bytes(tree: Any) -> int:
    if isinstance(tree, Tensor):
        return tree.numel() * tree.element_size()
    if isinstance(tree, dict):
        return sum(map(_bytes, tree.values()))
    return sum(map(_bytes, tree)) if isinstance(tree, (list, tuple)) else 0


if __name__ == "__main__":
    import warnings

    warnings.filterwarnings("ignore")
    _main()


__all__ = ["Measured", "measure_step", "micro_batch", "random_batch"]
