"""Pictures of volumes, with numpy and pillow alone: slices, residuals, maps, overlays, strips; as PNG bytes."""

from medidiff.draw.canvas import beside, data_uri, enlarge, png_bytes, stack, write_on
from medidiff.draw.colour import colour_map, diverging, grey, heat, overlay, symmetric_limit, window_limits
from medidiff.draw.orient import Plane, Slice, canonical, mid_slices, take_slice
from medidiff.draw.views import draw_slice, mask_picture, plane_picture, residual_picture, sheet, strip

__all__ = [
    "Plane",
    "Slice",
    "beside",
    "canonical",
    "colour_map",
    "data_uri",
    "diverging",
    "draw_slice",
    "enlarge",
    "grey",
    "heat",
    "mask_picture",
    "mid_slices",
    "overlay",
    "plane_picture",
    "png_bytes",
    "residual_picture",
    "sheet",
    "stack",
    "strip",
    "symmetric_limit",
    "take_slice",
    "window_limits",
    "write_on",
]
