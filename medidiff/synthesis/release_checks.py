"""What must hold before a set is released: a whole set, an audit of it that says PASS, a person who signed."""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medidiff.errors import AuditFailedError, AuditUndecidedError, InputError, UsageError
from medidiff.io import hash_file
from medidiff.privacy.report_record import AUDIT_FILE, AuditReport, SignOff, read_audit, read_sign_off
from medidiff.privacy.set_content import AUDIT_FOLDER, content_hashes, hash_of_rows
from medidiff.synthesis.dataset import read_settings
from medidiff.synthesis.layout import CARD, CROISSANT, LABELS, MANIFEST, SETTINGS

_LAYOUT_FILES = ("dataset_description.json", ".bidsignore", "participants.tsv", "dataset.json")


@dataclass(frozen=True)
class WholeSet:
    """A finished set of `medidiff synth`.

    Attributes:
        root: Its folder.
        hashes: SHA-256 of each file of its content, by name.
        content_hash: One over all of them, `set_hash`.
        settings: synthesis.json.
        scans: Scans in it.
    """

    root: Path
    hashes: dict[str, str]
    content_hash: str
    settings: dict[str, Any]
    scans: int


@dataclass(frozen=True)
class Audited:
    """An audit and where it lies."""

    report: AuditReport
    path: Path
    sha256: str


@dataclass(frozen=True)
class Signed:
    """A sign-off and where it lies."""

    form: SignOff
    path: Path
    sha256: str


def check_set(root: Path) -> WholeSet:
    """A set that is finished and holds nothing else.

    Raises:
        InputError: It is no set, is not finished, lacks a file, or holds one that is not its own.
    """
    settings = read_settings(root) if root.is_dir() else None
    if settings is None:
        raise InputError(f"{root}: is no set of medidiff synth (it has no {SETTINGS}). Only those can be released.")
    for name in (MANIFEST, LABELS, CARD, CROISSANT):
        if not (root / name).is_file():
            raise InputError(f"{root}: has no {name}: the set is not finished. Run its `medidiff synth` again.")
    rows = _manifest(root)
    own = {row[kind] for row in rows for kind in ("image", "mask", "record") if row[kind]}
    hashes = content_hashes(root)
    folders = {name for name in own if (root / name).is_dir()}
    missing = sorted(name for name in own - folders if name not in hashes)
    missing += sorted(name for name in folders if not any(file.startswith(f"{name}/") for file in hashes))
    if missing:
        raise InputError(f"{root}: lacks {len(missing)} of its files, such as {missing[0]}. Make them again.")
    known = own | {MANIFEST, LABELS, SETTINGS, *_LAYOUT_FILES}
    strange = [name for name in hashes if name not in known and name.rpartition("/")[0] not in folders]
    if strange:
        raise InputError(
            f"{root}: holds {strange[0]}, which is no file of the set ({len(strange)} in all). Move it elsewhere: it "
            "would be released with the rest."
        )
    return WholeSet(root, hashes, hash_of_rows(hashes), settings, len(rows))


def _manifest(root: Path) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(root / MANIFEST, columns=["status", "image", "mask", "record"])
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise InputError(f"{root / MANIFEST}: cannot be read ({error}).") from error
    return [row for row in table.to_pylist() if row["status"] == "done"]


def find_audit(root: Path, given: Path | None) -> Audited:
    """The audit of a set.

    Args:
        root: The set.
        given: The file, or the folder it lies in; None looks in the set, and in its folder `audit`.

    Raises:
        UsageError: There is none.
        InputError: It cannot be read.
    """
    places = [root / AUDIT_FILE, root / AUDIT_FOLDER / AUDIT_FILE] if given is None else [given, given / AUDIT_FILE]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        where = f"--audit {given}: holds no {AUDIT_FILE}" if given else f"{root}: has no {AUDIT_FILE}"
        raise UsageError(
            f"{where}. Nothing is released without an audit: `medidiff audit {root} --train DIR --holdout DIR -o "
            f"{root / AUDIT_FOLDER}`."
        )
    return Audited(read_audit(path), path, hash_file(path))


def check_thresholds(audited: Audited) -> None:
    """An audit with other thresholds than the usual ones is another audit: it releases nothing.

    Raises:
        UsageError: They differ.
    """
    changed = audited.report.thresholds.changed()
    if changed:
        raise UsageError(
            f"{audited.path}: was made with other thresholds than medidiff's: {changed}. Audit the set with the usual "
            "ones; a release by others is for your own rules, not for this command."
        )


def check_audit(audited: Audited, whole: WholeSet) -> None:
    """The audit says PASS, and is of this set and its prior.

    Raises:
        UsageError: It is of other files or another prior, or names no samples for a person to look at.
        AuditFailedError: It says FAIL, or one of its findings does.
        AuditUndecidedError: It says INCONCLUSIVE.
    """
    report, path = audited.report, audited.path
    if report.synthetic_hash is None:
        raise UsageError(f"{path}: is of a prior alone, and says nothing about these scans. Audit the set.")
    if report.synthetic_hash != whole.content_hash:
        raise UsageError(
            f"{path}: is of another set, or the files changed since: it names {report.synthetic_hash[:12]}, the folder "
            f"is {whole.content_hash[:12]}. Audit it again."
        )
    prior = whole.settings["prior"]
    if report.prior_hash is not None and report.prior_hash != prior["hash"]:
        raise UsageError(
            f"{path}: is of another prior ({report.prior_hash[:12]}); the set was made by {prior['name']} "
            f"({prior['hash'][:12]}). Audit it with --prior {prior['name']}."
        )
    if report.samples != whole.scans:
        raise UsageError(f"{path}: audited {report.samples} scans, the set has {whole.scans}. Audit all of them.")
    failed = [finding.test for finding in report.findings if finding.verdict == "FAIL"]
    if report.verdict == "FAIL" or failed:
        tests = f" ({', '.join(dict.fromkeys(failed))})" if failed else ""
        raise AuditFailedError(f"{path}: the audit says FAIL{tests}. {report.words} This set is not released.")
    if report.verdict == "INCONCLUSIVE":
        raise AuditUndecidedError(f"{path}: the audit says INCONCLUSIVE. {report.words} This set is not released.")
    if not report.findings:
        raise UsageError(f"{path}: the audit has no findings. Audit the set again.")
    if not report.random_samples or not report.worst_samples:
        raise UsageError(f"{path}: names no samples for a person to look at. Audit the set again.")


def check_sign_off(audited: Audited, given: Path | None) -> Signed:
    """A person looked at every sample that the audit names, and approves.

    Args:
        audited: The audit.
        given: The filled form; None looks beside the audit.

    Raises:
        UsageError: There is none, it is not complete, of another audit, dated before it or in the future, or rejects.
        InputError: It cannot be read.
    """
    beside = audited.path.parent / audited.report.sign_off
    places = [given] if given else [beside, beside.with_suffix(".yaml"), beside.with_suffix(".yml")]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise UsageError(
            f"{places[0]}: there is no sign-off. `medidiff release DIR --template` writes the form that a person fills "
            "in after looking at the samples that the audit names."
        )
    form = read_sign_off(path)
    if form.audit_sha256 != audited.sha256:
        raise UsageError(
            f"{path}: was signed for another audit ({form.audit_sha256[:12]}); this one is {audited.sha256[:12]}. Sign "
            "this one."
        )
    missing = form.missing(audited.report)
    if missing:
        raise UsageError(f"{path}: not complete: {'; '.join(missing)}.")
    if isinstance(form.date, datetime.date):
        today, made = datetime.date.today(), audited.report.created.astimezone().date()  # both by this machine's clock
        if not made <= form.date <= today:
            raise UsageError(f"{path}: dated {form.date}: must lie between the audit ({made}) and today.")
    if form.decision == "reject":
        raise UsageError(f"{path}: {form.reviewer} rejects the release: {form.statement}")
    return Signed(form, path, hash_file(path))


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        InputError: It is none.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}).") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: must be one JSON object.")
    return values


__all__ = ["Audited", "Signed", "WholeSet", "check_audit", "check_set", "check_sign_off", "find_audit", "read_json"]
