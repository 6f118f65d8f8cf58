from __future__ import annotations

import subprocess
import sys

import pytest

from medidiff import errors
from medidiff.errors import EXIT_CODES, MedidiffError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, MedidiffError)]


def test_exit_codes_are_the_documented_ones() -> None:
    expected = {
        "UsageError": 2,
        "NoiseError": 2,
        "NoNoiseError": 2,
        "ConfigError": 2,
        "InputError": 3,
        "PartialFailure": 4,
        "DeviceError": 5,
        "MemoryLimitError": 5,
        "OutputError": 5,
        "PriorError": 6,
        "GeometryError": 7,
        "AuditFailedError": 10,
        "AuditUndecidedError": 11,
        "TrainingError": 12,
        "Interrupted": 130,
        "MedidiffError": 1,
    }
    assert {kind.__name__: kind.exit_code for kind in KINDS} == expected
    assert set(EXIT_CODES) == {0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 130}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_a_medidiff_error_with_a_documented_code(kind: type[MedidiffError]) -> None:
    assert kind.exit_code in EXIT_CODES
    with pytest.raises(MedidiffError, match="--noise-std -3"):
        raise kind("--noise-std -3: must be positive.")


def test_import_is_light_and_names_are_lazy() -> None:
    heavy = "{'torch', 'numpy', 'nibabel', 'monai', 'matplotlib', 'lightning'}"
    code = (
        "import sys, medidiff\n"
        f"loaded = {heavy} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
        "assert medidiff.__version__ and 'denoise' in dir(medidiff)\n"
        "medidiff.Volume, medidiff.Result, medidiff.read_nifti, medidiff.write_nifti\n"
        "assert 'torch' not in sys.modules\n"
        "assert not hasattr(medidiff, 'nothing_of_that_name')\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)
