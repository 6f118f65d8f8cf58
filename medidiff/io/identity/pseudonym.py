"""Pseudonyms: a keyed hash of who a patient is, with a key that is made once and never leaves the user's folder.

A plain or salted hash of a hospital number says who it is to anybody who tries all numbers: eight digits take a minute.
Without the key there is nothing to try.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path
from typing import Literal

from medidiff.errors import InputError
from medidiff.io.identity.home import home_folder, only_one_process, private_folder, write_private
from medidiff.io.identity.lookup import read_table, remember

KEY_FILE = "pseudonym.key"
Split = Literal["train", "val", "holdout"]

_KEY_BYTES = 32
_SYMBOLS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: nothing that looks like something else
_LENGTH = 10  # 50 bits: among 100 000 patients two get the same with a probability of 4 in a million
_PSEUDONYM = re.compile(rf"p-[{_SYMBOLS}]{{{_LENGTH}}}")
_TRAIN, _TRAIN_OR_VAL = 0.6, 0.7


def pseudonym(patient_id: str, *, issuer: str = "", study_uid: str = "") -> str:
    """What a patient is called wherever something is written, such as "p-7f3k2m9q4d".

    The same for the same patient, as long as the key in `home_folder()` stays; the lookup table there says who it is.
    Spaces around a patient id mean nothing, its case does (DICOM PS3.5, value representation LO). A patient id that is
    a pseudonym of this very site, in a series that `--deidentify` wrote, stays: the person is the same one.

    Args:
        patient_id: PatientID as in the file.
        issuer: IssuerOfPatientID where there is one: two hospitals may give one number to two people.
        study_uid: StudyInstanceUID, which stands in where the patient id is empty. Two studies of such a patient then
            get two pseudonyms.

    Raises:
        InputError: Nothing says who the patient is; or the key is damaged, or others can read it.
        OutputError: The key or the lookup table cannot be written.
    """
    patient_id, issuer, study_uid = (_significant(text) for text in (patient_id, issuer, study_uid))
    if _PSEUDONYM.fullmatch(patient_id) and patient_id in read_table():
        return patient_id
    if patient_id:
        name = _pseudonym("patient", issuer, patient_id)
        remember(name, patient_id, issuer)
    elif study_uid:
        name = _pseudonym("study", study_uid)
        remember(name, f"study {study_uid}", "")
    else:
        raise InputError("patient: neither a patient id nor a study UID is there. Set PatientID first.")
    return name


def keyed_uid(uid: str) -> str:
    """Another DICOM UID in the place of `uid`: the same for the same one, and nobody without the key can tell which.

    Args:
        uid: UID as in the file; "" stays "".

    Raises:
        InputError, OutputError: As `pseudonym`.

    Source: PS3.5 annex B.2 (UIDs from UUIDs), RFC 9562 version 8.
    """
    uid = _significant(uid)
    if not uid:
        return ""
    number = int.from_bytes(_keyed("uid", uid)[:16], "big")
    number = (number & ~(0xF << 76)) | (8 << 76)  # the version
    number = (number & ~(3 << 62)) | (2 << 62)  # the variant
    return f"2.25.{number}"


def coin(patient: str) -> Split:
    """The split a patient belongs to: train (60%), val (10%) or holdout (30%), by the key, the same every time.

    Args:
        patient: A pseudonym, or whatever else names one person in a table.

    Raises:
        InputError, OutputError: As `pseudonym`.
    """
    share = int.from_bytes(_keyed("split", patient)[:8], "big") / 2**64
    return "train" if share < _TRAIN else "val" if share < _TRAIN_OR_VAL else "holdout"


def _pseudonym(*who: str) -> str:
    number = int.from_bytes(_keyed(*who)[:8], "big")
    return "p-" + "".join(_SYMBOLS[(number >> 5 * i) & 31] for i in range(_LENGTH))


def _significant(text: str) -> str:
    """Without what DICOM pads with, and what it forbids."""
    return "".join(c if c.isprintable() else " " for c in text).strip()


def _keyed(purpose: str, *parts: str) -> bytes:
    # Each part with its length before it: ("ab", "c") and ("a", "bc") are not the same person.
    message = b"".join(len(b).to_bytes(4, "big") + b for b in (part.encode("utf-8") for part in (purpose, *parts)))
    return hmac.digest(_key(), message, hashlib.sha256)


def _key() -> bytes:
    """The site's key, made where there is none yet. Two processes at once make one key."""
    path = home_folder() / KEY_FILE
    key = _read_key(path)
    if key is None:
        folder = private_folder()
        with only_one_process(folder):
            key = _read_key(path)
            if key is None:
                key = secrets.token_bytes(_KEY_BYTES)
                write_private(path, key.hex() + "\n")
    return key


def _read_key(path: Path) -> bytes | None:
    try:
        with open(path, encoding="ascii") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(4 * _KEY_BYTES).strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise InputError(
            f"{path}: the key of the pseudonyms cannot be read ({reason}). Make it readable for you, put it back from "
            "a backup, or set MEDIDIFF_HOME to another folder."
        ) from error
    if os.name == "posix" and mode & 0o077:
        raise InputError(f"{path}: others can read the key of the pseudonyms. Run `chmod 600` on it first.")
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise InputError(
            f"{path}: damaged: the key of the pseudonyms must be {2 * _KEY_BYTES} hexadecimal digits. Put it back from "
            "a backup; or move it away, and every patient gets a new pseudonym."
        )
    return key
