"""White-box attacks against denoisers whose answers are known."""

import math

import numpy as np
import pytest
import torch

from medidiff.errors import InputError
from medidiff.prior import Prior
from medidiff.privacy.gallery import Gallery
from medidiff.privacy.thresholds import Thresholds
from medidiff.privacy.white_box import (
    DRAWS,
    LOSS_LEVELS,
    PIA_LEVEL,
    PIA_START,
    SIMA_LEVEL,
    loss_score,
    of_patients,
    pia_score,
    roughness,
    sima_score,
    white_box_findings,
    white_box_scores,
)
from medidiff.privacy.white_box_probe import EDGE, Probe

X0 = torch.from_numpy(np.random.default_rng(0).standard_normal((8, 6, 10), dtype=np.float32))


def test_the_loss_of_a_denoiser_that_is_off_by_a_constant() -> None:
    # D = x0 + c: every loss is c^2, whatever the noise
    score = loss_score(lambda x, sigma: X0 + 0.1, X0, seed=1)
    assert score == pytest.approx(math.log(roughness(X0)) - math.log(0.01), rel=1e-5)


def test_the_loss_of_one_that_does_nothing_is_the_noise() -> None:
    # D = x: |sigma n|^2, the mean of DRAWS * 480 squares of normal numbers: within five standard deviations
    score = loss_score(lambda x, sigma: x, X0, seed=1)
    wanted = math.log(roughness(X0)) - float(np.mean(np.log(np.square(LOSS_LEVELS))))
    assert abs(score - wanted) < 5 * math.sqrt(2 / (DRAWS * X0.numel() * len(LOSS_LEVELS)))


def test_eps_of_a_linear_denoiser() -> None:
    # D = a x: eps(x, t) = (1 - a) x / sigma
    a = 0.75
    eps0 = (1 - a) * X0 / PIA_START
    eps_t = (1 - a) * (X0 + PIA_LEVEL * eps0) / PIA_LEVEL
    assert pia_score(lambda x, sigma: a * x, X0) == pytest.approx(-float(((eps_t - eps0) ** 4).mean()), rel=1e-4)
    wanted = -(1 - a) / SIMA_LEVEL * float((X0**2).mean().sqrt())
    assert sima_score(lambda x, sigma: a * x, X0) == pytest.approx(wanted, rel=1e-5)
    # a prior that knows the scan sees no noise in it
    assert pia_score(lambda x, sigma: X0, X0) == pytest.approx(0, abs=1e-9)
    assert sima_score(lambda x, sigma: X0, X0) == 0


def test_roughness_is_none_of_a_plane_and_all_of_a_checkerboard() -> None:
    x = torch.arange(9.0).reshape(-1, 1, 1).expand(9, 9, 9)
    assert roughness(x[:, 2:-2, 2:-2]) < 0.06  # at the two ends alone the mean of two is off by 1/2
    board = torch.tensor(np.indices((8, 8, 8)).sum(axis=0) % 2 * 2.0 - 1)
    inner = 1 + 1 / 27  # of the 27 voxels 13 are as the middle one, 14 are not; the rim differs a little
    assert roughness(board) == pytest.approx(inner**2, rel=0.2)


def test_scores_follow_the_scan_not_its_place(tiny_prior: Prior) -> None:
    probe = Probe(tiny_prior, (1.0, 1.0, 1.0), device="cpu", precision="float32")
    images = np.random.default_rng(1).standard_normal((3, 9, 8, 10)).astype(np.float32)
    scores = white_box_scores(probe, images, seed=7)
    assert set(scores) == {"loss", "PIA", "SimA"}
    assert probe.nfe == 3 * (DRAWS * len(LOSS_LEVELS) + 3)
    turned = white_box_scores(probe, images[::-1], seed=7)
    for name, values in scores.items():
        np.testing.assert_array_equal(values, turned[name][::-1])
    other = white_box_scores(probe, images[:1] * 3 + 5, seed=7)  # percentiles take unit and offset off
    assert other["SimA"][0] == pytest.approx(scores["SimA"][0], rel=1e-3)
    with pytest.raises(InputError, match="no scan"):
        white_box_scores(probe, images[:0], seed=7)


def test_only_the_middle_of_a_large_scan_is_looked_at(tiny_prior: Prior) -> None:
    probe = Probe(tiny_prior, (1.0, 1.0, 1.0), device="cpu", precision="float32")
    image = np.random.default_rng(2).standard_normal((EDGE + 11, 3, 4)).astype(np.float32)
    assert probe.normalised(image).shape == (EDGE, 3, 4)
    whole = tiny_prior.card.normalisation.fit(image).forward(image)
    np.testing.assert_allclose(probe.normalised(image).numpy(), whole[5 : 5 + EDGE], rtol=1e-6)


def test_patients_are_one_vote_each_and_members_are_found() -> None:
    patients = np.array([0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9])
    gallery = Gallery(patients, np.arange(10) < 5)
    scores = np.array([9.0, 1.0, 5, 5, 5, 5, 1, 1, 1, 1, 0, 4])
    np.testing.assert_array_equal(of_patients(scores, gallery), [5, 5, 5, 5, 5, 1, 1, 1, 1, 2])
    (found,) = white_box_findings({"loss": scores}, gallery, Thresholds())
    assert (found.test, found.role, found.statistic) == ("white-box loss", "secondary", 1.0)
    # one of C(10, 5) = 252 labellings is as good: p about 1/252
    assert found.p_value == pytest.approx(1 / 252, abs=0.003)
    assert found.figures["true_positive_rate"]["1%"]["rate"] == 1
    with pytest.raises(InputError, match="one for each"):
        of_patients(scores[:3], gallery)


def test_a_prior_that_learned_nothing_gives_nothing_away() -> None:
    # scores of strangers: under 40 worlds the p-value is below 0.05 in at most 7 (P = 0.5% for Bin(40, 0.05))
    rng = np.random.default_rng(3)
    gallery = Gallery(np.arange(30), np.arange(30) < 15)
    limits = Thresholds(permutations=999)
    low = [white_box_findings({"loss": rng.standard_normal(30)}, gallery, limits)[0].p_value for _ in range(40)]
    assert sum(p is not None and p < 0.05 for p in low) <= 7
