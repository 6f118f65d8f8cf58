from medidiff.diffusion.samplers.dpmpp_2m import sample_dpmpp_2m
from medidiff.diffusion.samplers.euler import sample_euler
from medidiff.diffusion.samplers.heun import sample_heun

__all__ = ["sample_dpmpp_2m", "sample_euler", "sample_heun"]
