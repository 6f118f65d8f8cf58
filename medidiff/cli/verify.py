"""`medidiff verify`: is a synthetic scan what its record says?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medidiff.cli.options import DeviceOption, JsonOption, MaxGbOption, PrecisionOption, ThreadsOption
from medidiff.cli.outcome import Failure, emit_json, stop, verb
from medidiff.errors import InputError, PriorError, UsageError

_EXIT = {"not reproduced": InputError.exit_code, "prior missing": PriorError.exit_code}


@verb
def verify(
    subject: Annotated[
        Path,
        typer.Argument(metavar="FILE|DIR", help="A scan, mask, record or DICOM folder; or a set.", show_default=False),
    ],
    prior: Annotated[
        str | None,
        typer.Option("--prior", "-p", metavar="NAME|FILE", help="The prior, where it is not among those known here."),
    ] = None,
    sample: Annotated[int, typer.Option("--sample", metavar="N", help="Of a set: so many scans, drawn by --seed.")] = 5,
    everything: Annotated[bool, typer.Option("--all", help="Of a set: every scan.")] = False,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of the draw of --sample.")] = 0,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = None,
    max_gb: MaxGbOption = None,
    as_json: JsonOption = False,
) -> None:
    """Confirm where synthetic scans come from, by making them again.

    The record beside a scan names prior, seed, number and settings. The scan is sampled again and compared: identical
    (same voxels), within tolerance (another processor or precision), not reproduced, or prior missing.
    Exit codes: 0 for the first two, 3 where one was not reproduced or a finished set lacks scans, 6 where the prior is
    missing.

    \b
    Examples:
      medidiff verify set/synthetic-000012.nii.gz
      medidiff verify set/ --sample 20
      medidiff verify set/ --all --json
    """
    if sample < 1:
        raise UsageError(f"--sample {sample}: must be 1 or more.")
    if not subject.exists():
        raise InputError(f"{subject}: no such file or folder.")
    import numpy as np

    from medidiff.cli.discover import plural
    from medidiff.cli.progress import Progress
    from medidiff.synthesis.stored import Missing, missing_of, record_of, records_in, without_record
    from medidiff.synthesis.verify import DIFFERENT, Verdict, Verifier

    is_set = subject.is_dir() and not any(subject.glob("*.dcm"))
    records = records_in(subject) if is_set else [record_of(subject)]
    of = len(records)
    if not everything and of > sample:
        chosen = np.random.default_rng(seed).choice(of, sample, replace=False)
        records = [records[i] for i in sorted(chosen.tolist())]
    machine = {"device": device, "precision": precision, "threads": threads, "max_gb": max_gb}
    verifier = Verifier(prior, machine)
    strays = without_record(subject) if is_set else []
    verdicts = [Verdict(path, DIFFERENT, "no record speaks of it") for path in strays]
    lacking = missing_of(subject, of) if is_set else Missing()
    if lacking.scans and lacking.finished:
        verdicts.append(Verdict(subject, DIFFERENT, f"{lacking.scans} of its {lacking.of} scans are missing"))
    with Progress(len(records), "verify", count=len(records) > 1) as progress:
        for path in records:
            progress.start(path.name)
            try:
                verdict = verifier.verify(path, None if is_set else subject)
            except InputError as error:
                if not is_set:
                    raise
                verdict = Verdict(path, DIFFERENT, str(error))  # the others are looked at all the same
            verdicts.append(verdict)
            progress.finish(f"{path.name}: {verdict.status} ({verdict.detail})")
    counts = {status: sum(v.status == status for v in verdicts) for status in sorted({v.status for v in verdicts})}
    values = {
        "counts": counts,
        "of": of,
        "missing": lacking.scans,
        "scans": [
            {"record": str(v.record), "status": v.status, "detail": v.detail, "figures": v.figures} for v in verdicts
        ],
    }
    bad = next((v for status in _EXIT for v in verdicts if v.status == status), None)
    if bad is not None:
        message = f"{bad.record}: {bad.status}: {bad.detail}"
        more = sum(v.status in _EXIT for v in verdicts) - 1
        message += f" (and {more} more)" if more else ""
        stop(Failure(message, _EXIT[bad.status]), as_json, values)
    if as_json:
        emit_json({"status": "verified", "exit_code": 0, **values})
        return
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    detail = f": {verdicts[0].detail}" if of == 1 else f" (of {plural(of, 'scan')})"
    not_yet = f"; not finished: {lacking.scans} of {lacking.of} are not made yet" if lacking.scans else ""
    typer.echo(f"{subject}: {told}{detail}{not_yet}")
