"""Whether a scan is what its record says: made again from prior, seed, number and settings, and compared."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from medidiff.errors import InputError, PriorError
from medidiff.io import hash_array
from medidiff.prior import Prior, list_priors, read_entry, resolve_prior
from medidiff.synthesis.controls import group_in
from medidiff.synthesis.layout import make_layout
from medidiff.synthesis.request import SetRequest, settings_hash
from medidiff.synthesis.stored import Stored, files_of_record, read_stored
from medidiff.synthesis.write import FORMAT, Writer
from medidiff.tasks.condition_request import ConditionPlan, ranges_of
from medidiff.tasks.draw_sample import SAMPLING
from medidiff.tasks.measured import measure
from medidiff.tasks.sample_maker import SampleMaker

IDENTICAL, WITHIN, DIFFERENT, NO_PRIOR = "identical", "within tolerance", "not reproduced", "prior missing"
MOST_RMS, MOST_ANYWHERE, MOST_MASK = 0.05, 0.25, 0.05
"""Another processor, precision or number of threads rounds another way. Normalised units (a scan spans -1 to 1): root
mean square and largest difference of intensities; share of the masks' union that differs. bfloat16 against float32 on
one processor: 0.002, 0.02 and 0.7% (hippocampus, 6 scans), 0.02 and 0.06 (general). Two samples of different seeds are
0.6 apart."""


@dataclass(frozen=True)
class Verdict:
    """What became of one scan.

    Attributes:
        record: Its JSON.
        status: identical, within tolerance, not reproduced or prior missing.
        detail: In words.
        figures: rms, largest and mask difference, where they were measured.
    """

    record: Path
    status: str
    detail: str
    figures: dict[str, float] = field(default_factory=dict)


class Verifier:
    """Makes scans again. Keeps what it loaded for the next one.

    Args:
        prior: A prior's name or file; None looks for the one whose hash a record names.
        machine: device, precision, threads and max_gb of `SampleMaker`; precision auto and threads None take the
            record's.
    """

    def __init__(self, prior: str | None, machine: Mapping[str, Any]) -> None:
        self._prior, self._machine = prior, dict(machine)
        self._ready: dict[str, tuple[SampleMaker, Writer]] = {}

    def verify(self, record_path: Path, subject: Path | None = None) -> Verdict:
        """Make the scan of a record again and compare.

        Args:
            record_path: The JSON beside a scan.
            subject: The file that is asked about: it must be one of the record's.

        Raises:
            InputError: The record, or a file that it names, is missing or unreadable, or none of it is `subject`.
            DeviceError: The device is not there.
        """
        record = read_record(record_path)
        _refuse_stranger(record, record_path, subject)
        if settings_hash(record["settings"]) != record["settings_hash"]:
            return Verdict(record_path, DIFFERENT, "the record's settings are not those of its settings_hash")
        try:
            maker, writer = self._tools(record, record_path)
        except PriorError as error:
            return Verdict(record_path, NO_PRIOR, str(error))
        sample = maker.make(record["index"], record["attempt"], record["conditions"])
        stored = read_stored(record, record_path)
        values = writer.encode(sample.image)
        again = hash_array(values)
        same_here = again == record["files"]["image"]["voxels_sha256"]
        facts = {
            "group": group_in(record["settings"]["plan"], sample.index),
            "measured": measure(sample.mask, maker.voxel_mm3),
            "rejected": record["rejected"],
        }
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / writer.write(sample, facts, Path(folder))["record"]
            told = read_record(path)
            fresh = read_stored(told, path)
        keys = [*_CLAIMS, *(["measured"] if same_here else [])]
        wrong = [key for key in keys if record.get(key) != told[key]]
        if wrong:
            return Verdict(record_path, DIFFERENT, f"the record's {', '.join(wrong)} is not what was made")
        verdict = _compare(record_path, stored, fresh, writer, same_here)
        before = record["settings"].get("sampling", 1)
        if before != SAMPLING and verdict.status != IDENTICAL:
            told = f"{verdict.detail}; made by sampling version {before}, this medidiff has {SAMPLING}"
            verdict = replace(verdict, detail=told)
        return verdict

    def _tools(self, record: Mapping[str, Any], path: Path) -> tuple[SampleMaker, Writer]:
        settings, key = record["settings"], record["settings_hash"]
        if key not in self._ready:
            file = self._find(settings["prior"])
            prior = Prior.load(file)
            try:
                request = self._request(settings, file, ConditionPlan(ranges=ranges_of(prior.card.conditions)))
                maker = request.maker(prior)
                layout = make_layout(prior.card, request.layout, request.form, request.indices[-1])
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(f"{path}: its settings are damaged ({error}).") from error
            self._ready[key] = maker, Writer(prior.card, layout, settings, key)
        return self._ready[key]

    def _request(self, settings: Mapping[str, Any], file: Path, plan: ConditionPlan) -> SetRequest:
        guided = settings["guidance"] or {"weight": 1.0, "interval": [0.0, None]}
        low, high = guided["interval"]
        reference = self._find(guided["reference"], named=False) if "reference" in guided else None
        machine = dict(self._machine)
        if machine.get("precision", "auto") == "auto":
            machine["precision"] = settings["precision"]
        if machine.get("threads") is None:
            machine["threads"] = settings["threads"]
        x, y, z = settings["shape"]
        mm_x, mm_y, mm_z = settings["spacing_mm"]
        return SetRequest(
            file,
            count=settings["count"],
            first=settings["first"],
            seed=settings["seed"],
            plan=plan,
            shape=(x, y, z),
            spacing_mm=(mm_x, mm_y, mm_z),
            n_steps=settings["n_steps"],
            guidance=guided["weight"],
            guidance_interval=(low, float("inf") if high is None else high),
            guidance_prior=reference,
            layout=settings["layout"],
            form=settings["format"],
            dtype=settings["dtype"],
            **machine,
        )

    def _find(self, wanted: Mapping[str, str], named: bool = True) -> Path:
        """The file of the prior with this hash, whatever it is called."""
        if named and self._prior is not None:
            path = resolve_prior(self._prior)
            if read_entry(path).content_hash != wanted["hash"]:
                raise PriorError(
                    f"--prior {self._prior}: is not the record's prior {wanted['name']} (SHA-256 {wanted['hash']})."
                )
            return path
        found = [entry.path for entry in list_priors() if entry.content_hash == wanted["hash"]]
        if not found:
            raise PriorError(
                f"the prior {wanted['name']} (SHA-256 {wanted['hash']}) is not here. Give its file with --prior."
            )
        return found[0]


_CLAIMS = ("synthetic", "prior", "seed", "group", "extrapolated", "licence")
"""What a record says besides what it is made again from."""
_NEEDED = {
    "index", "attempt", "seed", "conditions", "settings", "settings_hash", "files", "group", "measured", "rejected",
}  # fmt: skip


def read_record(path: Path) -> dict[str, Any]:
    """The JSON beside a synthetic scan.

    Raises:
        InputError: There is none, or it is not one.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: no readable record of a synthetic scan ({error}).") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT or not _is_whole(record):
        raise InputError(f"{path}: is not the record of a scan that medidiff synth made.")
    return record


def _is_whole(record: Mapping[str, Any]) -> bool:
    if not _NEEDED <= record.keys() or not all(isinstance(record[key], dict) for key in ("settings", "conditions")):
        return False
    counted = all(isinstance(record[key], int) and record[key] >= 0 for key in ("index", "attempt"))
    files = record["files"]
    listed = isinstance(files, dict) and {"image"} <= files.keys() <= {"image", "mask"}
    named = {"layout", "format", "prior", "plan"} <= record["settings"].keys()
    return (
        counted
        and named
        and listed
        and all({"file", "voxels_sha256"} <= dict(entry).keys() for entry in files.values())
    )


def _refuse_stranger(record: Mapping[str, Any], record_path: Path, subject: Path | None) -> None:
    """A file beside a record need not be the one that it speaks of."""
    if subject is None or subject.resolve() == record_path.resolve():
        return
    asked = subject.parent if subject.suffix.lower() == ".dcm" else subject
    if asked.resolve() not in [path.resolve() for path in files_of_record(record, record_path).values()]:
        raise InputError(f"{subject}: its record {record_path.name} does not speak of this file, but of others.")


def _compare(path: Path, stored: Stored, fresh: Stored, writer: Writer, same_here: bool) -> Verdict:
    """The file's voxels against those made again, both read from files."""
    if stored.image.shape != fresh.image.shape or not np.allclose(stored.affine, fresh.affine, atol=1e-3):
        return Verdict(path, DIFFERENT, "the grid is not the one in the settings")
    if (stored.mask is None) != (fresh.mask is None):
        return Verdict(path, DIFFERENT, "a mask is missing, or was added")
    if stored.mask_affine is not None and fresh.mask_affine is not None:
        if stored.mask_affine.shape != fresh.mask_affine.shape or not np.allclose(
            stored.mask_affine, fresh.mask_affine, atol=1e-3
        ):
            return Verdict(path, DIFFERENT, "the mask's grid is not the one in the settings")
    masks = stored.mask is None or fresh.mask is None or np.array_equal(stored.mask, fresh.mask)
    if masks and np.array_equal(stored.image, fresh.image):
        return Verdict(path, IDENTICAL, "every voxel")
    scale = writer.card.typical.scale if writer.card.typical is not None else 1.0
    apart = np.abs(stored.image.astype(np.float64) - fresh.image) / scale
    figures = {"rms": float(np.sqrt((apart**2).mean())), "largest": float(apart.max()), "mask": _apart(stored, fresh)}
    told = f"rms {figures['rms']:.3g}, largest {figures['largest']:.3g}, mask {figures['mask']:.2%}"
    if same_here:
        detail = f"changed since it was made ({told}): this machine makes what was recorded"
        return Verdict(path, DIFFERENT, detail, figures)
    if figures["rms"] <= MOST_RMS and figures["largest"] <= MOST_ANYWHERE and figures["mask"] <= MOST_MASK:
        return Verdict(path, WITHIN, told, figures)
    return Verdict(path, DIFFERENT, told, figures)


def _apart(stored: Stored, fresh: Stored) -> float:
    if stored.mask is None or fresh.mask is None:
        return 0.0
    union = int(((stored.mask > 0) | (fresh.mask > 0)).sum())
    return float((stored.mask != fresh.mask).sum() / union) if union else 0.0


__all__ = ["DIFFERENT", "IDENTICAL", "NO_PRIOR", "WITHIN", "Verdict", "Verifier", "read_record"]
