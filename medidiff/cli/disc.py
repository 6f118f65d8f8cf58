"""OUT/disc: copies of the series of a run with a DICOMDIR over them, to put on a disc or a stick."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from medidiff.cli.stage import Stage
from medidiff.errors import UsageError

NAME = "disc"


def check_disc(output: Path, overwrite: bool) -> None:
    """Refuse to replace what is there.

    Raises:
        UsageError: Something is, and it may not be replaced or is no DICOM file-set.
    """
    disc = output / NAME
    if disc.exists() and not (disc / "DICOMDIR").is_file():
        raise UsageError(f"--dicomdir: {disc} exists and is no DICOM file-set. Choose another folder.")
    if disc.exists() and not overwrite:
        raise UsageError(f"--dicomdir: {disc} exists. --overwrite replaces it.")


def write_disc(output: Path, series: Sequence[Path]) -> Path:
    """Copy series and index them; the series themselves stay, with their records, where they are.

    Args:
        output: OUT.
        series: Folders of DICOM files.

    Returns:
        The folder with the DICOMDIR.

    Raises:
        OutputError: It cannot be written.
    """
    from medidiff.io.dicom_out import write_dicomdir

    with Stage(output, NAME) as stage:
        disc = stage.place(output / NAME)
        for folder in series:
            shutil.copytree(folder, disc / folder.name)
        write_dicomdir(disc)
        stage.commit()
    return output / NAME
