"""How good an image is, measured against a reference, and how sure the measurement is."""

from medidiff.evaluate.fidelity import foreground_mask, psnr, rmse, ssim3d
from medidiff.evaluate.intervals import Interval, paired_bootstrap, paired_t

__all__ = ["Interval", "foreground_mask", "paired_bootstrap", "paired_t", "psnr", "rmse", "ssim3d"]
