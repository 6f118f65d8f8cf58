"""What `medidiff doctor` finds out."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from typing import Any

import numpy as np

from medidiff import __version__
from medidiff.errors import DeviceError, PriorError

_PACKAGES = ("torch", "numpy", "scipy", "nibabel", "safetensors", "lightning", "monai", "typer")
_NOISE_PERCENT = 9.0
# Measured gain of a working prior here is several dB; a broken one (wrong weights, wrong precision) is far below zero.
_LEAST_GAIN_DB = 2.0


def examine(
    prior: str, *, device: str, precision: str, threads: int | None, test: bool
) -> tuple[dict[str, Any], int]:  # fmt: skip
    """Everything doctor tells, and its exit code.

    Args:
        prior: Prior of the self-test.
        device: As for `denoise`.
        precision: As for `denoise`.
        threads: As for `denoise`.
        test: Run the self-test.

    Raises:
        DeviceError: The device that was asked for is not there.
    """
    import psutil

    from medidiff.device import describe_device, pick_device, set_threads
    from medidiff.precision import choose_precision, cpu_model

    used_threads = set_threads(threads)
    place = pick_device(device)
    choice = choose_precision(precision, place)
    memory = psutil.virtual_memory()
    found: dict[str, Any] = {
        "medidiff": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": _versions(),
        "device": {"asked_for": device, "chosen": describe_device(place), "processor": cpu_model()},
        "precision": {
            "asked_for": precision,
            "chosen": choice.dtype,
            "why": choice.reason,
            "bf16_ms": choice.bf16_ms,
            "float32_ms": choice.float32_ms,
            "from_an_earlier_measurement": choice.cached,
        },
        "threads": {"used": used_threads, "cores": psutil.cpu_count(logical=False), "logical": psutil.cpu_count()},
        "memory": {"total_gb": memory.total / 2**30, "free_gb": memory.available / 2**30},
        "priors": _priors(),
    }
    found["self_test"], exit_code = _self_test(prior, device, precision) if test else ({"verdict": "not run"}, 0)
    found["status"] = "ok" if exit_code == 0 else "failed"
    return found, exit_code


def _versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "missing"
    return versions


def _priors() -> dict[str, str]:
    from medidiff.prior import list_priors

    return {
        entry.name: entry.problem or f"{entry.version}, {entry.parameters / 1e6:.1f} M weights, {entry.path}"
        for entry in list_priors()
    }


def _self_test(prior: str, device: str, precision: str) -> tuple[dict[str, Any], int]:
    """Denoise a phantom of known truth. Verdict, and the exit code it leads to."""
    from medidiff.evaluate import psnr
    from medidiff.phantoms import head_phantom
    from medidiff.tasks import denoise
    from medidiff.volume import Volume

    started = time.perf_counter()
    phantom = head_phantom((48, 48, 48), (4.0, 4.0, 4.0), seed=5)
    peak = float(phantom.data.max())
    noise_std = _NOISE_PERCENT / 100 * peak
    noise = np.random.default_rng(5).normal(0, noise_std, phantom.data.shape)
    noisy = Volume((phantom.data + noise).astype(np.float32), phantom.affine_ras, name="phantom")
    try:
        result = denoise(noisy, prior, noise="gaussian", noise_std=noise_std, device=device, precision=precision)
    except PriorError as error:
        return {"verdict": f"not run, no usable prior: {error}"}, PriorError.exit_code
    before, after = psnr(phantom.data, noisy.data, peak), psnr(phantom.data, result.output.data, peak)
    works = bool(after >= before + _LEAST_GAIN_DB)
    verdict = "passed" if works else f"failed: PSNR must rise by {_LEAST_GAIN_DB:g} dB or more on this phantom"
    figures = {
        "verdict": verdict,
        "prior": prior,
        "psnr_before_db": before,
        "psnr_after_db": after,
        "network_seconds": result.seconds,
        "seconds": time.perf_counter() - started,
    }
    return figures, 0 if works else DeviceError.exit_code


__all__ = ["examine"]
