"""A set leaves the building: with an audit that says PASS and a person's signature, or not at all."""

from __future__ import annotations

import datetime
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medidiff import __version__
from medidiff.errors import UsageError
from medidiff.io.atomic import atomic_files, atomic_write_text
from medidiff.privacy.report_record import SignOff
from medidiff.synthesis.cards import UNAUDITED
from medidiff.synthesis.layout import CARD, CROISSANT
from medidiff.synthesis.release_card import biases, data_card
from medidiff.synthesis.release_checks import (
    Audited,
    Signed,
    WholeSet,
    check_audit,
    check_set,
    check_sign_off,
    check_thresholds,
    find_audit,
    read_json,
)
from medidiff.synthesis.release_croissant import released_croissant, validate

DATA_CARD, RELEASE = "DATA_CARD.md", "RELEASE.json"
_AUDITED = f"This set was audited and signed off: see {DATA_CARD}."


@dataclass(frozen=True)
class Release:
    """What was released.

    Attributes:
        root: The set.
        record: RELEASE.json.
        written: Names of the files that were written.
        warnings: Of mlcroissant.
    """

    root: Path
    record: dict[str, Any]
    written: tuple[str, ...]
    warnings: tuple[str, ...]


def release(root: Path, audit: Path | None = None, sign_off: Path | None = None) -> Release:
    """Check everything, then write data card, Croissant file and RELEASE.json together, or nothing.

    Args:
        root: A finished set of `medidiff synth`.
        audit: audit.json or its folder; None looks in the set.
        sign_off: The filled form; None looks beside the audit.

    Raises:
        InputError: The set is none, not finished, or holds other files.
        UsageError: Audit or sign-off is missing, not complete, or of something else; mlcroissant is not installed.
        AuditFailedError: The audit says FAIL.
        AuditUndecidedError: The audit says INCONCLUSIVE.
        OutputError: A file cannot be written.
    """
    whole = check_set(root)
    audited = find_audit(root, audit)
    check_audit(audited, whole)
    check_thresholds(audited)
    signed = check_sign_off(audited, sign_off)
    own = read_json(root / CROISSANT)
    readme = (root / CARD).read_text(encoding="utf-8").replace(UNAUDITED, _AUDITED)
    machine = released_croissant(own, whole, audited, signed, biases(readme, audited))
    warnings = validate(machine)
    texts = {
        DATA_CARD: data_card(whole, machine, readme, audited, signed),
        CROISSANT: json.dumps(machine, indent=2) + "\n",
        CARD: readme,
    }
    record = _record(whole, audited, signed, own, texts)
    texts[RELEASE] = json.dumps(record, indent=2) + "\n"
    with atomic_files(*(root / name for name in texts)) as files:
        for file, text in zip(files, texts.values(), strict=True):
            file.write(text.encode("utf-8"))
    return Release(root, record, tuple(texts), tuple(warnings))


def write_form(root: Path, audit: Path | None = None, path: Path | None = None, overwrite: bool = False) -> Path:
    """Write the form that a person fills in, for an audit that says PASS.

    Args:
        root: The set.
        audit: See `release`.
        path: Where to; None: beside the audit.
        overwrite: Replace a form that is there.

    Returns:
        Where it is.

    Raises:
        UsageError: A form is there already; see also `release`.
    """
    audited = find_audit(root, audit)
    check_audit(audited, check_set(root))
    path = path or audited.path.parent / audited.report.sign_off
    if path.exists() and not overwrite:
        raise UsageError(f"{path}: is there already, and may be filled in. Replace it with --overwrite.")
    form = SignOff.form(audited.report, audited.path)
    atomic_write_text(path, form.model_dump_json(indent=2) + "\n")
    return path


def _record(
    whole: WholeSet, audited: Audited, signed: Signed, own: dict[str, Any], texts: dict[str, str]
) -> dict[str, Any]:
    prior = whole.settings["prior"]
    written = {name: hashlib.sha256(text.encode("utf-8")).hexdigest() for name, text in texts.items()}
    return {
        "format": "medidiff-release",
        "version": 1,
        "name": own.get("name", ""),
        "licence": own.get("license", ""),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "medidiff": __version__,
        "verdict": audited.report.verdict,
        "words": audited.report.words,
        "scans": whole.scans,
        "content_sha256": whole.content_hash,
        "audit_sha256": audited.sha256,
        "sign_off_sha256": signed.sha256,
        "prior": {key: prior[key] for key in ("name", "version", "hash")},
        "prior_audited": audited.report.prior_hash is not None,
        "reviewer": signed.form.reviewer,
        "role": signed.form.role,
        "signed": str(signed.form.date),
        "files": dict(sorted((whole.hashes | written).items())),
    }


__all__ = ["DATA_CARD", "RELEASE", "Release", "release", "write_form"]
