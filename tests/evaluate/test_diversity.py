"""Multi-scale SSIM against scikit-image and against what is known of copies."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from medidiff.errors import InputError, UsageError
from medidiff.evaluate.diversity import diversity, ms_ssim, possible_scales

RNG = np.random.default_rng(0)
A, B = RNG.random((24, 26, 22)), RNG.random((24, 26, 22))


def test_one_scale_is_scikit_image() -> None:
    expected = structural_similarity(
        A, A + 0.2 * B, data_range=1.0, gaussian_weights=True, use_sample_covariance=False, sigma=1.5
    )
    assert ms_ssim(A, A + 0.2 * B, 1.0, scales=1) == pytest.approx(expected, abs=1e-9)


def test_two_scales_are_wang_written_out() -> None:
    # Constants and no structure: contrast-structure is 1 at both, luminance at the coarsest alone.
    a, b = np.full((22, 22, 22), 0.5), np.full((22, 22, 22), 0.7)
    luminance = (2 * 0.35 + 0.01**2) / (0.25 + 0.49 + 0.01**2)
    share = 0.2856 / (0.0448 + 0.2856)
    assert ms_ssim(a, b, 1.0) == pytest.approx(luminance**share, rel=1e-9)


def test_a_copy_is_one_and_the_unit_does_not_matter() -> None:
    assert ms_ssim(A, A.copy(), 1.0) == pytest.approx(1.0, abs=1e-12)
    assert ms_ssim(500 * A, 500 * (A + B), 500.0) == pytest.approx(ms_ssim(A, A + B, 1.0), abs=1e-9)


def test_inverted_counts_as_nothing() -> None:
    assert ms_ssim(A, 1 - A, 1.0) == 0.0


def test_scales_leave_the_window() -> None:
    assert [possible_scales((n, 99, 99)) for n in (10, 11, 21, 22, 44, 88, 999)] == [0, 1, 1, 2, 3, 4, 4]
    assert possible_scales((999, 999, 999)) == 5


def test_diversity_of_copies_and_of_different_scans() -> None:
    base = RNG.random((16, 16, 16))
    copies = np.stack([base] * 4)
    different = RNG.random((6, 16, 16, 16))
    assert diversity(copies, 1.0).ms_ssim == pytest.approx(1.0)
    found = diversity(different, 1.0, pairs=10)
    assert found.pairs == 10
    assert found.ms_ssim < 0.2
    alike = base + 0.2 * different
    assert found.ms_ssim < diversity(alike, 1.0).ms_ssim < 1
    every = [ms_ssim(alike[i], alike[j], 1.0) for i in range(6) for j in range(i)]
    assert diversity(alike, 1.0, pairs=999).ms_ssim == pytest.approx(np.mean(every))
    assert diversity(alike, 1.0, pairs=999).pairs == 15


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="the same"):
        ms_ssim(A, A[1:], 1.0)
    with pytest.raises(InputError, match="at least 11"):
        ms_ssim(A[:10], A[:10], 1.0)
    with pytest.raises(UsageError, match="scales 3: must be 1 to 2"):
        ms_ssim(A, A, 1.0, scales=3)
    with pytest.raises(UsageError, match="data_range"):
        ms_ssim(A, A, 0.0)
    with pytest.raises(InputError, match="at least 2"):
        diversity(A[None])
