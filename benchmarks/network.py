"""Speed of the network: forward pass by precision and kind of noise level, and what each way of normalising costs."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as nnf
from torch import Tensor

from benchmarks.denoise import processor_name
from medidiff.diffusion.preconditioning import Preconditioned
from medidiff.nets.unet import HaarUNet, NetConfig
from medidiff.prior import Denoiser, Prior

RESULTS = Path(__file__).parent / "results"
DTYPES = {"bf16": torch.bfloat16, "float32": torch.float32}
CHANNELS, SIZE, BATCH = 64, 24, 4


def main() -> int:
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    config = NetConfig.model_validate({}) if args.prior is None else Prior.load(args.prior).card.network
    parameters = sum(p.numel() for p in HaarUNet(config).parameters())
    forward = [
        {"precision": p, "level": level, "ms_per_million_voxels": forward_ms(config, p, level, args)}
        for p in args.precision
        for level in ("constant", "map")
    ]
    norms = [row for p in args.precision for row in norm_rows(DTYPES[p], p, args.repeats)]
    report = {
        "processor": processor_name(),
        "threads": args.threads,
        "torch": torch.__version__,
        "size": args.size,
        "parameters": parameters,
        "widths": list(config.widths),
        "forward": forward,
        "norms": norms,
    }
    text = to_markdown(report)
    print(text)
    if not args.dry:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "network.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        (RESULTS / "network.md").write_text(text, encoding="utf-8")
    return 0


def forward_ms(config: NetConfig, precision: str, level: str, args: argparse.Namespace) -> float:
    """One evaluation D(x; sigma) of a cube, by the denoiser that the tasks use."""
    model = (
        Preconditioned(HaarUNet(config), torch.full((config.channels,), 0.5), 0.002, 80.0).eval().requires_grad_(False)
    )
    denoiser = Denoiser(model, config, device="cpu", precision=precision)
    x = torch.randn(1, config.channels, args.size, args.size, args.size)
    sigma = torch.tensor(0.1) if level == "constant" else torch.full_like(x, 0.1)
    with torch.inference_mode():
        seconds = median_seconds(lambda: denoiser(x, sigma, spacing_mm=(1.0, 1.0, 1.0)), args.repeats)
    return 1e3 * seconds * 1e6 / args.size**3


def norm_rows(dtype: torch.dtype, precision: str, repeats: int) -> list[dict[str, str | float]]:
    """Forward, and forward with backward, of each normalisation and of the convolution that follows it, in ms."""
    x = torch.randn(BATCH, CHANNELS, SIZE, SIZE, SIZE).to(dtype).to(memory_format=torch.channels_last_3d)
    gain = torch.ones(CHANNELS, dtype=dtype)
    kernel = (0.02 * torch.randn(CHANNELS, CHANNELS, 3, 3, 3)).to(dtype).to(memory_format=torch.channels_last_3d)
    operations: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], Tensor]] = {
        "layer norm over channels": (layer_norm, gain),
        "RMS norm over channels, torch": (rms_norm, gain),
        "RMS norm over channels, written out": (rms_norm_by_hand, gain),
        "3x3x3 convolution": (lambda values, weight: nnf.conv3d(values, weight, padding=1), kernel),
    }
    rows: list[dict[str, str | float]] = []
    for name, (operation, weight) in operations.items():
        with torch.inference_mode():
            forward = median_seconds(lambda op=operation, w=weight: op(x, w), repeats)
        both = median_seconds(lambda op=operation, w=weight: forward_backward(op, x, w), repeats)
        rows.append({"precision": precision, "operation": name, "forward_ms": 1e3 * forward, "both_ms": 1e3 * both})
    return rows


def layer_norm(x: Tensor, gain: Tensor) -> Tensor:
    return nnf.layer_norm(x.permute(0, 2, 3, 4, 1), (CHANNELS,), gain).permute(0, 4, 1, 2, 3)


def rms_norm(x: Tensor, gain: Tensor) -> Tensor:
    return nnf.rms_norm(x.permute(0, 2, 3, 4, 1), (CHANNELS,), gain, 1e-5).permute(0, 4, 1, 2, 3)


def rms_norm_by_hand(x: Tensor, gain: Tensor) -> Tensor:
    return x * torch.rsqrt((x * x).mean(1, keepdim=True) + 1e-5) * gain.view(1, CHANNELS, 1, 1, 1)


def forward_backward(operation: Callable[[Tensor, Tensor], Tensor], x: Tensor, weight: Tensor) -> None:
    """One training step's share: output, then gradients of input and weight."""
    inputs = (x.detach().requires_grad_(), weight.detach().requires_grad_())
    output = operation(*inputs)
    torch.autograd.grad(output, inputs, torch.ones_like(output))


def median_seconds(work: Callable[[], object], repeats: int) -> float:
    """Median of `repeats` timings after one call that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def to_markdown(report: dict) -> str:
    lines = [
        "# Speed of the network",
        "",
        f"{report['processor']}, {report['threads']} thread(s), torch {report['torch']}, {report['size']}^3 voxels, "
        f"{report['parameters'] / 1e6:.2f} M parameters, widths {report['widths']}. Medians.",
        "",
        "| precision | noise level | ms per million voxels |",
        "|---|---|---|",
    ]
    lines += [f"| {r['precision']} | {r['level']} | {r['ms_per_million_voxels']:.0f} |" for r in report["forward"]]
    lines += [
        "",
        f"One layer on {BATCH} x {CHANNELS} x {SIZE}^3 values (channels last):",
        "",
        "| precision | operation | forward, ms | forward and backward, ms |",
        "|---|---|---|---|",
    ]
    for row in report["norms"]:
        lines.append(f"| {row['precision']} | {row['operation']} | {row['forward_ms']:.1f} | {row['both_ms']:.1f} |")
    return "\n".join(lines) + "\n"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.network", description=__doc__)
    add = parser.add_argument
    add("--precision", nargs="+", choices=tuple(DTYPES), default=list(DTYPES))
    add("--threads", type=int, default=2)
    add("--size", type=int, default=96, help="edge of the cube, a multiple of 8")
    add("--repeats", type=int, default=5)
    add("--prior", help="measure this prior's architecture; default: NetConfig's")
    add("--dry", action="store_true", help="print only, write nothing")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
