"""The ways a request can fail. Each kind is a class and has the exit code the command line returns."""

from __future__ import annotations

EXIT_CODES: dict[int, str] = {
    0: "done",
    1: "unexpected error: a bug in medidiff, please report it",
    2: "usage: an argument, noise level or configuration is not acceptable",
    3: "no valid input: unreadable, not one 3D volume, not finite, constant or empty",
    4: "some inputs failed, the rest are done",
    5: "device, memory or disk: not available, too small, or not writable",
    6: "prior missing or refused",
    7: "geometry refused",
    10: "audit FAIL",
    11: "audit INCONCLUSIVE",
    12: "training stopped itself: a loss that is not finite, or it diverged; the last checkpoint is kept",
    130: "interrupted",
}


class MedidiffError(Exception):
    """Base of every failure that medidiff foresees.

    The message reads `argument value: what is accepted. What to do next.` and is meant for the person at the keyboard.
    """

    exit_code: int = 1


class UsageError(MedidiffError):
    """An argument or a combination of arguments is not acceptable."""

    exit_code = 2


class NoiseError(MedidiffError):
    """A noise level or noise map is not positive and finite, does not fit the scan, or could not be estimated."""

    exit_code = 2


class NoNoiseError(NoiseError):
    """A scan has no noise that could be measured: it is free of noise, or the noise was rounded away."""


class ConfigError(MedidiffError):
    """A configuration file has an unknown key or an invalid value."""

    exit_code = 2


class InputError(MedidiffError):
    """A scan cannot be used: unreadable, not one 3D volume, not finite, constant or empty."""

    exit_code = 3


class PartialFailure(MedidiffError):  # noqa: N818
    """Some inputs of several failed; the others are done."""

    exit_code = 4


class DeviceError(MedidiffError):
    """The requested device is not there, or failed."""

    exit_code = 5


class MemoryLimitError(MedidiffError):
    """The work does not fit into the memory that is there or allowed."""

    exit_code = 5


class OutputError(MedidiffError):
    """An output cannot be written: read-only, disk full, or not representable in the requested form."""

    exit_code = 5


class PriorError(MedidiffError):
    """A prior is missing, damaged, or does not serve this request."""

    exit_code = 6


class GeometryError(MedidiffError):
    """A grid is degenerate, or two grids that must be the same are not."""

    exit_code = 7


class AuditFailedError(MedidiffError):
    """An audit found what must not leave the building."""

    exit_code = 10


class AuditUndecidedError(MedidiffError):
    """An audit could not decide: INCONCLUSIVE."""

    exit_code = 11


class TrainingError(MedidiffError):
    """A training run cannot go on: its loss is not finite, or it diverges. The last checkpoint is kept."""

    exit_code = 12


class Interrupted(MedidiffError):  # noqa: N818
    """The person stopped the run; nothing half-written remains."""

    exit_code = 130
