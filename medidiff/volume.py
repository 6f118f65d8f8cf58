"""A scan in memory: one 3D array and where it lies in space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from medidiff.errors import InputError
from medidiff.geometry import check_affine, spacing_from_affine

MAX_VOXELS = 2**31
"""Largest volume that is read from a file: 8 GiB as float32."""


@dataclass(frozen=True, eq=False)
class NiftiMemory:
    """What a NIfTI header said, so that an output can say the same. Header fields are raw, in the file's own units.

    `affine_ras` (mm) is what the fields mean together: while a volume still has it, they are written back as they were.
    """

    dtype: str
    byteorder: str
    version: int
    slope: float
    inter: float
    qform_code: int
    sform_code: int
    pixdim: tuple[float, ...]
    quaternion: tuple[float, float, float]
    qoffset: tuple[float, float, float]
    sform: np.ndarray
    xyzt_units: int
    dim_info: int
    descrip: str
    affine_ras: np.ndarray
    mm_per_unit: float = 1.0
    forms_differ_mm: float = 0.0
    """Largest distance between where the sform and the qform put a voxel; 0 unless both are set. The sform is used."""
    timing: dict[str, float] = field(default_factory=dict)
    """slice_start, slice_end, slice_code, slice_duration and toffset, those that are not 0, in the file's own units."""


@dataclass(frozen=True, eq=False)
class Volume:
    """One 3D scan.

    Args:
        data: Array (x, y, z), in the scan's own intensity unit.
        affine_ras: 4x4, voxel index to mm, RAS.
        header: What the file it came from said; None for a volume made in memory.
        name: What messages and reports call it, usually the file's name without its ending.
        modality: "MR", "CT", another DICOM code, or "" where nobody said.
        unmeasured: True where the file says that nothing was measured (DICOM's pixel padding, the corners of a
            straightened tilted stack); None where everything was. Tasks leave these voxels as they are.
    """

    data: np.ndarray
    affine_ras: np.ndarray
    header: NiftiMemory | None = None
    name: str = ""
    modality: str = ""
    unmeasured: np.ndarray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", np.asarray(self.data))
        object.__setattr__(self, "affine_ras", np.array(self.affine_ras, dtype=np.float64))
        if self.unmeasured is not None and self.unmeasured.shape != self.data.shape:
            raise InputError(
                f"{self._label}: a mask of unmeasured voxels of shape {self.unmeasured.shape} does not fit the grid "
                f"{self.data.shape}."
            )

    @classmethod
    def from_array(cls, data: np.ndarray, spacing_mm: Sequence[float] = (1.0, 1.0, 1.0), name: str = "") -> Volume:
        """A volume made in memory, axes along R, A and S, the first voxel at the origin."""
        return cls(data, np.diag([*map(float, spacing_mm), 1.0]), name=name)

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along x, y and z."""
        return self.data.shape

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxels along x, y and z."""
        return spacing_from_affine(self.affine_ras)

    @property
    def axcodes(self) -> str:
        """Where x, y and z point, such as "RAS": the letter of the world axis closest to each."""
        from nibabel.orientations import aff2axcodes  # here, since importing nibabel costs 0.2 s

        return "".join(code or "?" for code in aff2axcodes(self.affine_ras))

    def with_data(self, data: np.ndarray, name: str | None = None) -> Volume:
        """Other values on the same grid.

        Raises:
            InputError: `data` has another shape.
        """
        if np.shape(data) != self.shape:
            raise InputError(f"{self._label}: data of shape {np.shape(data)} does not fit the grid {self.shape}.")
        return replace(self, data=data, name=self.name if name is None else name)

    def check(self, allow_constant: bool = False) -> Volume:
        """Return the volume itself if it can be worked on.

        Args:
            allow_constant: True for masks and noise maps, which may have one value everywhere.

        Raises:
            InputError: Not 3D, one slice only, empty, complex or colour, not finite, or constant.
            GeometryError: The affine does not place the voxels in space.
        """
        check_shape(self.shape, self._label)
        if self.data.dtype.kind not in "biuf":
            raise InputError(f"{self._label}: values of type {self.data.dtype}: must be real numbers.")
        check_affine(self.affine_ras, self._label)
        if self.data.dtype.kind == "f":
            check_finite(self.data, self._label)
        if not allow_constant and self.data.min() == self.data.max():
            raise InputError(
                f"{self._label}: every voxel is {self.data.flat[0]:g}, there is nothing to see. Is it the right file?"
            )
        return self

    @property
    def _label(self) -> str:
        return self.name or "volume"


def check_shape(shape: tuple[int, ...], name: str) -> None:
    """Refuse a shape that is not one 3D volume.

    Raises:
        InputError: Not three axes, or an axis with fewer than two voxels.
    """
    if len(shape) < 3 or (len(shape) == 3 and sorted(shape)[0] == 1):
        raise InputError(f"{name}: a 2D image of shape {shape}: must be a 3D volume. Give the whole series.")
    if len(shape) > 3:
        raise InputError(f"{name}: {len(shape)}D, shape {shape}: must be one 3D volume. Extract one volume first.")
    if min(shape) < 1:
        raise InputError(f"{name}: empty, shape {shape}: must hold voxels. Is it the right file?")


def check_finite(data: np.ndarray, name: str) -> None:
    """Refuse NaN and infinite values, saying how many and where the first one is.

    Raises:
        InputError: Some value is not finite.
    """
    finite = np.isfinite(data)
    if finite.all():
        return
    count = int(finite.size - np.count_nonzero(finite))
    first = tuple(int(i) for i in np.unravel_index(int(np.argmin(finite)), finite.shape))
    raise InputError(
        f"{name}: {count} of {finite.size} voxels are NaN or infinite (the first at {first}): all must be finite. "
        "Set them to the background value first."
    )
