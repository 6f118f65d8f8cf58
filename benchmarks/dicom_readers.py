"""DICOM in: every series of the shared sets, medidiff's reader against dcm2niix, voxel by voxel in the world."""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections import Counter
from pathlib import Path

from benchmarks._cases import DATA
from benchmarks._dcm2niix import find_dcm2niix, version
from benchmarks._dicom_compare import Row, compare_folder, leaf_folders

RESULTS = Path(__file__).parent / "results"
_TILT = (
    "dcm2niix keeps the tilt but shortens the step to the distance along the normal, and writes a sheared copy (Tilt)"
)
_UNTOLD = "only the instance numbers tell the volumes apart; both go by them, medidiff with a warning"
REMARKS: dict[str, str] = {
    "dicom2nifti/failing/gantrytilting/001": _TILT,
    "gantry_tilt_ct/S3010": f"{_TILT}, which does not lie where the images do",
    "dicom2nifti/failing/notavolume/001": "four images of one slice, one after the other (bolus tracking)",
    "dicom2nifti/failing/slicecount/001": "two slices are a volume",
    "dicom2nifti/failing/sliceincrement/001": "dcm2niix also writes a copy with interpolated slices (Eq)",
    "dicom2nifti/failing/sliceincrement/002": f"tilted, and a slice is missing: {_TILT[:-1]}, slices interpolated)",
    "dicom2nifti/failing/sliceorientation/001": "two orientations, two volumes: both split",
    "dicom2nifti/ge/anatomical/001_single_slice": "one image",
    "dicom2nifti/ge/dti/002": _UNTOLD,
    "dicom2nifti/ge/fmri/001": _UNTOLD,
    "dicom2nifti/ge/fmri/001_implicit": _UNTOLD,
    "dicom2nifti/generic/anatomical/002_non_isotropic": "each slice has its own slope and intercept",
    "dicom2nifti/generic/rgb/001": "colour screenshots; dcm2niix writes a colour NIfTI",
    "enhanced_mr/Philips": "two echoes in one file; dcm2niix -p n, the standard's slope instead of Philips' own",
    "enhanced_mr/Siemens/XA10": "four times, one file each",
    "gantry_tilt_ct/S1000": "a localizer",
}
"""What was found out about series where the two make different things, or both something to know."""


def main() -> int:
    args = parse_arguments()
    if find_dcm2niix() is None:
        print("dcm2niix: not installed. pip install dcm2niix", file=sys.stderr)
        return 5
    if not args.data.is_dir():
        print(f"--data {args.data}: must be a folder with DICOM. Set MEDIDIFF_DATA.", file=sys.stderr)
        return 3
    rows = [row for folder in leaf_folders(args.data) for row in compare_folder(folder, args.data, REMARKS)]
    text = to_markdown(rows)
    print(text)
    if args.output:
        args.output.mkdir(parents=True, exist_ok=True)
        facts = {"command": "python -m benchmarks.dicom_readers", "date": str(datetime.date.today())}
        facts["dcm2niix"] = version()
        report = {"facts": facts, "rows": [row.as_dict() for row in rows]}
        (args.output / "dicom_readers.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        (args.output / "dicom_readers.md").write_text(text + "\n", encoding="utf-8")
    return int(any(unexplained(row) for row in rows))


def unexplained(row: Row) -> bool:
    """Whether the two differ, or one refuses and nobody has said why."""
    return row.verdict == "differ" or (row.verdict != "agree" and not row.remark)


def to_markdown(rows: list[Row]) -> str:
    """One row a series, and the counts."""
    counts = Counter(row.verdict.partition(":")[0].partition(",")[0] for row in rows)
    lines = [
        f"{len(rows)} series against dcm2niix {version()}: {', '.join(f'{n} {word}' for word, n in counts.items())}.",
        "",
        "| series | modality | dcm2niix | medidiff | verdict | largest difference: value | mm | remark |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        value = "" if row.value is None else f"{row.value:.2g}"
        mm = "" if row.mm is None else f"{row.mm:.1e}"
        mark = "**UNEXPLAINED**" if unexplained(row) else row.remark
        cells = [row.folder, row.modality, row.second or "nothing", row.own or "nothing", row.verdict, value, mm, mark]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA / "dicom", help="folder of DICOM folders")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the report goes")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
