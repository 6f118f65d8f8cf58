"""A cohort prepared once: chunked arrays that patches are cut from without reading the scan, and a manifest."""

from __future__ import annotations

import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medidiff.cohort import manifest as table_of
from medidiff.cohort.manifest import AttributeKind, ScanRow
from medidiff.cohort.store_arrays import (
    CHUNK,
    CODEC,
    ArrayName,
    checked,
    content_hash,
    encode,
    one_threaded_zarr,
    scan_id,
)
from medidiff.cohort.store_files import open_files
from medidiff.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT_VERSION = 1
META, MANIFEST = "store.json", "manifest.parquet"
Box = tuple[slice, slice, slice]
_OPEN_ARRAYS = 64
_SHARD, _ARRAY = "c/0/0/0", "zarr.json"


class Store:
    """One store, a folder or an fsspec URL. Make it with `create`, take it with `open`. May be pickled.

    Args:
        url: Where it lies.
        meta: Content of store.json.
    """

    def __init__(self, url: str, meta: dict[str, Any]) -> None:
        self.url, self.meta = url, meta
        self._files = open_files(url)
        self._manifest: pa.Table | None = None
        self._arrays: OrderedDict[tuple[str, str], Any] = OrderedDict()

    def __reduce__(self) -> tuple[Any, ...]:
        return Store, (self.url, self.meta)

    @classmethod
    def create(cls, url: str | Path, recipe: Mapping[str, Any], *, codec: tuple[str, int] = CODEC) -> Store:
        """Begin a store, or go on with one that was begun with the same recipe.

        Args:
            url: Folder or fsspec URL; must be empty or hold a store.
            recipe: What is done to every scan, JSON types.
            codec: Blosc compressor and level; says nothing about the content.

        Raises:
            InputError: Something else lies there, or a store of another recipe.
            OutputError: It cannot be written.
        """
        files = open_files(url)
        if files.exists(META):
            store = cls(str(url), _read_meta(files, str(url)))
            if store.meta["recipe_hash"] != recipe_hash(recipe):
                raise InputError(f"store {url}: holds scans of another recipe. Give another folder, or remove it.")
            return store
        if not files.empty():
            raise InputError(f"store {url}: the folder holds other files. Give an empty or a new one.")
        meta = {"format": "medidiff-store", "format_version": FORMAT_VERSION, "codec": list(codec), "chunk": CHUNK}
        store = cls(str(url), meta | {"recipe": dict(recipe), "recipe_hash": recipe_hash(recipe), "complete": False})
        store._write_meta()
        return store

    @classmethod
    def open(cls, url: str | Path) -> Store:
        """Take a finished store.

        Raises:
            InputError: There is none, it is not finished, of a newer version, or its manifest is damaged.
        """
        store = cls(str(url), _read_meta(open_files(url), str(url)))
        if not store.meta.get("complete"):
            raise InputError(f"store {url}: not finished. Run the same medidiff prepare again, it goes on.")
        _ = store.manifest
        return store

    # Scans ----------------------------------------------------------------------------------------------------------

    def has_scan(self, scan_id: str, array: ArrayName = "image") -> bool:
        """Whether a scan, or its mask, was written to its end."""
        return self._files.exists(f"{_folder(scan_id)}/{array}/{_ARRAY}")

    def write_scan(self, scan_id: str, image: np.ndarray, mask: np.ndarray | None = None) -> int:
        """Write one scan; it is there when this returns and not before. Safe from several processes.

        Args:
            scan_id: See `scan_id`.
            image: Normalised (x, y, z); stored as float16.
            mask: Labels on the same grid, uint8.

        Returns:
            Bytes it takes.

        Raises:
            InputError: Not three axes, not finite in float16, or image and mask differ in shape.
            OutputError: It cannot be written (disk full, no permission). Nothing of it is left that reads as a scan.
        """
        arrays = checked(image, mask)
        files: dict[str, bytes] = {}
        for name, data in arrays.items():
            for key, content in encode(data, self.meta["chunk"], tuple(self.meta["codec"])).items():
                files[f"{name}/{key}"] = content
        self._files.write_folder(_folder(scan_id), files, last=f"image/{_ARRAY}")
        self._arrays.clear()
        return sum(map(len, files.values()))

    def read(self, scan_id: str, box: Box | None = None, array: ArrayName = "image") -> np.ndarray:
        """A box of a scan, of which only the chunks that it touches are read.

        Args:
            scan_id: Which scan.
            box: Slices of step 1 along x, y, z; None: all of it.
            array: image (float16) or mask (uint8).

        Raises:
            InputError: There is no such scan or array, or what is there is damaged.
        """
        opened = self._open(scan_id, array)
        try:
            return opened[box if box is not None else ...]
        except (RuntimeError, ValueError, OSError, KeyError) as error:
            raise InputError(
                f"store {self.url}: {array} of scan {scan_id} is damaged ({error}). Prepare it again."
            ) from error

    def check_scan(self, row: ScanRow) -> None:
        """Read a scan whole and hold it against the hash in the manifest.

        Raises:
            InputError: It is missing or differs.
        """
        has_mask = self._files.exists(f"{_folder(row.scan_id)}/mask/{_ARRAY}")
        mask = self.read(row.scan_id, array="mask") if has_mask else None
        if content_hash(self.read(row.scan_id), mask) != row.content_hash:
            raise InputError(f"store {self.url}: scan {row.scan_id} differs from its hash. Prepare it again.")

    def _open(self, scan_id: str, array: ArrayName) -> Any:
        key = (scan_id, array)
        if key in self._arrays:
            self._arrays.move_to_end(key)
            return self._arrays[key]
        zarr = one_threaded_zarr()
        from zarr.errors import NodeNotFoundError

        path = f"{_folder(scan_id)}/{array}"
        try:
            opened: Any = zarr.open_array(self._files.zarr(path), mode="r", zarr_format=3)
        except (FileNotFoundError, NodeNotFoundError) as error:
            raise InputError(f"store {self.url}: there is no {array} of scan {scan_id}.") from error
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"store {self.url}: {array} of scan {scan_id} is damaged ({error}).") from error
        if not self._files.exists(f"{path}/{_SHARD}"):  # zarr would read zeros
            raise InputError(f"store {self.url}: the voxels of scan {scan_id} ({array}) are gone. Prepare it again.")
        self._arrays[key] = opened
        if len(self._arrays) > _OPEN_ARRAYS:
            self._arrays.popitem(last=False)
        return opened

    # Manifest -------------------------------------------------------------------------------------------------------

    def write_manifest(
        self,
        rows: Iterable[ScanRow],
        attributes: Mapping[str, AttributeKind] | None = None,
        coin: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the manifest, and store.json after it: the store is finished then.

        Args:
            rows: Every scan, in any order.
            attributes: Kind of every attribute.
            coin: How patients were split, JSON types.

        Raises:
            InputError: See `manifest.make_table`.
            OutputError: It cannot be written.
        """
        kinds: dict[str, AttributeKind] = dict(attributes or {})
        table = table_of.make_table(rows, kinds)
        content = table_of.to_bytes(table)
        content_of_all = hashlib.sha256(f"{self.meta['recipe_hash']} {table_of.table_hash(table)}".encode()).hexdigest()
        splits, patients = table.column("split").to_pylist(), table.column("patient").to_pylist()
        counts = {
            split: {
                "scans": splits.count(split),
                "patients": len({p for p, s in zip(patients, splits, strict=True) if s == split}),
            }
            for split in table_of.SPLITS
        }
        self.meta |= {
            "complete": True,
            "counts": counts,
            "attributes": table_of.describe(table, kinds),
            "coin": dict(coin or {}),
            "content_hash": content_of_all,
            "manifest_hash": hashlib.sha256(content).hexdigest(),
        }
        self._files.write(MANIFEST, content)
        self._write_meta()
        self._manifest = None

    @property
    def manifest(self) -> pa.Table:
        """One row a scan, sorted by scan_id.

        Raises:
            InputError: It is missing, damaged, or not the one that store.json was written with.
        """
        if self._manifest is None:
            try:
                content = self._files.read(MANIFEST)
            except FileNotFoundError as error:
                raise InputError(f"store {self.url}: has no manifest. Run medidiff prepare again.") from error
            if hashlib.sha256(content).hexdigest() != self.meta.get("manifest_hash"):
                raise InputError(
                    f"store {self.url}: manifest and store.json do not belong together: prepare was interrupted, or a "
                    "file is damaged. Run medidiff prepare again."
                )
            kinds = {name: about["kind"] for name, about in self.attributes.items()}
            self._manifest = table_of.from_bytes(content, kinds, f"store {self.url}")
        return self._manifest

    def scans(self, split: str | None = None, where: Mapping[str, Any] | Any = None) -> list[ScanRow]:
        """The scans of a split that meet a condition; see `manifest.select`."""
        return list(table_of.rows_of(table_of.select(self.manifest, split, where)))

    @property
    def attributes(self) -> dict[str, dict[str, Any]]:
        """Of every attribute: kind, and over TRAIN low and high or the sorted values."""
        return self.meta.get("attributes", {})

    @property
    def content_hash(self) -> str:
        """SHA-256 over recipe, scans and attributes: the same whatever the order, chunks and codec."""
        return self.meta["content_hash"]

    def _write_meta(self) -> None:
        self._files.write(META, json.dumps(self.meta, indent=1, sort_keys=True).encode())


def _folder(scan_id: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{16}", scan_id):
        raise InputError(f"scan id {scan_id!r}: must be 16 hex digits.")
    return f"scans/{scan_id[:2]}/{scan_id}"


def _read_meta(files: Any, url: str) -> dict[str, Any]:
    try:
        meta = json.loads(files.read(META))
    except FileNotFoundError as error:
        raise InputError(
            f"store {url}: no store is there ({META} is missing). Make one with medidiff prepare."
        ) from error
    except (UnicodeDecodeError, json.JSONDecodeError, NotADirectoryError) as error:
        raise InputError(f"store {url}: {META} is damaged ({error}). Run medidiff prepare again.") from error
    if not isinstance(meta, dict) or meta.get("format") != "medidiff-store" or "recipe_hash" not in meta:
        raise InputError(f"store {url}: {META} is not that of a medidiff store.")
    if meta.get("format_version") != FORMAT_VERSION:
        version = meta.get("format_version")
        raise InputError(f"store {url}: format version {version}, this medidiff reads {FORMAT_VERSION}. Update it.")
    return meta


def recipe_hash(recipe: Mapping[str, Any]) -> str:
    """SHA-256 of a recipe."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


__all__ = ["CHUNK", "Store", "content_hash", "recipe_hash", "scan_id"]
