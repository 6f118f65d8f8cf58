"""Where the files of a sample lie, and what else a layout wants in its folder."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from medidiff import __version__
from medidiff.errors import UsageError
from medidiff.prior import Card

MANIFEST, LABELS, CARD, CROISSANT = "manifest.parquet", "labels.csv", "README.md", "croissant.json"
SETTINGS, RUNS = "synthesis.json", "runs"
_BIDS_SUFFIX = {"t1": "T1w", "t2": "T2w", "flair": "FLAIR", "pd": "PDw", "ct": "ct"}
_BIDS_VERSION = "1.10.0"


@dataclass(frozen=True)
class Names:
    """Paths of one sample below the set's folder, with slashes.

    Attributes:
        image: The scan: a NIfTI file, or a folder of DICOM images.
        mask: Its label map, NIfTI.
        record: Its JSON.
        files: NIfTI name of the scan without folder and ending, or the DICOM folder's name.
    """

    image: str
    mask: str
    record: str

    @property
    def folders(self) -> set[str]:
        """Folders that must be there."""
        return {path.rpartition("/")[0] for path in (self.image, self.mask, self.record)}


@dataclass(frozen=True)
class Layout:
    """flat, bids or nnunet.

    Args:
        kind: Which.
        form: nifti or dicom.
        suffix: BIDS suffix, such as T1w; "" elsewhere.
        digits: Of a sample's number in names.
    """

    kind: str
    form: str
    suffix: str = ""
    digits: int = 6

    def names(self, index: int) -> Names:
        """Paths of sample `index`."""
        number = f"{index:0{self.digits}d}"
        if self.kind == "bids":
            folder = f"sub-syn{number}/{'ct' if self.suffix == 'ct' else 'anat'}"
            stem = f"{folder}/sub-syn{number}_desc-synthetic"
            return Names(f"{stem}_{self.suffix}.nii.gz", f"{stem}_dseg.nii.gz", f"{stem}_{self.suffix}.json")
        stem = f"synthetic_{number}" if self.kind == "nnunet" else f"synthetic-{number}"
        if self.kind == "nnunet":
            return Names(f"imagesTr/{stem}_0000.nii.gz", f"labelsTr/{stem}.nii.gz", f"records/{stem}.json")
        return Names(stem if self.form == "dicom" else f"{stem}.nii.gz", f"{stem}_mask.nii.gz", f"{stem}.json")


def make_layout(card: Card, kind: str, form: str, last: int) -> Layout:
    """The layout of a set.

    Args:
        card: Of the prior.
        kind: flat, bids or nnunet.
        form: nifti or dicom.
        last: Largest number of a sample.

    Raises:
        UsageError: nnunet without masks; bids of a kind of scan that BIDS has no suffix for; dicom neither MR nor CT.
    """
    if kind == "nnunet" and mask_labels(card) == ():
        raise UsageError(
            f"--layout nnunet: the prior {card.name} makes no masks, and nnU-Net learns from masks. Use flat."
        )
    if form == "dicom" and modality(card) not in ("MR", "CT"):
        raise UsageError(f"--format dicom: the prior {card.name} makes {', '.join(card.modalities)}: must be MR or CT.")
    suffix = ""
    if kind == "bids":
        words = {word for kind_ in card.modalities for word in re.split(r"[^a-z0-9]+", kind_.lower())}
        suffix = next((value for key, value in _BIDS_SUFFIX.items() if key in words), "")
        if not suffix:
            known = ", ".join(_BIDS_SUFFIX.values())
            raise UsageError(f"--layout bids: no BIDS suffix ({known}) for {', '.join(card.modalities)}. Use flat.")
    return Layout(kind, form, suffix, max(6, len(str(last))))


def modality(card: Card) -> str:
    """MR or CT; "" where the card says neither, or both."""
    words = {word for kind in card.modalities for word in kind.upper().split()}
    found = [name for name in ("MR", "CT") if name in words]
    return found[0] if len(found) == 1 else ""


def mask_labels(card: Card) -> tuple[int, ...]:
    """Labels of the prior's masks."""
    return tuple(sorted(int(name.partition(":")[2] or 1) for name in card.channels if name.startswith("mask")))


def extra_files(layout: Layout, card: Card, done: int) -> dict[str, str]:
    """What a layout wants beside the samples: file name to text.

    Args:
        layout: The layout.
        card: Of the prior.
        done: Samples that are there.
    """
    if layout.kind == "bids":
        description: dict[str, Any] = {
            "Name": f"Synthetic scans of the prior {card.name}",
            "BIDSVersion": _BIDS_VERSION,
            "DatasetType": "derivative",
            "License": card.output_licence,
            "GeneratedBy": [
                {"Name": "medidiff", "Version": __version__, "Description": "medidiff synth: no scan is of a patient"}
            ],
        }
        ignored = [f"{RUNS}/", MANIFEST, LABELS, CROISSANT, SETTINGS, "**/ct"]
        return {
            "dataset_description.json": json.dumps(description, indent=2) + "\n",
            ".bidsignore": "\n".join(ignored) + "\n",
        }
    if layout.kind == "nnunet":
        described = {
            "channel_names": {"0": "CT" if modality(card) == "CT" else "MRI"},
            "labels": {"background": 0} | {f"label_{k}": k for k in mask_labels(card)},
            "numTraining": done,
            "file_ending": ".nii.gz",
            "name": f"synthetic_{card.name}",
            "description": f"Synthetic scans of the prior {card.name}: no scan is of a patient.",
            "licence": card.output_licence,
        }
        return {"dataset.json": json.dumps(described, indent=2) + "\n"}
    return {}


__all__ = [
    "CARD",
    "CROISSANT",
    "LABELS",
    "MANIFEST",
    "RUNS",
    "SETTINGS",
    "Layout",
    "Names",
    "extra_files",
    "make_layout",
    "mask_labels",
    "modality",
]
