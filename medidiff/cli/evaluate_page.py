"""The page of an evaluation: tables, and the same slice of every image with what was removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from medidiff import __version__
from medidiff.cli.evaluate_text import Scored, conditions_of, difference_table, heading, mean_table, number
from medidiff.draw import diverging, draw_slice, grey, stack, symmetric_limit, take_slice, window_limits
from medidiff.draw.views import middle_of
from medidiff.evaluate.scores import NOISY, Score
from medidiff.report.page import Picture, Section, Table, render_page
from medidiff.volume import Volume

MOST_SHOWN, MOST_ALIKE = 8, 2
_HEIGHT = 240
_MEANING = (
    "Means over patients. The range is the clean scan's 0.5th to 99.5th percentile. Anatomy in residual: correlation "
    "of what was removed with the clean scan's detail, 0 where noise alone was removed. Residual neighbours: "
    "correlation of neighbouring voxels of what was removed; it should be that of the noise, in the noisy scan's line."
)
_DIFFERENCES = "Differences on the same patients, with their 95% interval (Student's, one value a patient)."


def pictures_of(
    clean: Volume, noisy: Volume, results: Mapping[str, Volume], inside: np.ndarray, scores: Mapping[str, Score]
) -> list[Picture]:
    """Axial slice through the middle of the foreground: each image over its difference.

    Args:
        clean: Reference; its grey limits are used for all.
        noisy: The scan that was denoised.
        results: By method.
        inside: Foreground.
        scores: By method.
    """
    index = middle_of(clean.with_data(inside))[0]
    limits = window_limits(clean.data)
    limit = symmetric_limit(noisy.data - clean.data)

    def image(volume: Volume) -> np.ndarray:
        cut = take_slice(volume, "axial", index)
        return draw_slice(cut, lambda p: grey(p, *limits), _HEIGHT / (cut.pixels.shape[0] * cut.row_mm))

    def colours(data: np.ndarray) -> np.ndarray:
        cut = take_slice(clean.with_data(data), "axial", index)
        scale = _HEIGHT / (cut.pixels.shape[0] * cut.row_mm)
        return draw_slice(cut, lambda p: diverging(p, limit), scale, letters=False)

    pictures = [
        Picture.of(image(clean), "clean", f"Grey from {limits[0]:.4g} to {limits[1]:.4g}."),
        Picture.of(
            stack([image(noisy), colours(noisy.data - clean.data)]),
            NOISY,
            f"{number('psnr_db', scores[NOISY].psnr_db)} dB. Below: minus clean, blue {-limit:.3g}, red {limit:.3g}.",
        ),
    ]
    for method, result in results.items():
        said = f"{number('psnr_db', scores[method].psnr_db)} dB. Below: noisy minus {method}."
        pictures.append(Picture.of(stack([image(result), colours(noisy.data - result.data)]), method, said))
    return pictures


def page_of(scored: Sequence[Scored], pictures: Mapping[str, Sequence[Picture]], warnings: Sequence[str]) -> str:
    """The whole page.

    Args:
        scored: Every pair that was scored.
        pictures: Of some pairs, by name.
        warnings: What to know before reading it.
    """
    sections = [_figures(condition, group) for condition, group in conditions_of(scored).items()]
    if warnings:
        sections.insert(0, Section("Before you read on", warnings=warnings))
    sections += [
        Section(one.name, lead=one.condition, pictures=pictures[one.name], tables=[_scores_table(one)])
        for one in scored
        if one.name in pictures
    ]
    methods = [method for method in scored[0].scores if method != NOISY]
    lead = f"Methods: {', '.join(methods)}." if methods else ""
    return render_page("Denoising, scored against clean scans", sections, lead=lead, footer=f"medidiff {__version__}")


def _figures(condition: str, group: Sequence[Scored]) -> Section:
    header, *rows = mean_table(group)
    tables = [Table(header, rows, _MEANING)]
    header, *rows = difference_table(group)
    if rows:
        tables.append(Table(header, rows, _DIFFERENCES))
    return Section(heading(condition, group), tables=tables)


def _scores_table(one: Scored) -> Table:
    header, *rows = mean_table([one])
    return Table(header, rows)


__all__ = ["MOST_ALIKE", "MOST_SHOWN", "page_of", "pictures_of"]
