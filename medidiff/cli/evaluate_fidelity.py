"""`medidiff evaluate fidelity`: is a synthetic set like real patients?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from medidiff.cli.evaluate_sets import (
    FolderOption,
    RealOption,
    ScansOption,
    SplitOption,
    SyntheticArgument,
    TableOption,
    TwoSets,
    check_options,
    read_two,
    tell,
)
from medidiff.cli.options import JsonOption, OverwriteOption, SeedOption
from medidiff.cli.outcome import verb

if TYPE_CHECKING:
    from medidiff.report.page import Picture

_SHOWN = 4


@verb
def fidelity(
    synthetic: SyntheticArgument,
    real: RealOption = None,
    split: SplitOption = None,
    table: TableOption = None,
    folder: FolderOption = None,
    draws: Annotated[
        int, typer.Option("--draws", metavar="N", help="Halvings of the real patients for the band.")
    ] = 1000,
    scans: ScansOption = 500,
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Hold a synthetic set against real patients.

    Two sets of features that nobody trained (intensity and texture, random convolutions); the unbiased MMD of equal
    numbers, read against the 95% band of halves of the real patients; precision, recall, density, coverage; MS-SSIM of
    pairs; and the same by sex, age band and whatever else is known on both sides. It asks nothing about privacy.
    Exit codes: 0 measured, whatever was found; 2 options; 3 scans missing, too few or unreadable; 7 grids that differ.

    \b
    Examples:
      medidiff evaluate fidelity set/ --real store/ --split holdout -o fidelity/
      medidiff evaluate fidelity set/ --real scans/ --table participants.tsv --json
    """
    given = check_options(real, folder, overwrite, draws=draws, scans=scans, seed=seed)
    from medidiff.report.evaluate_page import fidelity_page

    sets = read_two(synthetic, given, split, table, scans, seed)
    told = _measure(sets, draws, seed)
    tell(told, folder, fidelity_page(told, _pictures(sets)), _lines(told), as_json)


def _measure(sets: TwoSets, draws: int, seed: int) -> dict[str, Any]:
    import numpy as np

    from medidiff import __version__
    from medidiff.cli.evaluate_sets import FORMAT
    from medidiff.cli.progress import announce
    from medidiff.evaluate.set_fidelity import FEATURES, compare_diversity, compare_features
    from medidiff.evaluate.subgroups import subgroups

    made, real = sets.made, sets.real
    found, ours, theirs = {}, [], []
    for name, extract in FEATURES.items():
        announce(f"features: {name}")
        ours.append(extract(made.images))
        theirs.append(extract(real.images))
        found[name] = compare_features(ours[-1], theirs[-1], real.patients, draws=draws, seed=seed)
    announce("diversity and subgroups")
    alike = compare_diversity(made.images, real.images, real.patients, seed=seed)
    one, other = (np.concatenate(features, axis=1) for features in (theirs, ours))
    groups = subgroups(one, other, real.attributes, made.attributes, real.patients, seed=seed)
    inside = all(one.inside for one in found.values())
    size = next(iter(found.values())).size
    words = (
        f"{size} synthetic scans and {size} real ones differ by "
        f"{'no more than' if inside else 'more than'} two groups of real patients do."
    )
    return {
        "status": "measured",
        "exit_code": 0,
        "format": FORMAT,
        "kind": "fidelity",
        "medidiff": __version__,
        "words": words,
        "inside": inside,
        "about": {**sets.about, "draws": draws},
        "features": {name: one.to_dict() for name, one in found.items()},
        "ms_ssim": None if alike is None else {"synthetic": alike[0]._asdict(), "real": alike[1]._asdict()},
        "subgroups": groups.to_dict(),
        "warnings": sets.warnings,
    }


def _pictures(sets: TwoSets) -> list[Picture]:
    """The first synthetic scans; never a patient's."""
    import numpy as np

    from medidiff.draw import plane_picture
    from medidiff.report.page import Picture
    from medidiff.volume import Volume

    affine = np.diag([*sets.made.spacing_mm, 1.0])
    shown = list(zip(sets.made.names, sets.made.images, strict=True))[:_SHOWN]
    return [
        Picture.of(plane_picture(Volume(image, affine), height=150), name, "Given as synthetic.")
        for name, image in shown
    ]


def _lines(told: dict[str, Any]) -> list[str]:
    lines = [told["words"]]
    for name, one in told["features"].items():
        for kernel, distance in one["distances"].items():
            band = distance["band"]
            lines.append(
                f"{name}, {kernel}: MMD² {distance['mean']:.4f}, real patients {band['low']:.4f} to "
                f"{band['high']:.4f}: {distance['verdict']}"
            )
        near = ", ".join(
            f"{key} {value['mean']:.2f} ({one['real_neighbourhood'][key]['mean']:.2f})"
            for key, value in one["neighbourhood"].items()
        )
        lines.append(f"{name}: {near}; in brackets real patients among themselves")
    if told["ms_ssim"] is not None:
        alike = {key: value["ms_ssim"] for key, value in told["ms_ssim"].items()}
        lines.append(f"MS-SSIM of pairs: synthetic {alike['synthetic']:.3f}, real {alike['real']:.3f}")
    lines += [f"{row['attribute']} {row['label']}: {row['words']}" for row in told["subgroups"]["rows"]]
    return lines


__all__ = ["fidelity"]
