"""`medidiff evaluate`: how good results are, whoever's they are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medidiff.cli.options import JsonOption, ModalityOption, OverwriteOption
from medidiff.cli.outcome import verb
from medidiff.errors import UsageError

_TASKS = ("denoise",)


@verb
def evaluate(
    task: Annotated[str, typer.Argument(metavar="denoise", help="What is evaluated.")],
    clean: Annotated[Path | None, typer.Option("--clean", metavar="FOLDER", help="Clean scans, NIfTI.")] = None,
    noisy: Annotated[
        Path | None, typer.Option("--noisy", metavar="FOLDER", help="The same scans with noise, by the same names.")
    ] = None,
    results: Annotated[
        list[str] | None,
        typer.Option(
            "--results", metavar="NAME=FOLDER", help="What a method made of them; may be given again. Any program's."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Folder for what is written.")
    ] = None,
    make_pairs: Annotated[
        Path | None,
        typer.Option("--make-pairs", metavar="SCANS", help="Instead: add known noise to your own cleanest scans."),
    ] = None,
    noise: Annotated[
        str | None,
        typer.Option(
            "--noise", metavar="LIST", help="Its kinds: gaussian, rician, correlated, varying. gaussian by default."
        ),
    ] = None,
    percent: Annotated[
        str | None,
        typer.Option("--percent", metavar="LIST", help="Its levels in percent of the range. 3,9,15 by default."),
    ] = None,
    downsample: Annotated[
        bool, typer.Option("--downsample", help="Halve the scans first: a third of their own noise.")
    ] = False,
    reader_pack: Annotated[
        Path | None,
        typer.Option("--reader-pack", metavar="PACK", help="Instead: write a blinded A/B set of --results."),
    ] = None,
    score_pack: Annotated[
        Path | None, typer.Option("--score-pack", metavar="PACK", help="Instead: unblind what readers filled in.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="The pack's key. PACK-key/key.json by default.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="N", help="Of noise: 0 by default. Of a pack: drawn by default."),
    ] = None,
    modality: ModalityOption = "",
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Score denoised scans, make scans to be scored, or let readers judge blindly.

    With clean and noisy scans: PSNR, SSIM, bias and what was removed, for any number of methods, with 95% intervals of
    their differences over patients. With --make-pairs: such scans, from your own. With --reader-pack: two methods side
    by side, in random order, without names.

    \b
    Examples:
      medidiff evaluate denoise --make-pairs scans/ -o pairs/ --noise gaussian,rician --percent 3,9
      medidiff evaluate denoise --clean pairs/clean --noisy pairs/noisy --results a=a/ --results b=b/ -o scores/
      medidiff evaluate denoise --reader-pack pack/ --results a=a/ --results b=b/
      medidiff evaluate denoise --score-pack pack/ --key pack-key/key.json
    """
    if task not in _TASKS:
        raise UsageError(f"{task}: must be {', '.join(_TASKS)}.")
    given = {
        "--clean": clean, "--noisy": noisy, "--results": results or None, "-o": output, "--noise": noise,
        "--percent": percent, "--downsample": downsample or None, "--key": key, "--seed": seed,
        "--modality": modality or None, "--overwrite": overwrite or None,
    }  # fmt: skip
    mode = _mode({"--make-pairs": make_pairs, "--reader-pack": reader_pack, "--score-pack": score_pack})
    _refuse_others(mode, [option for option, value in given.items() if value is not None])
    if seed is not None and seed < 0:
        raise UsageError(f"--seed {seed}: must be 0 or more.")
    from medidiff.cli.evaluate_pairs import Request, evaluate_pairs, parse_results
    from medidiff.cli.input_choice import InputChoice

    InputChoice(modality=modality)  # refuses what is none
    if make_pairs is not None:
        from medidiff.cli.evaluate_make import Wish, make_pairs_of, parse_list

        levels = tuple(map(_number, parse_list(percent or "3,9,15")))
        kinds = parse_list(noise or "gaussian")
        wish = Wish(kinds, levels, seed or 0, downsample, modality)
        make_pairs_of(make_pairs, _needed(output, "-o", mode), wish, overwrite=overwrite, as_json=as_json)
    elif reader_pack is not None:
        from medidiff.cli.evaluate_reader import make_pack

        make_pack(reader_pack, parse_results(results or []), noisy, key, seed, overwrite=overwrite, as_json=as_json)
    elif score_pack is not None:
        from medidiff.cli.evaluate_reader import score_readers

        score_readers(score_pack, key, as_json=as_json)
    else:
        request = Request(
            _needed(clean, "--clean", mode), _needed(noisy, "--noisy", mode), parse_results(results or []),
            modality or "MR", output, overwrite, as_json,
        )  # fmt: skip
        evaluate_pairs(request)


_ALLOWED = {
    "": ("--clean", "--noisy", "--results", "-o", "--modality", "--overwrite"),
    "--make-pairs": ("-o", "--noise", "--percent", "--downsample", "--seed", "--modality", "--overwrite"),
    "--reader-pack": ("--results", "--noisy", "--key", "--seed", "--overwrite"),
    "--score-pack": ("--key",),
}


def _mode(modes: dict[str, Path | None]) -> str:
    wanted = [option for option, value in modes.items() if value is not None]
    if len(wanted) > 1:
        raise UsageError(f"{' and '.join(wanted)}: give one of them.")
    return wanted[0] if wanted else ""


def _refuse_others(mode: str, given: list[str]) -> None:
    for option in given:
        if option not in _ALLOWED[mode]:
            raise UsageError(f"{option}: does not go with {mode or '--clean and --noisy'}. Leave it out.")


def _needed(path: Path | None, option: str, mode: str) -> Path:
    if path is None:
        what = f"{mode} needs it" if mode else "must be given, or --make-pairs, --reader-pack or --score-pack"
        raise UsageError(f"{option}: {what}. See `medidiff evaluate --help`.")
    return path


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"--percent {text}: must be numbers, such as 3,9,15.") from None
