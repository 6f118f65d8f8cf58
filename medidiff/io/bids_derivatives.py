"""BIDS derivatives: the names of outputs, the JSON beside them, and the description of their dataset."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medidiff import __version__
from medidiff.errors import OutputError, UsageError
from medidiff.io.atomic import atomic_write_text
from medidiff.io.bids import DESCRIPTION, BidsScan, is_derivative
from medidiff.io.json_sidecar import carried, read_json

_BIDS_VERSION = "1.10.0"
_DOI = re.compile(r"(?:doi:|https?://(?:dx\.)?doi\.org/)?(10\.\d{4,9}/[A-Za-z0-9._;()/:-]+)")
_LABEL = re.compile(r"[0-9A-Za-z]+")
# Medidiff's pages; a data type that BIDS does not name yet; and the gradients beside processed diffusion scans, which
# the validator's rules of 2026 forget (they list .nii.gz and .json only).
_IGNORED = "*.html\n**/ct\n*_dwi.bval\n*_dwi.bvec\n"


def derivative_path(scan: BidsScan, out_root: Path, desc: str = "denoised", extension: str = ".nii.gz") -> Path:
    """The name of an output: the scan's entities, then desc-, then the scan's suffix.

    BIDS has no suffix or entity for a residual, a map of noise or an uncertainty of a scan, so these too keep the
    scan's suffix and differ in desc-: `desc-residual`, `desc-noisemap`, `desc-uncertainty`, `desc-std`, `desc-sample1`
    (`desc_of`). A scan that has a desc- of its own keeps it in front: `desc-preproc` becomes `desc-preprocDenoised`.

    Args:
        scan: The scan.
        out_root: The derivative dataset.
        desc: Letters and digits.
        extension: With its dot.

    Returns:
        Such as `out_root/sub-01/ses-1/anat/sub-01_ses-1_desc-denoised_T1w.nii.gz`.

    Raises:
        UsageError: `desc` holds something else.
    """
    if not _LABEL.fullmatch(desc):
        raise UsageError(f"desc {desc}: must be letters and digits only, as BIDS labels are.")
    labels = dict(scan.entities)
    before = labels.pop("desc", "")
    labels["desc"] = f"{before}{desc[0].upper()}{desc[1:]}" if before else desc  # the last of BIDS's order
    name = "_".join(f"{key}-{label}" for key, label in labels.items())
    folder = Path(out_root, *(f"{key}-{labels[key]}" for key in ("sub", "ses") if key in labels), scan.datatype)
    return folder / f"{name}_{scan.suffix}{extension}"


def desc_of(kind: str, output: str = "denoised") -> str:
    """The desc- label of a kind of output ("output", "residual", "noise-map", "uncertainty", "std", "sample-3")."""
    return output if kind == "output" else kind.replace("-", "")


def derivative_sidecar(
    scan: BidsScan,
    description: str,
    sidecar: Mapping[str, Any],
    *,
    skull_stripped: bool | None = None,
    linked: bool = True,
) -> dict[str, Any]:
    """What the JSON beside an output says in BIDS's terms; other keys may stand beside these.

    Args:
        scan: The scan it was made from.
        description: What was done, for people; nothing of a patient.
        sidecar: What the scan's own JSON says (`inherited_sidecar`): of it only what may travel is kept.
        skull_stripped: Whether the scan has no skull. None takes the scan's JSON's word, and "no" for a raw dataset,
            which by BIDS's definition holds unprocessed scans.
        linked: Whether the output's dataset says where the scan's lies (`source_link`): a BIDS URI needs that, and
            without it the scan is named by its path below its own dataset.

    Returns:
        Description, Sources, SkullStripped where it is known, the task's name, and the acquisition.
    """
    facts: dict[str, Any] = {
        "Description": description,
        "Sources": [f"bids:{link_name(scan.root)}:{scan.name}" if linked else scan.name],
    }
    if skull_stripped is None:
        said = sidecar.get("SkullStripped")
        skull_stripped = said if isinstance(said, bool) else None if is_derivative(scan.root) else False
    if skull_stripped is not None and scan.modality == "MR":
        facts["SkullStripped"] = skull_stripped
    task = dict(scan.entities).get("task")
    if task is not None:
        facts["TaskName"] = task  # required beside func images; the label is in the file's name already
    return facts | carried(sidecar)


def link_name(source_root: Path) -> str:
    """What BIDS URIs in an output call the dataset that its scans come from."""
    return "source" if is_derivative(source_root) else "raw"


def check_output_root(out_root: Path, source_root: Path) -> None:
    """Refuse a place where outputs would stand among the scans.

    Raises:
        UsageError: `out_root` is the dataset, or inside it but not a folder in its derivatives/; or it holds a dataset
            that another program made.
    """
    out, source = Path(out_root).resolve(), Path(source_root).resolve()
    advice = f"Give another folder, such as {Path(source_root) / 'derivatives' / 'medidiff'}."
    if out.is_relative_to(source):
        parts = out.relative_to(source).parts
        if len(parts) < 2 or parts[0] != "derivatives":
            raise UsageError(f"-o {out_root}: outputs must not stand among the scans of a BIDS dataset. {advice}")
    there = out / DESCRIPTION
    if there.exists() and not _is_ours(there):
        raise UsageError(f"-o {out_root}: holds a dataset that medidiff did not make. {advice}")


def write_dataset_description(out_root: Path, source_root: Path, name: str = "Scans denoised by medidiff") -> Path:
    """Write dataset_description.json of a derivative dataset, and a .bidsignore where there is none.

    The scans' dataset is named by the way up to it where `out_root` lies inside it (as derivatives/medidiff does), else
    by its DOI, else not at all: a path would name folders, and folders are named after people. Nothing else of the
    scans' dataset is copied, participants.tsv least of all.

    Args:
        out_root: The derivative dataset; made if missing.
        source_root: The dataset of the scans.
        name: Of the derivative dataset.

    Returns:
        The file.

    Raises:
        UsageError: As `check_output_root`.
        OutputError: It cannot be written.
    """
    check_output_root(out_root, source_root)
    description: dict[str, Any] = {
        "Name": name,
        "BIDSVersion": _BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "medidiff", "Version": __version__}],
    }
    link = source_link(Path(out_root), Path(source_root))
    if link is not None:
        description["SourceDatasets"] = [{"DOI" if link.startswith("doi:") else "URL": link}]
        description["DatasetLinks"] = {link_name(source_root): link}
    try:
        Path(out_root).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out_root}: cannot be made ({error.strerror}). Choose another folder.") from error
    target = Path(out_root) / DESCRIPTION
    atomic_write_text(target, json.dumps(description, indent=2) + "\n")
    if not (Path(out_root) / ".bidsignore").exists():
        atomic_write_text(Path(out_root) / ".bidsignore", _IGNORED)
    return target


def source_link(out_root: Path, source_root: Path) -> str | None:
    """Where a derivative dataset says that its scans lie: the way up to them, their DOI, or None for neither."""
    out, source = out_root.resolve(), source_root.resolve()
    if out.is_relative_to(source):
        return Path(os.path.relpath(source, out)).as_posix()
    doi = read_json(source_root / DESCRIPTION).values.get("DatasetDOI")
    match = _DOI.fullmatch(doi.strip()) if isinstance(doi, str) else None
    return f"doi:{match[1]}" if match else None


def _is_ours(path: Path) -> bool:
    makers = read_json(path).values.get("GeneratedBy")
    return isinstance(makers, list) and any(isinstance(m, dict) and m.get("Name") == "medidiff" for m in makers)
