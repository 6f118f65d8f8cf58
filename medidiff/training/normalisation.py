"""How the scans of a run were normalised, which is how a scan must be normalised on its way into the prior."""

from __future__ import annotations

from typing import Any

from medidiff.cohort import FolderSource, PatchDataModule
from medidiff.cohort.store_source import StoreCases
from medidiff.errors import ConfigError
from medidiff.prior import NormalisationRecipe, read_entry
from medidiff.training.config import TrainingConfig
from medidiff.training.watch import say


def normalisation_of(data: PatchDataModule) -> NormalisationRecipe:
    """The one normalisation of all sources.

    Folders of scans are normalised by percentiles, stores as their recipe says; procedural volumes fit either.

    Args:
        data: After `setup`.

    Raises:
        ConfigError: Two sources were normalised in different ways.
    """
    found: dict[str, NormalisationRecipe] = {
        s.name: NormalisationRecipe() for s in data.sources if isinstance(s, FolderSource)
    }
    for _, cases in data.loaded["train"]:
        if isinstance(cases, StoreCases):
            found[f"{cases.source.name} ({cases.source.url})"] = _recipe(cases.store.meta["recipe"]["intensity"])
    first = next(iter(found.values()), NormalisationRecipe())
    for name, recipe in found.items():
        if recipe != first:
            raise ConfigError(
                f"data.sources: {next(iter(found))} is normalised by {_words(first)}, {name} by {_words(recipe)}; a "
                "prior has one way. Prepare them with the same --intensity."
            )
    return first


def warn_of_other_normalisation(config: TrainingConfig, recipe: NormalisationRecipe) -> None:
    """Say so where the prior that a run starts from takes scans normalised in another way: it learns that anew."""
    if config.start_from is None:
        return
    card = read_entry(config.start_from).card
    had = NormalisationRecipe.model_validate(card.get("normalisation", {}))
    if had != recipe:
        say(
            f"warning: the scans are normalised by {_words(recipe)}, those of {config.start_from.name} were by "
            f"{_words(had)}: their values mean something else to it. Prepare them with its --intensity, or expect a "
            "slow start; the comparison at the end shows it values that it was not made for."
        )


def _recipe(intensity: dict[str, Any]) -> NormalisationRecipe:
    if intensity["type"] == "window":
        return NormalisationRecipe(name="window", window=(intensity["low"], intensity["high"]))
    return NormalisationRecipe(lower_pct=intensity["lower"], upper_pct=intensity["upper"])


def _words(recipe: NormalisationRecipe) -> str:
    if recipe.window is not None:
        return f"the window {recipe.window[0]:g} to {recipe.window[1]:g}"
    return f"percentiles {recipe.lower_pct:g} and {recipe.upper_pct:g}"
