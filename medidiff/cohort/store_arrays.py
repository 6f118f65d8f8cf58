"""One scan as a store keeps it: its name, its hash, and the files of its chunked arrays."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

import numpy as np

from medidiff.errors import InputError

CHUNK = 48
"""Edge of a chunk in voxels. What a random 48^3 patch of a 512 x 512 x 300 CT with noise takes of one core, and reads
(`python -m benchmarks.training loader`): 5.6 ms and 0.7 MB with 32, 4.7 ms and 1.2 MB with 48, 4.7 ms and 1.9 MB with
64; 96^3: 19, 17 and 12 ms for 2.8, 4.1 and 5.5 MB. Bytes count where a store lies on a disk or a network: so 48."""
CODEC = ("lz4", 5)
"""Blosc with bit shuffle, 110 MB of 157. zstd (level 1) takes 106 MB and 15% longer to read."""
DTYPES = {"image": np.dtype("<f2"), "mask": np.dtype("u1")}
ArrayName = Literal["image", "mask"]


def scan_id(data: np.ndarray, affine_ras: np.ndarray) -> str:
    """16 hex digits of SHA-256 over voxels (as float32), shape and affine: a scan's name, wherever its file lay."""
    digest = hashlib.sha256(json.dumps([list(data.shape), np.asarray(affine_ras, float).ravel().tolist()]).encode())
    digest.update(np.ascontiguousarray(data, dtype="<f4").data)
    return digest.hexdigest()[:16]


def content_hash(image: np.ndarray, mask: np.ndarray | None = None) -> str:
    """SHA-256 of a scan as stored: float16 image, uint8 mask, whatever the chunks and the codec."""
    digest = hashlib.sha256()
    for name, data in checked(image, mask).items():
        digest.update(f"{name} {data.shape}\n".encode())
        digest.update(np.ascontiguousarray(data).data)
    return digest.hexdigest()


def checked(image: np.ndarray, mask: np.ndarray | None) -> dict[ArrayName, np.ndarray]:
    """The arrays of a scan in the types they are stored in.

    Raises:
        InputError: Not three axes, not finite in float16, or a mask of another type or shape.
    """
    if image.ndim != 3 or 0 in image.shape:
        raise InputError(f"scan of shape {image.shape}: must have three axes and voxels along each.")
    with np.errstate(over="ignore"):
        stored = image.astype(DTYPES["image"], copy=False)
    if not np.isfinite(stored).all():
        raise InputError("scan: values that are not finite in float16 (up to 65504). Normalise it first.")
    if mask is None:
        return {"image": stored}
    if mask.shape != image.shape or mask.dtype != np.uint8:
        raise InputError(f"mask {mask.dtype} {mask.shape}: must be uint8 on the scan's grid {image.shape}.")
    return {"image": stored, "mask": mask}


def one_threaded_zarr() -> Any:
    """zarr with one thread for its codecs, as the loader's and prepare's processes are many.

    A pool's threads each keep memory of their own: over 2000 patches it grew by 6 MiB, with one thread by 0.5.
    """
    import zarr

    zarr.config.set({"threading.max_workers": 1})  # counts when the pool is made, with the first array
    return zarr


def encode(data: np.ndarray, chunk: int, codec: tuple[str, int]) -> dict[str, bytes]:
    """The files of a zarr v3 array in one shard."""
    zarr = one_threaded_zarr()
    from zarr.codecs import BloscCodec
    from zarr.storage import MemoryStore

    memory = MemoryStore()
    edges = tuple(min(chunk, n) for n in data.shape)
    array = zarr.create_array(
        memory,
        shape=data.shape,
        dtype=data.dtype,
        chunks=edges,
        shards=tuple(-(-n // edge) * edge for n, edge in zip(data.shape, edges, strict=True)),
        compressors=BloscCodec(cname=codec[0], clevel=codec[1], shuffle="bitshuffle", typesize=data.dtype.itemsize),  # type: ignore[arg-type]
        fill_value=0,
        config={"write_empty_chunks": True},  # -0.0 counts as empty otherwise, and a lost shard could not be told
    )
    array[...] = data
    return {key: content.to_bytes() for key, content in memory._store_dict.items()}


__all__ = ["CHUNK", "CODEC", "ArrayName", "checked", "content_hash", "encode", "one_threaded_zarr", "scan_id"]
