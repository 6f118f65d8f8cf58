"""The private table that says whose pseudonym is whose. Rows are only ever added."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

from medidiff.errors import InputError
from medidiff.io.identity.home import cannot_write, home_folder, only_one_process, private_folder, write_private

TABLE_FILE = "patients.csv"
_COLUMNS = ("pseudonym", "patient_id", "issuer")


def remember(pseudonym: str, patient_id: str, issuer: str) -> None:
    """Add a row, unless the pseudonym has one.

    Args:
        pseudonym: The pseudonym.
        patient_id: Whose it is; no line breaks.
        issuer: Who gave the patient that id; "" where nobody says.

    Raises:
        InputError: The table is there and cannot be read.
        OutputError: It cannot be written.
    """
    path = home_folder() / TABLE_FILE
    if pseudonym in read_table(path):  # most calls: nothing to write, so a folder that is read-only by now will do
        return
    with only_one_process(private_folder()):
        _finish_last_row(path)
        if pseudonym in read_table(path):
            return
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        begun = path.exists() and path.stat().st_size > 0
        if not begun:
            rows.writerow(_COLUMNS)
        rows.writerow((pseudonym, patient_id, issuer))
        write_private(path, text.getvalue(), append=begun)


def read_table(path: Path | None = None) -> dict[str, tuple[str, str]]:
    """Patient id and issuer of every pseudonym.

    Args:
        path: The table; None is the one in `home_folder()`.

    Raises:
        InputError: It is there and cannot be read.
    """
    path = path or home_folder() / TABLE_FILE
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = [row for row in csv.reader(file) if len(row) == len(_COLUMNS)]
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a CSV table"
        raise InputError(
            f"{path}: the lookup table of the pseudonyms cannot be read ({reason}). Make it readable for you, or put "
            "it back from a backup."
        ) from error
    return {pseudonym: (patient_id, issuer) for pseudonym, patient_id, issuer in rows[1:]}


def _finish_last_row(path: Path) -> None:
    """Cut off half a row, which a power failure may leave: its pseudonym was never handed out."""
    try:
        with open(path, "r+b") as file:
            text = file.read()
            if text and not text.endswith(b"\n"):
                file.truncate(text.rfind(b"\n") + 1)
                os.fsync(file.fileno())
    except FileNotFoundError:
        return
    except OSError as error:
        raise cannot_write(path, error) from error
