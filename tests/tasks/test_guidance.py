"""Guidance, several channels and the place in the body, as a session tells them to the prior."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from medidiff import denoise, inpaint
from medidiff.cohort.body import body_frame
from medidiff.errors import PriorError, UsageError
from medidiff.nets.embedding import POSITION
from medidiff.prior import AdvisedGuidance, Prior
from medidiff.tasks.conditions import encode_conditions
from medidiff.tasks.draw_sample import LAST_LEVEL, draw_sample
from medidiff.tasks.guidance import Guidance, advised, parse_interval, without_conditions
from medidiff.tasks.session import Session
from medidiff.volume import Volume

from .random_priors import SLOTS, random_prior

SETTINGS: dict[str, Any] = dict(device="cpu", precision="float32", threads=None, max_gb=None, seed=0)
UNOBSERVED = torch.tensor(math.inf)
COND = encode_conditions(SLOTS, {"kind": "knee", "volume_ml": 2.5})


def session(prior: Prior) -> Session:
    return Session(prior, (1.0, 1.0, 1.0), **SETTINGS)


@pytest.fixture(scope="module")
def noisy() -> Tensor:
    return torch.randn(1, 2, 16, 12, 9, generator=torch.Generator().manual_seed(3))


def test_guidance_leads_away_from_the_prior_without_conditions(joint_prior: Prior, noisy: Tensor) -> None:
    sigma = torch.full((1, 2, 1, 1, 1), 0.5)
    sigma[:, 1] = 3.0  # beyond the interval: the mask is not guided
    run = session(joint_prior)
    out = run.evaluate(noisy, sigma, COND, Guidance(2.5, (0.1, 2.0)))
    assert run.nfe == 2
    told, null = run.evaluate(noisy, sigma, COND), run.evaluate(noisy, sigma)
    assert not torch.equal(told.mean, null.mean)
    expected = null.mean + 2.5 * (told.mean - null.mean)
    torch.testing.assert_close(out.mean[:, 0], expected[:, 0])
    assert torch.equal(out.mean[:, 1], told.mean[:, 1])
    assert torch.equal(out.log_variance, told.log_variance)


def test_weight_one_is_the_prior_and_costs_nothing(joint_prior: Prior, noisy: Tensor) -> None:
    plain, guided = session(joint_prior), session(joint_prior)
    unobserved = torch.tensor(torch.inf)
    expected, _ = draw_sample(plain, noisy, unobserved, 0, 3, cond=COND)
    out, _ = draw_sample(guided, noisy, unobserved, 0, 3, cond=COND, guidance=Guidance(1.0))
    assert torch.equal(out, expected)
    assert plain.nfe == guided.nfe == 4


def test_a_guiding_prior_is_counted_and_guides(tiny_prior: Prior, joint_prior: Prior, noisy: Tensor) -> None:
    weaker = random_prior(tiny_prior, ("image", "mask:1"), seed=1)
    sigma, run = torch.tensor(0.5), session(joint_prior)
    out = run.evaluate(noisy, sigma, COND, Guidance(2.0, reference=weaker)).mean
    assert run.nfe == 2
    told, reference = run.evaluate(noisy, sigma, COND).mean, session(weaker).evaluate(noisy, sigma, COND).mean
    torch.testing.assert_close(out, 2 * told - reference)
    itself = run.evaluate(noisy, sigma, COND, Guidance(3.0, reference=joint_prior)).mean
    torch.testing.assert_close(itself, told, atol=1e-5, rtol=1e-5)


def test_a_guiding_prior_must_speak_of_the_same_scans(tiny_prior: Prior, joint_prior: Prior) -> None:
    other = random_prior(tiny_prior, ("image", "mask:2"))
    with pytest.raises(PriorError, match="channels"):
        Guidance(2.0, reference=other).check(joint_prior)
    with pytest.raises(PriorError, match="channels"):
        Guidance(2.0, reference=tiny_prior).check(joint_prior)
    recipe = joint_prior.card.normalisation.model_copy(update={"upper_pct": 98.0})
    with pytest.raises(PriorError, match="normalisation"):
        Guidance(2.0, reference=random_prior(tiny_prior, ("image", "mask:1"), normalisation=recipe)).check(joint_prior)


def test_what_is_not_a_condition_stays_without_conditions() -> None:
    position = torch.ones(1, 3, 4)
    null = without_conditions({**COND, POSITION: position}, SLOTS)
    assert null["kind"].tolist() == [0]
    assert null["volume_ml"].isnan().all()
    assert null[POSITION] is position


def test_bad_numbers_are_refused() -> None:
    for bad in ({"weight": -1.0}, {"weight": math.nan}, {"interval": (2.0, 1.0)}, {"interval": (math.nan, 1.0)}):
        with pytest.raises(UsageError, match="--guidance"):
            Guidance(**bad)  # type: ignore[arg-type]
    assert parse_interval("0.3:5") == (0.3, 5.0)
    assert parse_interval(":5") == (0.0, 5.0)
    assert parse_interval("0.3:") == (0.3, math.inf)
    for text in ("0.3", "a:b", "5:1"):
        with pytest.raises(UsageError, match="LO:HI"):
            parse_interval(text)


def test_an_image_alone_is_an_image_whose_masks_are_not_observed(joint_prior: Prior, noisy: Tensor) -> None:
    run, level = session(joint_prior), torch.full((1, 1, 16, 12, 9), 0.3)
    level[..., :4, :, :] = 0.1
    for sigma in (torch.tensor(0.3), level):
        alone = run.evaluate(noisy[:, :1], sigma)
        assert alone.mean.shape == (1, 1, 16, 12, 9)
        hidden = joint_prior.card.sigma_max * torch.randn(noisy.shape, generator=torch.Generator().manual_seed(0))
        both = torch.cat([noisy[:, :1], hidden[:, 1:]], dim=1)
        levels = torch.cat([sigma.expand(1, 1, 16, 12, 9), torch.full((1, 1, 16, 12, 9), torch.inf)], dim=1)
        torch.testing.assert_close(alone.mean, run.evaluate(both, levels).mean[:, :1], atol=1e-5, rtol=1e-5)


def test_a_scan_is_denoised_by_a_prior_with_masks(joint_prior: Prior) -> None:
    data = np.random.default_rng(0).normal(100, 10, (24, 24, 24)).astype(np.float32)
    data[6:18, 6:18, 6:18] += 200
    result = denoise(
        Volume.from_array(data), joint_prior, noise="gaussian", noise_std=10.0, samples=1, n_steps=3,
        device="cpu", precision="float32",
    )  # fmt: skip
    assert result.output.shape == data.shape
    assert np.isfinite(result.output.data).all()
    assert np.isfinite(result.samples[0].data).all()


def test_a_hole_is_filled_by_a_prior_with_masks(joint_prior: Prior) -> None:
    volume = Volume.from_array(np.random.default_rng(0).normal(100, 10, (16, 16, 16)).astype(np.float32))
    hole = np.zeros(volume.shape, dtype=np.uint8)
    hole[6:10, 6:10, 6:10] = 1
    result = inpaint(volume, volume.with_data(hole), joint_prior, n_steps=3, device="cpu", precision="float32")
    assert np.isfinite(result.output.data).all()
    assert np.array_equal(result.output.data[hole == 0], volume.data[hole == 0])


class Told:
    """Remembers the position."""

    def __init__(self, run: Session) -> None:
        self.positions: list[Tensor | None] = []
        self._inner, run.tiled = run.tiled, self  # type: ignore[assignment]

    def __call__(self, x: Tensor, sigma: Tensor, spacing_mm: Any = None, cond: Any = None, **where: Any) -> Any:
        self.positions.append((cond or {}).get(POSITION))
        return self._inner(x, sigma, spacing_mm, cond, **where)


def test_a_prior_that_takes_it_is_told_the_place_in_the_body(placed_prior: Prior, tiny_prior: Prior) -> None:
    y = np.full((24, 20, 16), -1.0, dtype=np.float32)
    y[4:20, 6:16, 2:12] = 0.5
    affine = np.diag([-2.0, 2.0, 3.0, 1.0])
    run = session(placed_prior)
    told = Told(run)
    x, sigma = torch.from_numpy(y)[None, None], torch.tensor(0.2)
    run.evaluate(x, sigma)
    run.know_body_of(affine, y)
    run.evaluate(x, sigma, {"kind": torch.tensor([1])}, Guidance(2.0))
    run.know_body_fills((24, 20, 16))
    run.evaluate(x, sigma)
    frame = torch.from_numpy(body_frame(affine, (4, 6, 2), (20, 16, 12))).float()[None]
    assert told.positions[0] is None
    assert len(told.positions) == 4, "guidance costs a second evaluation"
    assert all(torch.equal(p, frame) for p in told.positions[1:3] if p is not None)
    whole = torch.from_numpy(body_frame(np.eye(4), (0, 0, 0), (24, 20, 16))).float()[None]
    torch.testing.assert_close(told.positions[3], whole)
    untold = session(tiny_prior)
    untold.know_body_of(affine, y)
    assert untold.position is None


def test_the_card_advises_where_something_is_asked_and_nobody_says_how(joint_prior: Prior) -> None:
    everywhere = (0.0, math.inf)
    plain = joint_prior.card
    assert advised(plain, None, None, asked=True) == (1, everywhere)
    card = plain.model_copy(update={"guidance": AdvisedGuidance(weight=2.5, low=0.5)})
    assert advised(card, None, None, asked=True) == (2.5, (0.5, math.inf))
    assert advised(card, None, (1, 3), asked=True) == (2.5, (1, 3))
    assert advised(card, None, None, asked=False) == (1, everywhere)
    assert advised(card, 1.0, None, asked=True) == (1, everywhere)
    assert advised(card, 2.0, None, asked=True) == (2, everywhere)
    capped = plain.model_copy(update={"guidance": AdvisedGuidance(weight=2, high=9)})
    assert advised(capped, None, None, asked=True) == (2, (0, 9))


def test_masks_are_read_off_the_image_alone(joint_prior: Prior, noisy: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last evaluation is told nothing of the masks; it is not guided; a prior without masks is asked as ever."""
    at_work, asked = session(joint_prior), []

    def last_of(run: Session, guidance: Guidance | None = None, known: Tensor = UNOBSERVED) -> tuple[Tensor, Tensor]:
        evaluate = run.evaluate

        def seen(x: Tensor, sigma: Tensor, *rest: Any) -> Any:
            asked.append((x, sigma))
            return evaluate(x, sigma, *rest)

        monkeypatch.setattr(run, "evaluate", seen)
        out, _ = draw_sample(run, noisy, known, 0, 3, cond=COND, guidance=guidance)
        monkeypatch.undo()
        return out, asked[-1][1]

    out, level = last_of(at_work, Guidance(2.0))
    assert at_work.nfe == 2 * 3 + 1
    smallest = max(joint_prior.card.sigma_min, LAST_LEVEL)
    assert float(level[:, 0].min()) == float(level[:, 0].max()) == pytest.approx(smallest)
    assert bool(torch.isinf(level[:, 1]).all())
    other = asked[-1][0].clone()
    other[:, 1] = 7  # whatever stood in them
    assert torch.equal(out, at_work.evaluate(other, level, COND).mean)
    assert bool((out[:, 1].abs() <= 1).all())
    # Masks that are given stay: only what is not observed is read.
    given = torch.tensor([math.inf, 0.01]).reshape(1, 2, 1, 1, 1)
    _, level = last_of(at_work, None, given)
    assert bool(torch.isfinite(level).all())
    images = Prior(joint_prior.card.model_copy(update={"channels": ("image", "image")}), joint_prior.weights)
    _, level = last_of(session(images))
    assert level.ndim == 0
