"""How much privacy a run has spent: Opacus' accountants of the Poisson-sampled Gaussian mechanism."""

from __future__ import annotations

import warnings
from typing import Any

from medidiff.errors import ConfigError
from medidiff.training.private_config import PrivacyConfig

OTHER = {"rdp": "prv", "prv": "rdp"}
"""The accountant that each is held against."""
History = list[tuple[float, float, int]]
"""(noise multiplier, sampling rate, steps)."""


def noise_multiplier(how: PrivacyConfig, rate: float, steps: int) -> float:
    """Standard deviation of the noise, in units of `clip`, that spends `target_epsilon` in `steps`.

    Args:
        how: Target and accountant.
        rate: Probability with which a patient is drawn in a step.
        steps: Of the whole run.

    Raises:
        ConfigError: Opacus is not installed, or no noise is enough.
    """
    utils = _opacus("opacus.accountants.utils")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # orders at the edge of its list, on the way to the answer
            return float(
                utils.get_noise_multiplier(
                    target_epsilon=how.target_epsilon,
                    target_delta=how.delta,
                    sample_rate=rate,
                    steps=steps,
                    accountant=how.accountant,
                )
            )
    except ValueError as error:
        raise ConfigError(
            f"privacy.target_epsilon {how.target_epsilon}, delta {how.delta}: no noise reaches it in {steps} "
            f"steps at a sampling rate of {rate:.3g} ({error}). Give a larger epsilon, fewer steps or a smaller batch."
        ) from error


def epsilon_of(history: History, delta: float, accountant: str) -> float:
    """Epsilon of these steps.

    Args:
        history: What was done.
        delta: Of the guarantee.
        accountant: rdp or prv.

    Source: Mironov, Talwar and Zhang 2019 (rdp); Gopi, Lee and Wutschitz 2021 (prv), as Opacus has them.
    """
    if not history:
        return 0.0
    keeper = _opacus("opacus.accountants").create_accountant(accountant)
    keeper.history = [tuple(part) for part in history]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # orders at the edge of its list: the figure is an upper bound all the same
        return float(keeper.get_epsilon(delta))


class Ledger:
    """What a run has spent, step by step.

    Args:
        how: Target and accountant.
        rate: Probability with which a patient is drawn in a step.
        steps: Of the whole run.

    Attributes:
        multiplier: Noise of each step, in units of `clip`.
        history: What was done so far.
    """

    def __init__(self, how: PrivacyConfig, rate: float, steps: int) -> None:
        self.how, self.rate = how, rate
        self.multiplier = noise_multiplier(how, rate, steps)
        self.history: History = []

    def step(self) -> None:
        """One more step was taken."""
        done = self.history[-1][2] if self.history else 0
        self.history = [(self.multiplier, self.rate, done + 1)]

    @property
    def steps(self) -> int:
        """Steps so far."""
        return sum(part[2] for part in self.history)

    def epsilon(self, accountant: str | None = None) -> float:
        """Spent so far, by the run's accountant or another."""
        return epsilon_of(self.history, self.how.delta, accountant or self.how.accountant)

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"history": self.history}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint: what was spent stays spent.

        Raises:
            ConfigError: It was spent at another sampling rate or with other noise.
        """
        history = [(float(noise), float(rate), int(steps)) for noise, rate, steps in state["history"]]
        if any((noise, rate) != (self.multiplier, self.rate) for noise, rate, _ in history):
            raise ConfigError(
                f"privacy: the run went on with noise and sampling rate {history}, now they are "
                f"{self.multiplier:.4g} and {self.rate:.4g}. Begin a new run in another output."
            )
        self.history = history


def _opacus(module: str) -> Any:
    import importlib

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(f"privacy: needs Opacus ({error}). Install it: pip install 'medidiff[dp]'.") from error


__all__ = ["OTHER", "History", "Ledger", "epsilon_of", "noise_multiplier"]
