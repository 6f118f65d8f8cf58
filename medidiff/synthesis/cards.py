"""What goes with a set: a card for people, and one for machines (Croissant)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from medidiff.synthesis.checks import HIGHEST, LEAST_SPREAD, LOWEST, MOST_BEYOND
from medidiff.synthesis.guard import CLAIM, RULE
from medidiff.synthesis.layout import LABELS, MANIFEST, mask_labels
from medidiff.synthesis.write import NOTE, Writer, intensity_words

OF_PEOPLE = "The prior was trained on scans of people."
UNAUDITED = "No privacy audit is part of this set; a set without one is not fit to be released."
"""What `medidiff release` replaces in README.md."""


def dataset_card(writer: Writer, told: Mapping[str, Any]) -> str:
    """README.md of a set.

    Args:
        writer: Its card, layout and settings.
        told: From `merge.summary`.
    """
    card, settings = writer.card, writer.settings
    prior = settings["prior"]
    size, mm = (" x ".join(f"{v:g}" for v in settings[key]) for key in ("shape", "spacing_mm"))
    lines = [
        f"# Synthetic scans of the prior {card.name}",
        "",
        f"**{NOTE}**",
        "",
        "| | |",
        "|---|---|",
        f"| scans | {told['scans']} of {settings['count']} asked for |",
        f"| kind | {', '.join(card.modalities)} |",
        f"| grid | {size} voxels of {mm} mm |",
        f"| intensities | {intensity_words(card, settings['dtype'], writer.layout.form)} |",
        f"| masks | {', '.join(f'label {k}' for k in mask_labels(card)) or 'none'} |",
        f"| licence | {card.output_licence} |",
        f"| prior | {card.name} {card.version}, SHA-256 {prior['hash']} |",
        f"| seed | {settings['seed']}, samples {settings['first']} to {settings['first'] + settings['count'] - 1} |",
        f"| sampler | 2M, {settings['n_steps']} steps, guidance {_guidance(settings)} |",
        f"| settings | SHA-256 {writer.settings_hash}, see synthesis.json |",
        "",
        "## What was asked for, and what was measured",
        "",
        *_conditions(told),
        *_table(settings["plan"]),
        "",
        "## Draws thrown away",
        "",
        f"{told['rejected']} of {told['draws']} draws. A draw is not kept where a voxel is not finite, more than "
        f"{MOST_BEYOND:.1%} of the voxels lie beyond normalised {LOWEST:g} to {HIGHEST:g}, the standard deviation is "
        f"under {LEAST_SPREAD:g}, the mask is empty{_checks(settings)}; the number is then drawn again, "
        f"{settings['max_attempts']} times at most.",
        *([""] + [f"- {reason}: {count}" for reason, count in told["reasons"].items()] if told["reasons"] else []),
        *_guarded(settings, told),
        *(["", f"Given up: {', '.join(map(str, told['failed']))}."] if told["failed"] else []),
        "",
        "## Sources of the prior",
        "",
        *(
            [f"- {s.name}: {s.licence}, {s.patients} patients, {s.scans} scans" for s in card.training.sources]
            or ["- none"]
        ),
        "",
        "## Limits",
        "",
        card.limits,
        "",
        f"{OF_PEOPLE} {UNAUDITED} Judge what is trained on it on real patients.",
        "",
        "## Files",
        "",
        f"`{MANIFEST}`: a row a scan, with hashes, seed, attempt, conditions, measurements. `{LABELS}`: the same for a "
        "training script. A JSON file beside every scan says how it was made. `medidiff verify` makes scans again and "
        "compares. `runs/`: when and where jobs ran; not part of the set.",
        "",
    ]
    return "\n".join(lines)


def _guarded(settings: Mapping[str, Any], told: Mapping[str, Any]) -> list[str]:
    """What `--guard` dropped, against what chance alone would, and what that means for an audit."""
    guard = settings.get("guard")
    if guard is None:
        return []
    dropped = told["reasons"].get(RULE, 0)
    return [
        "",
        f"Guard: {dropped} of {told['draws']} draws came nearer to one of {guard['patients']} patients than "
        f"{guard['false_flag']:.0%} of strangers' scans do (log gap above {guard['log_gap_limit']:.3f}); chance alone "
        f"would be about {guard['false_flag'] * told['draws']:.0f}. {CLAIM}",
    ]


def croissant(
    writer: Writer, told: Mapping[str, Any], hashes: Mapping[str, str], fields: Sequence[str]
) -> dict[str, Any]:
    """croissant.json: the set as JSON-LD.

    Args:
        writer: Its card, layout and settings.
        told: From `merge.summary`.
        hashes: SHA-256 of manifest and labels.
        fields: Columns of labels.csv.

    Source: Croissant format specification 1.0, mlcommons.org/croissant.
    """
    card = writer.card
    formats = {MANIFEST: "application/vnd.apache.parquet", LABELS: "text/csv"}
    numbers = {name for kind in ("conditions", "measured") for name, v in told[kind].items() if "lowest" in v}
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": f"synthetic-{card.name}-{writer.settings_hash[:8]}",
        "description": f"{told['scans']} synthetic {', '.join(card.modalities)} scans of the prior {card.name}. {NOTE}",
        "license": card.output_licence,
        "version": "1.0.0",
        "citeAs": f"medidiff {writer.settings['medidiff']}, prior {card.name} {card.version}",
        "creator": {"@type": "sc:Organization", "name": f"medidiff {writer.settings['medidiff']}"},
        "keywords": ["synthetic", "medical imaging", *card.modalities],
        "isLiveDataset": False,
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": name,
                "name": name,
                "contentUrl": name,
                "encodingFormat": formats[name],
                "sha256": hashes[name],
            }
            for name in (MANIFEST, LABELS)
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "scans",
                "name": "scans",
                "description": "One record a scan.",
                "field": [_field(name, numbers) for name in fields],
            }
        ],
    }


def _field(name: str, numbers: set[str]) -> dict[str, Any]:
    numeric = name.removeprefix("measured_") in numbers
    kind = "sc:Integer" if name == "index" else "sc:Float" if numeric else "sc:Text"
    return {
        "@type": "cr:Field",
        "@id": f"scans/{name}",
        "name": name,
        "description": _MEANINGS.get(name, "Measured in the scan." if name.startswith("measured_") else "Asked for."),
        "dataType": kind,
        "source": {"fileObject": {"@id": LABELS}, "extract": {"column": name}},
    }


_MEANINGS = {
    "index": "Number of the scan.",
    "file": "The scan: a NIfTI file, or a folder of DICOM images.",
    "mask": "Its label map.",
    "group": "Case or matched control.",
}

_CONTEXT = {
    "@language": "en", "@vocab": "https://schema.org/", "citeAs": "cr:citeAs", "column": "cr:column",
    "conformsTo": "dct:conformsTo", "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/", "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"}, "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty", "samplingRate": "cr:samplingRate",
    "examples": {"@id": "cr:examples", "@type": "@json"}, "extract": "cr:extract", "field": "cr:field",
    "fileProperty": "cr:fileProperty", "fileObject": "cr:fileObject", "fileSet": "cr:fileSet", "format": "cr:format",
    "includes": "cr:includes", "isLiveDataset": "cr:isLiveDataset", "jsonPath": "cr:jsonPath", "key": "cr:key",
    "md5": "cr:md5", "parentField": "cr:parentField", "path": "cr:path", "recordSet": "cr:recordSet",
    "references": "cr:references", "regex": "cr:regex", "repeated": "cr:repeated", "replace": "cr:replace",
    "sc": "https://schema.org/", "separator": "cr:separator", "source": "cr:source", "subField": "cr:subField",
    "transform": "cr:transform",
}  # fmt: skip


def _conditions(told: Mapping[str, Any]) -> list[str]:
    if not told["conditions"] and not told["measured"]:
        return ["Nothing was asked for, and nothing can be measured."]
    lines = ["| | lowest | median | highest |", "|---|---|---|---|"]
    counted = []
    for kind, word in (("conditions", "asked"), ("measured", "measured")):
        for name, v in told[kind].items():
            if "lowest" in v:
                lines.append(
                    f"| {name}, {word} | " + " | ".join(f"{v[k]:.4g}" for k in ("lowest", "median", "highest")) + " |"
                )
            else:
                counted.append(f"- {name}, {word}: " + ", ".join(f"{k} {n}" for k, n in v["counts"].items()))
    groups = [f"- groups: {', '.join(f'{k} {n}' for k, n in told['groups'].items())}"] if told["groups"] else []
    beyond = (
        [f"- beyond the trained range (`--extrapolate`): {told['extrapolated']} scans"] if told["extrapolated"] else []
    )
    table = lines if len(lines) > 2 else []
    return [*table, *([""] if table and (counted or groups or beyond) else []), *counted, *groups, *beyond]


def _table(plan: Mapping[str, Any]) -> list[str]:
    """That labels are rows of a table, which may be of people."""
    if "table" not in plan:
        return []
    names, file = ", ".join(plan["table"]["conditions"]), plan["table"]["file"]
    return ["", f"{names}: every scan has those of one row of {file}, as they stand there."]


def _checks(settings: Mapping[str, Any]) -> str:
    return "".join(
        f", or the measured {name} is not within {tol:.0%} of what was asked"
        for name, tol in settings["checks"].items()
    )


def _guidance(settings: Mapping[str, Any]) -> str:
    return "none" if settings["guidance"] is None else json.dumps(settings["guidance"])


__all__ = ["OF_PEOPLE", "UNAUDITED", "croissant", "dataset_card"]
