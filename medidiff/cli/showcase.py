"""What `medidiff demo` shows: a phantom and a real scan denoised, two volumes sampled, a hole filled, on one page."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medidiff import __version__
from medidiff.cli.outcome import say
from medidiff.cli.stage import Stage
from medidiff.draw import plane_picture, strip, window_limits
from medidiff.evaluate import psnr
from medidiff.io import atomic_write_text, read_nifti
from medidiff.phantoms import head_phantom
from medidiff.report import Picture, Section, render_page, result_section
from medidiff.volume import Volume

if TYPE_CHECKING:
    from medidiff.prior import Prior

_PHANTOM_NOISE, _REAL_NOISE, _INPAINT_NOISE = 0.09, 0.07, 0.02
_HOLE_RADIUS_MM = 15.0
_HOLE_CENTRE_MM = (-28.0, 10.0, 22.0)  # inside the phantom's white matter and cortex
_STRIP_PICTURES = 8
_SAMPLED_KIND = "hippocampus_t1"


@dataclass(frozen=True)
class Show:
    """The parts of the demonstration; each returns one section of the page.

    Args:
        prior: Loaded prior.
        machine: Device, precision and threads, as the tasks take them.
        seed: Of everything random.
        fast: Smaller volumes, fewer steps.
    """

    prior: Prior
    machine: Mapping[str, Any]
    seed: int
    fast: bool

    def phantom(self) -> Section:
        """A head of known truth with Rician noise of a level that is not told."""
        from medidiff.noise import add_rician
        from medidiff.tasks import denoise

        truth = self._head(64 if self.fast else 96, 3.0 if self.fast else 2.0)
        peak = float(truth.data.max())
        level = _PHANTOM_NOISE * peak
        noisy = truth.with_data(add_rician(truth.data, level, self._rng()), name="head phantom")
        result = denoise(noisy, self.prior, noise="rician", seed=self.seed, **self.machine)
        section = result_section(
            result,
            "A head phantom",
            lead=f"Rician noise of {_PHANTOM_NOISE:.0%} of the maximum was added; its level is estimated.",
        )
        shown = Picture.of(plane_picture(truth, window_limits(noisy.data)), "The truth", "The phantom without noise.")
        rows = [
            ("noise level, true", f"{level:.1f}"),
            ("PSNR before", f"{psnr(truth.data, noisy.data, peak):.2f} dB"),
            ("PSNR after", f"{psnr(truth.data, result.output.data, peak):.2f} dB"),
        ]
        return replace(section, pictures=[*section.pictures, shown], rows=[*rows, *section.rows])

    def real(self) -> Section:
        """The scan that nibabel installs for its own tests, with noise added."""
        from medidiff.noise import add_gaussian
        from medidiff.tasks import denoise

        path = _nibabel_scan()
        if path is None:
            text = "This installation of nibabel came without its example files, so this part was left out."
            return Section("A real scan", warnings=[text])
        scan = replace(read_nifti(path, frame=0), name="nibabel's example4d.nii.gz, first volume")
        peak = float(np.percentile(scan.data, 99.5))
        level = _REAL_NOISE * peak
        noisy = scan.with_data(add_gaussian(scan.data, level, self._rng()))
        result = denoise(noisy, self.prior, noise="gaussian", seed=self.seed, **self.machine)
        head = scan.data > 0
        section = result_section(
            result,
            "A real scan",
            lead=f"A diffusion MR volume of a brain that nibabel brings along (2 x 2 x 2.2 mm), with Gaussian noise of "
            f"{_REAL_NOISE:.0%} of its 99.5th percentile added; the level is estimated.",
        )
        rows = [
            ("noise level, added", f"{level:.1f}"),
            ("PSNR in the head before", f"{psnr(scan.data, noisy.data, peak, head):.2f} dB, against the scan as it is"),
            ("PSNR in the head after", f"{psnr(scan.data, result.output.data, peak, head):.2f} dB"),
        ]
        return replace(section, rows=[*rows, *section.rows])

    def synthetic(self) -> Section:
        """Two samples of the prior, and the way from noise to the first."""
        from medidiff.tasks import synthesise

        size, steps = (32, 10) if self.fast else (48, 20)
        kind = self.prior.card.conditions.categorical.get("kind")
        conditions = {"kind": _SAMPLED_KIND} if kind is not None and _SAMPLED_KIND in kind.values else {}
        seen: list[np.ndarray] = []
        result = synthesise(
            self.prior,
            (size, size, size),
            spacing_mm=(1.0, 1.0, 1.0),
            count=2,
            seed=self.seed,
            conditions=conditions,
            n_steps=steps,
            callback=lambda i, t, denoised: seen.append(np.asarray(denoised[0, 0].float().cpu())),
            **self.machine,
        )
        noise = self._rng().normal(size=seen[0].shape)
        chosen = [seen[i] for i in np.unique(np.linspace(0, len(seen) - 1, _STRIP_PICTURES - 1).round().astype(int))]
        way = strip([Volume.from_array(a) for a in (noise, *chosen)], height=130)
        caption = "Left: noise. Then what the prior takes the clean scan to be, step by step."
        section = result_section(
            result,
            "Two new volumes",
            lead="The same prior, started at pure noise: nothing is observed, so everything is invented."
            + (f" It was asked for {_SAMPLED_KIND}, voxels of 1 mm." if conditions else "")
            + self._what_samples_are(),
        )
        return replace(section, pictures=[Picture.of(way, "From noise to scan", caption), *section.pictures])

    def _what_samples_are(self) -> str:
        card = self.prior.card
        if card.task == "sample":
            return ""
        return f" {card.name} is a denoiser, trained on patches: its samples are textures and not anatomy."

    def inpainting(self) -> Section:
        """A ball cut out of the phantom and filled again."""
        from medidiff.noise import add_gaussian
        from medidiff.tasks import inpaint

        truth = self._head(32 if self.fast else 64, 4.0 if self.fast else 2.5)
        noise_std = _INPAINT_NOISE * float(truth.data.max())
        noisy = truth.with_data(add_gaussian(truth.data, noise_std, self._rng()), name="head phantom")
        hole = _ball(truth, _HOLE_CENTRE_MM, _HOLE_RADIUS_MM)
        cut = noisy.with_data(np.where(hole, 0, noisy.data).astype(np.float32))
        result = inpaint(
            cut, noisy.with_data(hole), self.prior, noise_std=noise_std, seed=self.seed, **self.machine
        )  # fmt: skip
        section = result_section(
            result,
            "A hole, filled",
            lead=f"A ball of {2 * _HOLE_RADIUS_MM:.0f} mm was cut out. What fills it fits its surroundings; it is one "
            "of many scans that would, and not what was there.",
        )
        at = _at(truth, _HOLE_CENTRE_MM)
        shown = Picture.of(plane_picture(truth, window_limits(noisy.data), at=at), "What was there", "The phantom.")
        return replace(section, pictures=[*section.pictures, shown])

    def _rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)

    def _head(self, size: int, spacing: float) -> Volume:
        phantom = head_phantom((size, size, size), (spacing, spacing, spacing), seed=self.seed)
        return Volume(phantom.data, phantom.affine_ras, name="head phantom")


def run_demo(folder: Path, prior: Prior, machine: Mapping[str, Any], *, seed: int, fast: bool) -> Path:
    """Run all parts and write the page.

    Args:
        folder: Where `demo.html` will lie; an earlier one is replaced.
        prior: Loaded prior.
        machine: Device, precision and threads, as the tasks take them.
        seed: Of everything random.
        fast: Smaller volumes, fewer steps.

    Returns:
        The page's path.

    Raises:
        OutputError: The folder cannot be written.
    """
    page = folder / "demo.html"
    show = Show(prior, machine, seed, fast)
    parts = (
        ("denoising a phantom", show.phantom),
        ("denoising a real scan", show.real),
        ("sampling two volumes", show.synthetic),
        ("filling a hole", show.inpainting),
    )
    sections = []
    with Stage(folder, "demo") as stage:
        begun = time.perf_counter()
        for i, (what, part) in enumerate(parts, start=1):
            started = time.perf_counter()
            sections.append(part())
            say(f"[{i}/{len(parts)}] {what}: {time.perf_counter() - started:.1f} s")
        seconds = time.perf_counter() - begun
        text = render_page(
            "medidiff: what it does",
            sections,
            lead=f"Made by `medidiff demo` in {seconds:.0f} seconds with the prior {prior.card.name} "
            f"(version {prior.card.version}, {prior.content_hash[:12]}).",
            footer=f"medidiff {__version__}",
        )
        atomic_write_text(stage.place(page), text)
        stage.commit()
    return page


def _nibabel_scan() -> Path | None:
    import nibabel

    path = Path(nibabel.__file__).parent / "tests" / "data" / "example4d.nii.gz"
    return path if path.is_file() else None


def _ball(volume: Volume, centre_mm: tuple[float, float, float], radius_mm: float) -> np.ndarray:
    grid = np.moveaxis(np.indices(volume.shape), 0, -1) @ volume.affine_ras[:3, :3].T + volume.affine_ras[:3, 3]
    return np.linalg.norm(grid - np.array(centre_mm), axis=-1) <= radius_mm


def _at(volume: Volume, centre_mm: tuple[float, float, float]) -> tuple[int, int, int]:
    """Axial, coronal and sagittal index through a point of a RAS volume."""
    x, y, z = np.rint(np.linalg.inv(volume.affine_ras) @ [*centre_mm, 1.0]).astype(int)[:3]
    return int(z), int(y), int(x)
