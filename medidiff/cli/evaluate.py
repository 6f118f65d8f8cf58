"""`medidiff evaluate denoise`: how good denoised scans are, whoever's they are."""

from __future__ import annotations

from pathlib import Path

from medidiff.cli.evaluate_options import (
    CleanOption,
    DownsampleOption,
    KeyOption,
    MakePairsOption,
    NoiseOption,
    NoisyOption,
    OutputOption,
    PairSeedOption,
    PercentOption,
    ReaderPackOption,
    ResultsOption,
    ScorePackOption,
)
from medidiff.cli.options import JsonOption, ModalityOption, OverwriteOption
from medidiff.cli.outcome import verb
from medidiff.errors import UsageError


@verb
def evaluate(
    clean: CleanOption = None,
    noisy: NoisyOption = None,
    results: ResultsOption = None,
    output: OutputOption = None,
    make_pairs: MakePairsOption = None,
    noise: NoiseOption = None,
    percent: PercentOption = None,
    downsample: DownsampleOption = False,
    reader_pack: ReaderPackOption = None,
    score_pack: ScorePackOption = None,
    key: KeyOption = None,
    seed: PairSeedOption = None,
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
    mode = _mode({"--make-pairs": make_pairs, "--reader-pack": reader_pack, "--score-pack": score_pack})
    given = {
        "--clean": clean, "--noisy": noisy, "--results": results or None, "-o": output, "--noise": noise,
        "--percent": percent, "--downsample": downsample or None, "--key": key, "--seed": seed,
        "--modality": modality or None, "--overwrite": overwrite or None,
    }  # fmt: skip
    _check(mode, [option for option, value in given.items() if value is not None], seed, modality)
    if make_pairs is not None:
        _make_pairs(make_pairs, output, (noise, percent, downsample, modality), seed, overwrite, as_json)
        return
    from medidiff.cli.evaluate_pairs import Request, evaluate_pairs, parse_results

    if reader_pack is not None:
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


def _make_pairs(
    scans: Path,
    output: Path | None,
    wish: tuple[str | None, str | None, bool, str],
    seed: int | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """`--make-pairs` with its own defaults. `wish`: --noise, --percent, --downsample, --modality."""
    from medidiff.cli.evaluate_make import Wish, make_pairs_of, parse_list

    noise, percent, downsample, modality = wish
    levels = tuple(map(_number, parse_list(percent or "3,9,15")))
    wanted = Wish(parse_list(noise or "gaussian"), levels, seed or 0, downsample, modality)
    make_pairs_of(scans, _needed(output, "-o", "--make-pairs"), wanted, overwrite=overwrite, as_json=as_json)


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


def _check(mode: str, given: list[str], seed: int | None, modality: str) -> None:
    """Refuse options of another mode, and values that no mode takes."""
    from medidiff.cli.input_choice import InputChoice

    for option in given:
        if option not in _ALLOWED[mode]:
            raise UsageError(f"{option}: does not go with {mode or '--clean and --noisy'}. Leave it out.")
    if seed is not None and seed < 0:
        raise UsageError(f"--seed {seed}: must be 0 or more.")
    InputChoice(modality=modality)  # refuses what is none


def _needed(path: Path | None, option: str, mode: str) -> Path:
    if path is None:
        what = f"{mode} needs it" if mode else "must be given, or --make-pairs, --reader-pack or --score-pack"
        raise UsageError(f"{option}: {what}. See `medidiff evaluate denoise --help`.")
    return path


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"--percent {text}: must be numbers, such as 3,9,15.") from None
