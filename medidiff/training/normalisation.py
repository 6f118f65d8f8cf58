"""How the scans of a run were normalised, which is how a scan must be normalised on its way into the prior."""

from __future__ import annotations

from typing import Any

from medidiff.cohort import FolderSource, PatchDataModule
from medidiff.cohort.store_source import StoreCases
from medidiff.errors import ConfigError
from medidiff.prior import NormalisationRecipe


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


def _recipe(intensity: dict[str, Any]) -> NormalisationRecipe:
    if intensity["type"] == "window":
        return NormalisationRecipe(name="window", window=(intensity["low"], intensity["high"]))
    return NormalisationRecipe(lower_pct=intensity["lower"], upper_pct=intensity["upper"])


def _words(recipe: NormalisationRecipe) -> str:
    if recipe.window is not None:
        return f"the window {recipe.window[0]:g} to {recipe.window[1]:g}"
    return f"percentiles {recipe.lower_pct:g} and {recipe.upper_pct:g}"
