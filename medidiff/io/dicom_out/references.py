"""Which images a derived one was made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

from medidiff.io.dicom.model import Plane
from medidiff.io.dicom_out.image import RESAMPLING, SOURCE_IMAGE, code


def set_sources(image: Dataset, planes: Sequence[Plane], uid: Callable[[str], str], same_grid: bool) -> None:
    """Write SourceImageSequence, and where slices were interpolated, the derivation's code.

    Args:
        image: The derived image.
        planes: What this slice comes from; none for a slice that was generated.
        uid: What UIDs of the source are called here.
        same_grid: Whether voxels lie where the source's lie (Spatial Locations Preserved).
    """
    items = []
    for plane in planes:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = plane.sop_class, uid(plane.sop_instance)
        if plane.frames > 1:
            item.ReferencedFrameNumber = str(plane.frame + 1)
        item.SpatialLocationsPreserved = "YES" if same_grid else "NO"
        item.PurposeOfReferenceCodeSequence = DicomSequence([code(SOURCE_IMAGE)])
        items.append(item)
    if items:
        image.SourceImageSequence = DicomSequence(items)
    if not same_grid:
        image.DerivationCodeSequence = DicomSequence([code(RESAMPLING)])
