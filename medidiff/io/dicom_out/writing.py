"""A series on disk: all of its files or none, under names that a rerun overwrites."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from pydicom import dcmwrite
from pydicom.dataset import Dataset

from medidiff.errors import OutputError
from medidiff.io.dicom_out.headers import quiet_pydicom

_NAME = re.compile(r"\d{5,}\.dcm")


def write_series(folder: Path, images: Iterable[Dataset], check: Callable[[Dataset], None] | None = None) -> list[Path]:
    """Write images as 00001.dcm, 00002.dcm, ...

    They are written beside their place first, and renamed when the last one is complete.

    Args:
        folder: Where; made if it is missing.
        images: Complete datasets, in slice order.
        check: Called with each; what it raises leaves nothing behind.

    Raises:
        OutputError: The folder cannot be written, or holds more images from before, which would mix with these.
    """
    made = not folder.exists()
    staging: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".series-", suffix=".partial", dir=folder))
        names = _write_all(staging, images, check)
        strangers = sorted(p.name for p in folder.iterdir() if _NAME.fullmatch(p.name) and p.name not in names)
        if strangers:
            raise OutputError(
                f"{folder}: holds {len(strangers)} images of another series, such as {strangers[0]}: the two would "
                "mix. Choose an empty folder."
            )
        for name in names:
            os.replace(staging / name, folder / name)
        return [folder / name for name in names]
    except BaseException as error:  # an interruption must leave nothing behind either; it is always raised again
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        if made:
            _remove_if_empty(folder)
        if isinstance(error, OSError):
            raise OutputError(f"{folder}: cannot be written ({error.strerror}). Choose another folder.") from error
        raise
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)


def _write_all(staging: Path, images: Iterable[Dataset], check: Callable[[Dataset], None] | None) -> list[str]:
    names: list[str] = []
    with quiet_pydicom():
        for number, image in enumerate(images, start=1):
            if check is not None:
                check(image)
            names.append(f"{number:05d}.dcm")
            with open(staging / names[-1], "wb") as file:
                dcmwrite(file, image, enforce_file_format=True)
                file.flush()
                os.fsync(file.fileno())
    return names


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return  # it never came to be, or something lies in it by now
