"""Pictures of an audit: samples a person must look at; on a page that stays at the site, their nearest scans too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from medidiff.privacy.audit import Audit
    from medidiff.privacy.report_record import AuditReport
    from medidiff.report.page import Picture

_HEIGHT = 150


def pictures_of(
    report: AuditReport, audit: Audit, spacing_mm: tuple[float, float, float], *, internal: bool
) -> tuple[dict[str, Picture], dict[str, Picture]]:
    """Three planes of every sample to be looked at, by its file; and of its nearest real scan where `internal`."""
    from medidiff.draw import plane_picture
    from medidiff.report.page import Picture
    from medidiff.volume import Volume

    number = {name: i for i, name in enumerate(audit.subjects.names)}

    def picture(data: np.ndarray) -> Picture:
        return Picture.of(plane_picture(Volume.from_array(data, spacing_mm), height=_HEIGHT), "")

    files = [note.file for note in (*report.worst_samples, *report.random_samples)]
    made = {file: picture(audit.subjects.synthetic[number[file]]) for file in files}
    if not internal:
        return made, {}
    nearest = np.argmax(audit.main.synthetic, axis=1)
    worst = [note.file for note in report.worst_samples]
    return made, {file: picture(audit.subjects.real[nearest[number[file]]]) for file in worst}


__all__ = ["pictures_of"]
