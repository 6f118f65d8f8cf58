"""One number of a set: draw, measure, keep or draw again, write. The one function that every engine calls."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from medidiff.errors import OutputError
from medidiff.synthesis.checks import problems
from medidiff.synthesis.controls import group_of
from medidiff.synthesis.request import SetRequest
from medidiff.synthesis.write import Writer, publish
from medidiff.tasks.measured import measure
from medidiff.tasks.sample_maker import SampleMaker


def make_one(
    request: SetRequest, maker: SampleMaker, writer: Writer, index: int, root: Path, staging: Path
) -> tuple[dict[str, Any], float, int]:
    """Make sample `index` and put it into its place.

    Args:
        request: The set.
        maker: Draws samples.
        writer: Makes files of them.
        index: The sample's number.
        root: The set's folder.
        staging: A folder on the same disk that nobody else writes to.

    Returns:
        Its row of the manifest (`status` done or failed), seconds, and network evaluations, of all draws.

    Raises:
        OutputError: The disk is full, or the folder cannot be written.
    """
    rejected: list[str] = []
    seconds, nfe = 0.0, 0
    group = group_of(request.plan, index)
    for attempt in range(request.max_attempts):
        sample = maker.make(index, attempt)
        seconds, nfe = seconds + sample.seconds, nfe + sample.nfe
        measured = measure(sample.mask, maker.voxel_mm3)
        found = problems(sample, measured, request.checks)
        if not found and request.guard is not None and (near := request.guard.problem(sample.image)):
            found = [near]
        if found:
            rejected.append("; ".join(found))
            continue
        shutil.rmtree(staging, ignore_errors=True)
        try:
            row = writer.write(sample, {"group": group, "measured": measured, "rejected": rejected}, staging)
            publish(staging, root, writer.layout.names(index), row)
        except OSError as error:
            raise OutputError(
                f"{root}: cannot be written ({error.strerror}). Free space, or choose another -o."
            ) from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return row, seconds, nfe
    conditions = request.plan.draw(request.seed, index) if request.plan is not None else {}
    return writer.failed(index, conditions, rejected, group), seconds, nfe


__all__ = ["make_one"]
