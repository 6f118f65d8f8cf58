"""What users call: each task returns a `Result`."""

from medidiff.tasks.denoise import denoise
from medidiff.tasks.inpaint import inpaint
from medidiff.tasks.insert import insert
from medidiff.tasks.synthesise import synthesise

__all__ = ["denoise", "inpaint", "insert", "synthesise"]
