"""croissant.json of a released set: the set's own, with what the audit found, held against the format."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medidiff.errors import InputError, UsageError
from medidiff.synthesis.layout import LABELS, MANIFEST
from medidiff.synthesis.release_checks import Audited, Signed, WholeSet

RAI_VERSION = "http://mlcommons.org/croissant/RAI/1.0"
_NEEDED = ("@context", "name", "description", "license", "conformsTo", "creator", "distribution", "recordSet")
"""mlcroissant lets a file without them pass."""
INTENDED_USE = (
    "Research: developing and testing software. Not for diagnosis, and no evidence about any patient. Judge what is "
    "trained on it on real patients."
)


def released_croissant(
    own: Mapping[str, Any], whole: WholeSet, audited: Audited, signed: Signed, biases: list[str]
) -> dict[str, Any]:
    """The set's JSON-LD with the fields of responsible AI.

    Args:
        own: croissant.json as `medidiff synth` wrote it.
        whole: The set.
        audited: Its audit.
        signed: The sign-off.
        biases: What is known of whom the set shows, a sentence each.

    Raises:
        InputError: It does not describe the files that are there.

    Source: Croissant format specification 1.0 and Croissant RAI vocabulary 1.0, mlcommons.org.
    """
    stated = {entry.get("@id"): entry.get("sha256") for entry in own.get("distribution", [])}
    for name in (MANIFEST, LABELS):
        if stated.get(name) != whole.hashes[name]:
            raise InputError(f"{whole.root}: croissant.json is not of its {name}. Run its `medidiff synth` again.")
    report, prior = audited.report, whole.settings["prior"]
    return {
        **own,
        "conformsTo": ["http://mlcommons.org/croissant/1.0", RAI_VERSION],
        "datePublished": str(signed.form.date),
        "rai:dataCollection": f"Sampled from the diffusion prior {prior['name']} {prior['version']} (SHA-256 "
        f"{prior['hash']}). No scan is of a patient.",
        "rai:dataCollectionType": ["Others"],
        "rai:dataUseCases": [INTENDED_USE],
        "rai:dataBiases": biases,
        "rai:dataLimitations": list(report.limits) or ["The audit names no limits."],
        "rai:personalSensitiveInformation": [f"Privacy audit {audited.sha256}: {report.verdict}. {report.words}"],
        "rai:dataReleaseMaintenancePlan": "Nobody is told when a later audit finds more: compare the SHA-256 of the "
        "audit with the publisher's.",
    }


def validate(values: Mapping[str, Any]) -> list[str]:
    """Hold a croissant.json against the format, offline.

    Returns:
        Warnings of mlcroissant.

    Raises:
        UsageError: mlcroissant is not installed.
        InputError: It refuses the file, or the file lacks what every set says.
    """
    try:
        with _quiet():
            import mlcroissant
    except ImportError as error:
        raise UsageError("mlcroissant is not installed. Install it: pip install 'medidiff[release]'.") from error
    lacking = [name for name in _NEEDED if not values.get(name)]
    if lacking:
        raise InputError(f"croissant.json: has no {', '.join(lacking)}. Run the set's `medidiff synth` again.")
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = Path(folder) / "croissant.json"
        path.write_text(json.dumps(values), encoding="utf-8")
        try:
            dataset = mlcroissant.Dataset(jsonld=path)
        except mlcroissant.ValidationError as error:
            raise InputError(f"croissant.json: mlcroissant refuses it: {' '.join(str(error).split())}") from error
    return sorted({" ".join(text.split()) for text in dataset.metadata.ctx.issues.warnings})


@contextlib.contextmanager
def _quiet() -> Any:
    """Its warnings are handed on by `validate`; what it and its libraries log or warn meanwhile says the same."""
    import logging
    import warnings

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


__all__ = ["INTENDED_USE", "RAI_VERSION", "released_croissant", "validate"]
