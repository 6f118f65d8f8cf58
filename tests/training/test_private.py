"""Private training: what one patient can change, the noise, the books, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml

from medidiff.cohort.commitment import KEY_FILE
from medidiff.cohort.run_holdout import RunCoin
from medidiff.errors import ConfigError
from medidiff.prior import Prior
from medidiff.training import run
from medidiff.training.private import MASK_MEAN, PrivateTraining, add_clipped, given_scale
from medidiff.training.private_accounting import Ledger, epsilon_of, noise_multiplier
from medidiff.training.private_config import PrivacyConfig
from medidiff.training.private_patches import PoissonSteps, PrivateDataModule
from medidiff.training.watch import PlainProgress

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:Warning"),
]
HOW = PrivacyConfig(target_epsilon=4, delta=1e-3)
PRIVACY = {"target_epsilon": 4.0, "delta": 1e-3, "clip": 0.5}


def private_config(tiny_config: Callable[..., Path], folder: Path, steps: int = 8, **parts: Any) -> Path:
    """Six patients, one with two scans."""
    scans = folder / "scans"
    scans.mkdir(parents=True, exist_ok=True)
    rows = ["case\tpatient\tsplit"]
    for number, patient in enumerate(["a", "a", "b", "c", "d", "e", "f"]):
        data = np.random.default_rng(number).normal(size=(12, 12, 12)).astype(np.float32)
        nib.save(nib.Nifti1Image(data, np.eye(4)), scans / f"s{number}.nii.gz")  # type: ignore[attr-defined]
        rows.append(f"s{number}\t{patient}\ttrain")
    (folder / "p.tsv").write_text("\n".join(rows) + "\n")
    source = {"type": "folder", "name": "f", "files": "scans/{case}.nii.gz", "table": "p.tsv", "tau": 0.1}
    data = {"root": str(folder), "cache": str(folder / "cache"), "patch": [8, 8, 8], "sources": [source]}
    optimiser = {"batch": 2, "steps": steps, "warmup": 2}
    return tiny_config(folder, **{"data": data, "privacy": PRIVACY, "optimiser": optimiser} | parts)


def module_of(config: Path) -> tuple[PrivateTraining, Any]:
    _, _, data, module = run._ready(config, [], None)
    assert isinstance(module, PrivateTraining)
    return module, data


# One patient -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("norm", "left"), [(10.0, 1.0), (0.5, 0.5)])
def test_a_gradient_is_cut_to_the_clip(norm: float, left: float) -> None:
    gradient = torch.tensor([3.0, 4.0]) * norm / 5
    total = [torch.zeros(2), torch.zeros(1)]
    assert add_clipped(total, [gradient, None], 1.0) == pytest.approx(norm)
    assert float(total[0].norm()) == pytest.approx(left, rel=1e-5)
    assert float(total[0].norm()) <= 1.0
    add_clipped(total, [torch.tensor([float("nan"), 1.0]), torch.tensor([1.0])], 1.0)
    assert float(total[1]) == 0  # not a number counts as nothing


def test_no_patient_moves_the_sum_by_more_than_the_clip(tiny_config: Callable[..., Path], tmp_path: Path) -> None:
    module, data = module_of(private_config(tiny_config, tmp_path))
    module.trainer = type("T", (), {"global_step": 0, "world_size": 1, "global_rank": 0})()  # type: ignore[assignment]
    loader = data.train_dataloader()
    patients = loader.collate_fn([loader.dataset[j] for j in range(12)])  # two patches each
    assert [batch["number"].tolist() for batch in patients] == [[2 * j, 2 * j + 1] for j in range(6)]
    assert [loader.dataset.choose(j, np.random.default_rng(j)).patient for j in range(12)] == list("aabbccddeeff")
    clip = 1e-3  # far below the gradients: every patient is cut
    module._clip = clip

    def summed(batch: list[Any]) -> torch.Tensor:
        module.training_step(batch, 0)
        return torch.cat([t.flatten() for t in module._sum])

    whole = summed(patients)
    for j in range(6):
        alone = summed([patients[j]])
        # the loss of a patient depends on nobody else: the sum without him differs by his clipped gradient
        without = summed([p for k, p in enumerate(patients) if k != j])
        torch.testing.assert_close(whole - without, alone, atol=1e-7, rtol=0)
        assert clip * 0.99 < float(alone.double().norm()) <= clip
    assert float(summed([]).abs().max()) == 0


def test_the_noise_is_the_multiplier_times_the_clip(tiny_config: Callable[..., Path], tmp_path: Path) -> None:
    module, data = module_of(private_config(tiny_config, tmp_path))
    module.trainer = type("T", (), {"global_step": 5})()  # type: ignore[assignment]
    module._sum = [torch.full((200, 100), 2.0), torch.zeros(7)]
    one, two = list(module.noisy_sum()), list(module.noisy_sum())
    std = module.ledger.multiplier * 0.5
    # 20 000 numbers: five standard errors of a standard deviation and of a mean
    assert abs(float(one[0].std()) / std - 1) < 5 / (2 * 20_000) ** 0.5
    assert abs(float(one[0].mean()) - 2) < 5 * std / 20_000**0.5
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))  # a step taken again has the same noise
    module.trainer = type("T", (), {"global_step": 6})()  # type: ignore[assignment]
    assert not torch.equal(one[0], next(iter(module.noisy_sum())))
    module._key = bytes(32)
    assert module._key != data.key
    assert not torch.equal(one[0], next(iter(module.noisy_sum())))
    module.training_step([], 0)
    module.backward(torch.zeros(()))
    gradient = torch.cat([p.grad.flatten() for p in module._trained() if p.grad is not None])
    assert float(gradient.std()) == pytest.approx(std / 2, rel=0.05)  # over `batch`, the patients expected


def test_patients_are_drawn_one_by_one() -> None:
    n, rate, steps = 10, 0.3, 2000
    key = bytes(range(32))
    drawn = list(PoissonSteps(n, rate, steps, 0, key))
    assert len(drawn) == steps
    assert all(step * n <= number < (step + 1) * n for step, numbers in enumerate(drawn) for number in numbers)
    sizes = np.array([len(numbers) for numbers in drawn])
    # Binomial(10, 0.3): mean 3, variance 2.1; five standard errors
    assert abs(sizes.mean() - 3) < 5 * (2.1 / steps) ** 0.5
    assert sizes.var() == pytest.approx(2.1, rel=0.2)
    counts = np.bincount([number % n for numbers in drawn for number in numbers], minlength=n) / steps
    assert np.abs(counts - rate).max() < 5 * (0.21 / steps) ** 0.5
    assert list(PoissonSteps(n, rate, steps, 1990, key)) == drawn[1990:]
    twice = list(PoissonSteps(n, rate, steps, 1990, key, 2))
    assert twice == [[2 * number + k for number in numbers for k in (0, 1)] for numbers in drawn[1990:]]
    assert list(PoissonSteps(n, rate, steps, 1990, bytes(32))) != drawn[1990:]


# The books ---------------------------------------------------------------------------------------------------------


def test_one_step_on_everybody_is_the_gaussian_mechanism() -> None:
    # without sampling: the exact delta of epsilon, Balle and Wang 2018, Theorem 8, for sensitivity 1
    from scipy.stats import norm

    sigma, delta = 2.0, 1e-3
    epsilon = epsilon_of([(sigma, 1.0, 1)], delta, "prv")
    exact = norm.cdf(1 / (2 * sigma) - epsilon * sigma) - np.exp(epsilon) * norm.cdf(-1 / (2 * sigma) - epsilon * sigma)
    assert 0.9 * delta <= exact <= delta  # PRV gives the upper end of an epsilon that errs by 0.01
    assert epsilon_of([(sigma, 1.0, 1)], delta, "rdp") >= epsilon - 0.01


def _by_losses(sigma: float, rate: float, steps: int, delta: float) -> float:
    """Epsilon by dp-accounting's privacy loss distributions of the mechanism's two outputs, cut into bins of 0.02."""
    from dp_accounting.privacy_loss_distribution import PrivacyLossDistribution
    from scipy.stats import norm

    edges = np.arange(-7 * sigma, 7 * sigma + 1, 0.02)
    middle = (edges[1:] + edges[:-1]) / 2
    without = norm.pdf(middle, 0, sigma)
    with_one = (1 - rate) * without + rate * norm.pdf(middle, 1, sigma)
    logs = [dict(enumerate(np.log(p / p.sum()))) for p in (without, with_one)]
    both = (logs, logs[::-1])  # one patient more, one fewer
    return max(
        PrivacyLossDistribution.from_two_probability_mass_functions(lower, upper, value_discretization_interval=1e-3)
        .self_compose(steps)
        .get_epsilon_for_delta(delta)
        for lower, upper in both
    )


@pytest.mark.parametrize(("sigma", "rate", "steps"), [(1.5, 0.04, 200), (4.0, 0.5, 30), (2.0, 1.0, 1)])
def test_three_accountants_agree(sigma: float, rate: float, steps: int) -> None:
    """Opacus' two, and a third that shares no code with them."""
    rdp, prv = (epsilon_of([(sigma, rate, steps)], 1e-3, name) for name in ("rdp", "prv"))
    third = _by_losses(sigma, rate, steps, 1e-3)
    # PRV gives an upper end that errs by 0.01; the third rounds every loss up by at most 0.001 a step
    assert -0.01 - 1e-3 * steps <= prv - third <= 0.03
    assert third - 1e-3 * steps <= rdp <= 1.25 * third  # RDP is an upper bound; at few steps a loose one
    assert epsilon_of([], 1e-3, "rdp") == 0


def test_the_noise_reaches_the_target_and_is_spent_step_by_step() -> None:
    ledger = Ledger(HOW, 0.2, 50)
    spent = []
    for _ in range(50):
        ledger.step()
        if ledger.steps in (10, 49, 50):
            spent.append(ledger.epsilon())
    assert spent == sorted(spent)
    assert HOW.target_epsilon - 0.011 <= spent[-1] <= HOW.target_epsilon  # Opacus' tolerance: 0.01
    kept, ledger.history = ledger.state_dict(), []
    ledger.load_state_dict(kept)
    assert ledger.steps == 50
    ledger.rate = 0.1
    with pytest.raises(ConfigError, match="Begin a new run"):
        ledger.load_state_dict(kept)
    with pytest.raises(ConfigError, match="no noise reaches it"):
        noise_multiplier(HOW.model_copy(update={"target_epsilon": 1e-6}), 1.0, 10_000)


# A run -------------------------------------------------------------------------------------------------------------


def _crash_after(step: int, checkpoint_at: int) -> Any:
    plain = PlainProgress.on_train_batch_end

    def hook(self: PlainProgress, trainer: Any, *rest: Any) -> None:
        plain(self, trainer, *rest)
        if trainer.global_step == checkpoint_at:
            trainer.save_checkpoint(Path(trainer.default_root_dir) / "x.ckpt", weights_only=False)
        if trainer.global_step == step:
            raise RuntimeError("the power fails")

    return hook


def test_a_run_says_what_it_spent_and_resumes_with_its_books(
    tiny_config: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Prior.load(run.run_training(private_config(tiny_config, tmp_path / "a"), []))
    told = whole.card.training.privacy
    assert told is not None
    assert (told.unit, told.delta, told.clip, told.steps) == ("patient", 1e-3, 0.5, 8)
    assert told.sampling_rate == 2 / 6
    assert told.epsilon == pytest.approx(epsilon_of([(told.noise_multiplier, 2 / 6, 8)], 1e-3, "rdp"))
    assert told.epsilon <= 4
    assert told.second_accountant == "prv"
    assert told.second_epsilon <= told.epsilon + 0.01
    assert whole.card.sigma_data == (0.5,)
    assert whole.card.typical is None
    assert whole.card.training.patients == 6
    assert "not chosen" in whole.card.training.average
    (tmp_path / "b" / "out").mkdir(parents=True)
    (tmp_path / "b" / "out" / KEY_FILE).write_text((tmp_path / "a" / "out" / KEY_FILE).read_text())
    config = private_config(tiny_config, tmp_path / "b")
    monkeypatch.chdir(tmp_path / "b")
    with monkeypatch.context() as patch:
        patch.setattr(PlainProgress, "on_train_batch_end", _crash_after(step=6, checkpoint_at=4))
        with pytest.raises(RuntimeError, match="power"):
            run.run_training(config, [])
    (tmp_path / "b" / "x.ckpt").replace(tmp_path / "b" / "out" / run.CHECKPOINT)
    resumed = Prior.load(run.run_training(config, []))
    assert resumed.card.training.privacy == told  # eight steps, not ten
    assert all(torch.equal(whole.weights[name], resumed.weights[name]) for name in whole.weights)


def test_a_low_rank_change_can_be_private(tiny_config: Callable[..., Path], tmp_path: Path, tiny_prior: Prior) -> None:
    base = tmp_path / "base.safetensors"
    tiny_prior.save(base)
    config = private_config(tiny_config, tmp_path)
    tree = yaml.safe_load(config.read_text())
    del tree["network"]
    tree |= {"start_from": str(base), "method": "lora", "optimiser": {"batch": 2, "steps": 3}}
    config.write_text(yaml.safe_dump(tree))
    prior = Prior.load(run.run_training(config, []))
    assert prior.card.training.privacy is not None
    assert prior.card.sigma_data == tiny_prior.card.sigma_data


def test_who_is_held_out_is_in_no_step(
    tiny_config: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medidiff.cohort.run_holdout.secrets.randbelow", lambda _: 1)
    left = [name for name in "abcdef" if not RunCoin(1).keeps_out(name)]
    assert 2 <= len(left) < 6
    _, _, data, module = run._ready(private_config(tiny_config, tmp_path), ["holdout=coin"], None)
    assert isinstance(module, PrivateTraining)
    assert isinstance(data, PrivateDataModule)
    assert data.patients == len(left)
    assert module.ledger.rate == 2 / len(left)
    dataset: Any = data.train_dataloader().dataset
    assert {dataset.choose(number, np.random.default_rng(0)).patient for number in range(2 * 6)} == set(left)


def test_masks_have_a_given_scale() -> None:
    assert given_scale(HOW, 1) == ((0.5,), (0.0,))
    sigma, mean = given_scale(HOW, 2)
    assert mean == (0.0, MASK_MEAN)
    assert sigma[1] ** 2 + mean[1] ** 2 == pytest.approx(1)  # of a variable that is -1 or 1


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("scale.devices=2", "several processes"),
        ("scale.strategy=fsdp", "fsdp"),
        ("scale.accumulate=2", "one by one already"),
        ("data.sources.0={type: procedural}", "nobody's"),
        ("data.sources.0={type: folder, name: f, files: '*.nii.gz'}", "whose the files are"),
        ("data.sources.0={type: store, name: s, url: x, balance: [sex]}", "every one must be as likely"),
        ("data.sources.0={type: store, name: s, url: x, label_patients: 3}", "who else is there"),
        ("data.conditions=[age]", "go onto the card"),
        ("privacy.delta=0.2", "below 1 / 6 train patients"),
        ("optimiser.batch=8", "there are 6"),
        ("privacy.epsilon=3", "privacy.epsilon: unknown key"),
    ],
)
def test_what_would_break_the_promise_is_refused(
    override: str, message: str, tiny_config: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        run.run_training(private_config(tiny_config, tmp_path), [override])


def test_two_sources_are_refused(tiny_config: Callable[..., Path], tmp_path: Path) -> None:
    config = private_config(tiny_config, tmp_path)
    tree = yaml.safe_load(config.read_text())
    tree["data"]["sources"].append({"type": "procedural"})
    config.write_text(yaml.safe_dump(tree))
    with pytest.raises(ConfigError, match="would count twice"):
        run.run_training(config, [])
