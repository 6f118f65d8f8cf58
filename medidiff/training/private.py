"""DP-SGD by patient: one clipped gradient each, summed, and noise that hides any one of them.

A loop over patients: a patient's patches are one batch, and nothing computed from them meets another's. Opacus'
`GradSampleModule` finds the same gradients patch by patch, not patient by patient, and is hardly faster: four patches
of 32^3 took 1.08 s, the loop 1.33 s, all four as one batch 0.30 s (float32, one thread). What is slow is a batch of
one: 0.35 s, where a batch of two takes 0.16 s; hence two patches a patient. Opacus' are the noise and the accounting.

Sampling and noise follow from the run's secret key and the step, so that a resumed run takes the same steps and spends
nothing twice.

Source: Abadi et al. 2016, Algorithm 1, with patients for examples.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from medidiff.cohort.commitment import subkey
from medidiff.errors import ConfigError
from medidiff.prior.card import PrivacyRecord
from medidiff.training.config import TrainingConfig
from medidiff.training.module import DenoiserTraining
from medidiff.training.private_accounting import OTHER, Ledger
from medidiff.training.private_config import PrivacyConfig

MASK_MEAN = -0.9
"""Mean that is taken off masks: given, not measured. A mask is -1 nearly everywhere."""
NOT_COVERED = (
    "the number of train patients and scans",
    "the range of their voxel spacings",
    "each scan's own normalisation",
    "val and holdout patients, and a prior that the run started from",
    "everything in the run's folder but this file: logs, checkpoints and pictures are not private",
)
"""What the card says besides epsilon."""


class PrivateTraining(DenoiserTraining):
    """`DenoiserTraining` whose gradient is private.

    Args:
        config: The run, with `privacy`.
        kinds: Values of the condition `kind`.
        patients: Train patients.
        key: The run's secret.

    Attributes:
        ledger: What was spent.

    Raises:
        ConfigError: No noise reaches the target.
    """

    def __init__(self, config: TrainingConfig, kinds: tuple[str, ...], patients: int, key: bytes) -> None:
        how = config.privacy
        if how is None:
            raise ConfigError("privacy: a private run needs its target_epsilon and delta. State them in the config.")
        super().__init__(config, kinds, *given_scale(how, config.network.channels))
        self.ledger = Ledger(how, config.optimiser.batch / patients, config.optimiser.steps)
        self._clip, self._key, self._sum = how.clip, key, list[Tensor]()

    def training_step(self, batch: list[dict[str, Any]], batch_idx: int) -> Tensor:  # type: ignore[override]
        """Sum of the patients' clipped gradients; the loss that is returned is for the log."""
        parameters = self._trained()
        self._sum = [torch.zeros_like(p) for p in parameters]
        losses = [torch.zeros((), device=self.device)]
        for patient in batch:
            loss = super().training_step(patient, batch_idx)
            add_clipped(self._sum, torch.autograd.grad(loss, parameters, allow_unused=True), self._clip)
            losses.append(loss.detach())
        if not batch:
            self._figures.append(torch.zeros(3, device=self.device))
        return torch.stack(losses).mean()

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Put the noisy mean into the gradients: the sum and its noise over the patients expected, not those drawn."""
        for parameter, noisy in zip(self._trained(), self.noisy_sum(), strict=True):
            parameter.grad = noisy / self.config.optimiser.batch
        self._sum = []

    def noisy_sum(self) -> Iterable[Tensor]:
        """The sum of clipped gradients with noise of `multiplier * clip`, parameter by parameter."""
        from opacus.optimizers.optimizer import _generate_noise

        seed = int.from_bytes(subkey(self._key, f"noise of step {self.global_step}")[:8])
        generator = torch.Generator().manual_seed(seed)
        for total in self._sum:
            noise = _generate_noise(self.ledger.multiplier * self._clip, torch.empty(total.shape), generator)
            yield total + noise.to(total)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, and write down what it cost, whether or not the guard left the update out."""
        super().optimizer_step(*args, **kwargs)
        self.ledger.step()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """What was spent, too."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["privacy"] = self.ledger.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """What was spent, too."""
        super().on_load_checkpoint(checkpoint)
        self.ledger.load_state_dict(checkpoint["privacy"])

    def record(self) -> PrivacyRecord:
        """For the card."""
        how, ledger = self.ledger.how, self.ledger
        return PrivacyRecord(
            epsilon=ledger.epsilon(),
            delta=how.delta,
            accountant=how.accountant,
            second_accountant=OTHER[how.accountant],
            second_epsilon=ledger.epsilon(OTHER[how.accountant]),
            clip=how.clip,
            noise_multiplier=ledger.multiplier,
            sampling_rate=ledger.rate,
            steps=ledger.steps,
            not_covered=NOT_COVERED,
        )

    def _trained(self) -> list[Tensor]:
        return [p for p in self.parameters() if p.requires_grad]


def add_clipped(total: Sequence[Tensor], gradients: Sequence[Tensor | None], clip: float) -> float:
    """Add one patient's gradient, at most `clip` long, in place; one that is not finite counts as nothing.

    Returns:
        The gradient's norm before clipping.
    """
    known = [(t, g) for t, g in zip(total, gradients, strict=True) if g is not None]
    norm = torch.stack([g.double().square().sum() for _, g in known]).sum().sqrt()
    if not bool(torch.isfinite(norm)):
        return float(norm)
    factor = min(1.0, clip / (float(norm) + 1e-6))
    for t, g in known:
        t.add_(g, alpha=factor)
    return float(norm)


def given_scale(how: PrivacyConfig, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """sigma_data and mean of each channel, the image and its masks, that no patient was looked at for."""
    masks = channels - 1
    return (how.sigma_data, *[(1 - MASK_MEAN**2) ** 0.5] * masks), (0.0, *[MASK_MEAN] * masks)


__all__ = ["MASK_MEAN", "PrivateTraining", "add_clipped", "given_scale"]
