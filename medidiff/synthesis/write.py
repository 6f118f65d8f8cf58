"""One sample as files: encoded like the source, written beside its place, then renamed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medidiff.errors import InputError, OutputError
from medidiff.io import hash_array, hash_file, write_nifti
from medidiff.prior import Card
from medidiff.synthesis.layout import Layout, Names, modality
from medidiff.tasks.sample_maker import Sample
from medidiff.volume import Volume

FORMAT = "medidiff-synthetic"
NOTE = "Synthetic: sampled from a generative model, of no patient. Research use only. Not a medical device."


@dataclass(frozen=True)
class Writer:
    """What turns samples into files.

    Args:
        card: Of the prior.
        layout: Where files lie.
        settings: Of the set (`SetRequest.settings`).
        settings_hash: Their hash.
    """

    card: Card
    layout: Layout
    settings: Mapping[str, Any]
    settings_hash: str

    def encode(self, image: np.ndarray) -> np.ndarray:
        """Normalised intensities as the source's: int16 or float32."""
        values = image.astype(np.float64)
        if self.card.typical is not None:
            values = self.card.typical.offset + self.card.typical.scale * values
        if self.settings["dtype"] == "int16" and self.layout.form == "nifti":
            return np.rint(values).clip(-32768, 32767).astype(np.int16)
        return values.astype(np.float32)

    def write(self, sample: Sample, facts: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        """Write image, mask and record into a folder, under their paths below it.

        Args:
            sample: What to write.
            facts: What else the record says: group, measured, rejected.
            folder: An empty folder.

        Returns:
            The sample's row of the manifest.

        Raises:
            OutputError: The disk is full, or the folder cannot be written.
        """
        names = self.layout.names(sample.index)
        for parent in names.folders:
            (folder / parent).mkdir(parents=True, exist_ok=True)
        values = self.encode(sample.image)
        affine = centred_affine(values.shape, self.settings["spacing_mm"])
        volume = Volume(values, affine, name=Path(names.image).name, modality=modality(self.card))
        row: dict[str, Any] = {
            "index": sample.index,
            "status": "done",
            "group": facts.get("group", ""),
            "image": names.image,
            "voxels_sha256": hash_array(values),
            "mask": "",
            "mask_voxels_sha256": "",
        }
        self._write_image(volume, folder / names.image, sample, row["voxels_sha256"])
        row["image_sha256"] = hash_path(folder / names.image)
        row["mask_sha256"] = ""
        if sample.mask is not None:
            row |= {"mask": names.mask, "mask_voxels_sha256": hash_array(sample.mask)}
            write_nifti(volume.with_data(sample.mask), folder / names.mask, "uint8", descrip=self._descrip("mask"))
            row["mask_sha256"] = hash_file(folder / names.mask)
        row |= {
            "seed": self.settings["seed"],
            "attempt": sample.attempt,
            "conditions": dict(sample.conditions),
            "measured": dict(facts.get("measured", {})),
            "extrapolated": list(sample.extrapolated),
            "nfe": sample.nfe,
            "rejected": list(facts.get("rejected", [])),
            **self._origin,
            "record": names.record,
        }
        text = json.dumps(self._record(row), indent=2) + "\n"
        with open(folder / names.record, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        row["record_sha256"] = hashlib.sha256(text.encode()).hexdigest()
        return row

    def failed(self, index: int, conditions: Mapping[str, Any], rejected: list[str], group: str) -> dict[str, Any]:
        """The row of a number whose every draw was thrown away."""
        return dict.fromkeys(ROW_TEXTS, "") | {
            **self._origin,
            "index": index,
            "status": "failed",
            "group": group,
            "seed": self.settings["seed"],
            "attempt": len(rejected) - 1,
            "conditions": dict(conditions),
            "measured": {},
            "extrapolated": [],
            "nfe": 0,
            "rejected": rejected,
        }

    @property
    def _origin(self) -> dict[str, str]:
        """What every row says of the prior and the settings."""
        prior = {f"prior_{key}": self.settings["prior"][key] for key in ("name", "version", "hash")}
        return {**prior, "settings_hash": self.settings_hash}

    def _descrip(self, what: str) -> str:
        return (
            f"SYNTHETIC {what}, no patient; medidiff {self.settings['medidiff']} {self.settings['prior']['hash'][:12]}"
        )

    def _write_image(self, volume: Volume, path: Path, sample: Sample, voxels_sha256: str) -> None:
        if self.layout.form == "nifti":
            write_nifti(volume, path, volume.data.dtype.name, descrip=self._descrip("scan"))
            return
        from medidiff.io.dicom_out import Synthesis, write_synthetic

        made = {"settings": self.settings_hash, "attempt": sample.attempt, "voxels": voxels_sha256}
        prior = self.settings["prior"]
        write_synthetic(
            volume, path, Synthesis(prior["name"], prior["hash"], self.settings["seed"], sample.index, made)
        )

    def _record(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What the JSON beside a sample says; for BIDS in its words too."""
        files = {
            kind: {"file": row[kind].rpartition("/")[2], "sha256": row[f"{kind}_sha256"], "voxels_sha256": voxels}
            for kind, voxels in (("image", row["voxels_sha256"]), ("mask", row["mask_voxels_sha256"]))
            if row[kind]
        }
        bids = {"Description": NOTE, "Sources": [], "SkullStripped": False} if self.layout.kind == "bids" else {}
        keys = ("index", "seed", "attempt", "group", "conditions", "measured", "extrapolated", "nfe", "rejected")
        return {
            **bids,
            "format": FORMAT,
            "synthetic": True,
            "note": NOTE,
            "prior": dict(self.settings["prior"]),
            **{key: row[key] for key in keys},
            "intensities": intensity_words(self.card, self.settings["dtype"], self.layout.form),
            "files": files,
            "licence": self.card.output_licence,
            "settings": dict(self.settings),
            "settings_hash": self.settings_hash,
        }


ROW_TEXTS = (
    "image", "image_sha256", "voxels_sha256", "mask", "mask_sha256", "mask_voxels_sha256", "record", "record_sha256",
)  # fmt: skip


def intensity_words(card: Card, dtype: str, form: str) -> str:
    """What the numbers in the files are."""
    stored = "16-bit DICOM values" if form == "dicom" else dtype
    if card.typical is None:
        return f"normalised, most of a scan between -1 and 1; {stored}"
    return (
        f"like a typical scan of the training: {card.typical.offset:g} + {card.typical.scale:g} * normalised; {stored}"
    )


def centred_affine(shape: tuple[int, ...], spacing_mm: list[float]) -> np.ndarray:
    """Voxel index to mm: axes along R, A and S, the volume's centre at the origin."""
    affine = np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = [-s * (n - 1) / 2 for n, s in zip(shape, spacing_mm, strict=True)]
    return affine


def publish(staged: Path, root: Path, names: Names, row: Mapping[str, Any]) -> None:
    """Rename a sample's files to their places, the record last, and make the folders' entries last through a power cut.

    Raises:
        OutputError: The disk is full, or the folder cannot be written.
    """
    try:
        for parent in names.folders:
            (root / parent).mkdir(parents=True, exist_ok=True)
        for kind in ("image", "mask", "record"):
            path = row[kind]
            if not path:
                continue
            if (staged / path).is_dir():
                sync_folder(staged / path)
            if (root / path).is_dir():
                shutil.rmtree(root / path)
            os.replace(staged / path, root / path)
        for parent in names.folders:
            sync_folder(root / parent)
            if parent:
                sync_folder((root / parent).parent)
    except OSError as error:
        raise OutputError(f"{root}: cannot be written ({error.strerror}). Free space, or choose another -o.") from error


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last through a power cut; not every system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def hash_path(path: Path) -> str:
    """SHA-256 of a file, or of a folder's file names and their hashes."""
    if not path.is_dir():
        return hash_file(path)
    digest = hashlib.sha256()
    for file in sorted(path.iterdir()):
        digest.update(f"{file.name} {hash_file(file)}\n".encode())
    return digest.hexdigest()


def is_whole(row: Mapping[str, Any], root: Path) -> bool:
    """Whether every file of a row is there and unchanged; a failed number has none."""
    kinds = [kind for kind in ("image", "mask", "record") if row[kind]]
    try:
        return all((root / row[k]).exists() and hash_path(root / row[k]) == row[f"{k}_sha256"] for k in kinds)
    except (OSError, InputError):
        return False


__all__ = [
    "FORMAT",
    "NOTE",
    "Writer",
    "centred_affine",
    "hash_path",
    "intensity_words",
    "is_whole",
    "publish",
    "sync_folder",
]
