"""What a BIDS dataset says of a scan besides its header: age and sex of the participant, modality by the suffix."""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path

from medidiff.io.identity.demographics import Demographics, stated
from medidiff.io.nifti_header import nifti_suffix

_TABLE = "participants.tsv"
_LARGEST_BYTES = 1 << 26
_OTHERS = {"CT": "CT", "PET": "PT"}
# BIDS 1.10, suffixes of anatomical, functional, diffusion, field map and perfusion MR
_MR = frozenset(
    """
    T1W T2W PDW T2STARW FLAIR INPLANET1 INPLANET2 PDT2 UNIT1 ANGIO SWI VFA IRT1 MP2RAGE MPM MTS MTR MEGRE MESE T1MAP
    T2MAP T2STARMAP R1MAP R2MAP R2STARMAP PDMAP MTRMAP MTSAT MWFMAP CHIMAP BOLD CBV SBREF PHASE DWI ADC FA EPI
    PHASEDIFF PHASE1 PHASE2 MAGNITUDE MAGNITUDE1 MAGNITUDE2 FIELDMAP ASL M0SCAN TB1MAP RB1MAP
    """.split()
)


def in_dataset(path: Path, participant: str) -> Demographics:
    """Age and sex of a participant in the table of the dataset that a scan lies in; "n/a" where it does not say.

    Args:
        path: The scan.
        participant: As in its name, "sub-01".
    """
    folder = next((p for p in path.parents if (p / _TABLE).is_file()), None)
    return Demographics() if folder is None else _table(folder / _TABLE).get(participant, Demographics())


def bids_modality(name: str) -> str:
    """ "MR", "CT" or "PT" by the suffix of a file's name, such as T1w; "" for others."""
    suffix = name.removesuffix(nifti_suffix(Path(name))).rpartition("_")[2].upper()
    return "MR" if suffix in _MR else _OTHERS.get(suffix, "")


@lru_cache(maxsize=16)
def _table(path: Path) -> dict[str, Demographics]:
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            return {}
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError, csv.Error):
        return {}
    said = {}
    for row in rows:
        words = {str(k).strip().lower(): v for k, v in row.items() if isinstance(v, str)}
        label = words.get("participant_id", "").strip()
        said[label] = stated(words.get("age", ""), words.get("sex", words.get("gender", "")))
    return said
