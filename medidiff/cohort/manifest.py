"""The manifest of a store: one row a scan, as a parquet table with fixed types."""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from medidiff.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

AttributeKind = Literal["continuous", "categorical"]
SPLITS = ("train", "val", "holdout")
NOT_CONTENT = ("source", "bytes")
"""Columns that say where a scan came from and how it is packed: the content hash leaves them out."""


@dataclass(frozen=True)
class ScanRow:
    """One scan of a store.

    Attributes:
        scan_id: 16 hex digits, see `store.scan_id`.
        patient: Whose scan it is.
        split: train, val or holdout; a patient stands in one of them.
        modality: Such as CT or T1 MR; empty where unknown.
        shape: Voxels along x, y, z.
        spacing_mm: Voxel spacing.
        affine_ras: Voxel index to mm, 16 numbers, row by row.
        body_low: First voxel of the foreground's bounding box.
        body_high: One past its last voxel.
        intensity_scale: normalised = (value - intensity_offset) / intensity_scale.
        intensity_offset: In the scan's own unit.
        tau: Its own white noise level, normalised units.
        foreground: Share of voxels that are foreground.
        content_hash: SHA-256 of what is stored, see `store.content_hash`.
        source: Path of the scan below the folder it was prepared from.
        bytes: Size in the store.
        attributes: Every further column of the participants table: a number, a text, or None where missing.
    """

    scan_id: str
    patient: str
    split: str
    modality: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    affine_ras: tuple[float, ...]
    body_low: tuple[int, int, int]
    body_high: tuple[int, int, int]
    intensity_scale: float
    intensity_offset: float
    tau: float
    foreground: float
    content_hash: str
    source: str
    bytes: int
    attributes: dict[str, float | str | None] = field(default_factory=dict)

    @classmethod
    def from_columns(cls, row: Mapping[str, Any]) -> ScanRow:
        """From one row of the table, a value a column."""
        given = {name: row[name] for name in _PLAIN}
        given |= {name: tuple(row[name]) for name in ("affine_ras", "body_low", "body_high")}
        given["shape"] = tuple(row[f"shape_{axis}"] for axis in "xyz")
        given["spacing_mm"] = tuple(row[f"spacing_{axis}_mm"] for axis in "xyz")
        return cls(**given, attributes={k: v for k, v in row.items() if k not in CORE})

    def columns(self) -> dict[str, Any]:
        """The reverse of `from_columns`."""
        row: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN}
        row |= {name: list(getattr(self, name)) for name in ("affine_ras", "body_low", "body_high")}
        row |= {f"shape_{axis}": n for axis, n in zip("xyz", self.shape, strict=True)}
        row |= {f"spacing_{axis}_mm": s for axis, s in zip("xyz", self.spacing_mm, strict=True)}
        return row | self.attributes


_TUPLES = ("shape", "spacing_mm", "affine_ras", "body_low", "body_high", "attributes")
_PLAIN = tuple(f.name for f in fields(ScanRow) if f.name not in _TUPLES)
CORE = (
    *_PLAIN[:4],
    *(f"shape_{axis}" for axis in "xyz"),
    *(f"spacing_{axis}_mm" for axis in "xyz"),
    "affine_ras",
    "body_low",
    "body_high",
    *_PLAIN[4:],
)
"""Columns that every manifest has; all others are attributes."""


def schema(attributes: Mapping[str, AttributeKind]) -> pa.Schema:
    """The table's columns and types.

    Raises:
        InputError: An attribute has the name of a column that every manifest has.
    """
    import pyarrow as pa

    clash = [name for name in attributes if name in CORE]
    if clash:
        raise InputError(f"attribute {clash[0]!r}: the store has a column of that name. Rename it in the table.")
    types: dict[str, Any] = dict.fromkeys(CORE, pa.string())
    types |= {f"shape_{axis}": pa.int32() for axis in "xyz"} | {"bytes": pa.int64()}
    types |= {f"spacing_{axis}_mm": pa.float32() for axis in "xyz"}
    types |= {"affine_ras": pa.list_(pa.float64(), 16), "body_low": pa.list_(pa.int32(), 3)}
    types |= {"body_high": pa.list_(pa.int32(), 3)}
    types |= dict.fromkeys(("intensity_scale", "intensity_offset", "tau", "foreground"), pa.float64())
    kinds = {"continuous": pa.float64(), "categorical": pa.string()}
    types |= {name: kinds[attributes[name]] for name in sorted(attributes)}
    return pa.schema([pa.field(name, kind, nullable=name in attributes) for name, kind in types.items()])


def make_table(rows: Iterable[ScanRow], attributes: Mapping[str, AttributeKind]) -> pa.Table:
    """The table of some scans, sorted by scan_id, whatever order they come in.

    Raises:
        InputError: A scan stands in it twice, a patient in two splits, a split is unknown, or a value does not fit its
            column.
    """
    import pyarrow as pa

    ordered = sorted(rows, key=lambda row: row.scan_id)
    split_of: dict[str, str] = {}
    for before, row in zip([None, *ordered], ordered, strict=False):
        if before is not None and before.scan_id == row.scan_id:
            raise InputError(f"manifest: scan {row.scan_id} ({row.source}) stands in it twice.")
        if row.split not in SPLITS:
            raise InputError(f"manifest: split {row.split!r} of {row.source}: must be one of {', '.join(SPLITS)}.")
        if split_of.setdefault(row.patient, row.split) != row.split:
            raise InputError(f"manifest: patient {row.patient!r} stands in two splits; assign patients, not scans.")
    columns: dict[str, list[Any]] = {name: [] for name in schema(attributes).names}
    for row in ordered:
        values = row.columns()
        for name, column in columns.items():
            column.append(values.get(name))
    try:
        return pa.table(columns, schema=schema(attributes))
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise InputError(f"manifest: a value does not fit its column ({error}).") from error


def to_bytes(table: pa.Table) -> bytes:
    """The parquet file."""
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def from_bytes(content: bytes, attributes: Mapping[str, AttributeKind], where: str) -> pa.Table:
    """Read and check the parquet file.

    Raises:
        InputError: It is damaged, or its columns are not those of a store with these attributes.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(content))
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{where}: the manifest is damaged ({error}). Run medidiff prepare again.") from error
    expected = schema(attributes)
    if table.schema.names != expected.names or table.schema.types != expected.types:
        raise InputError(f"{where}: the manifest has other columns than store.json says. Run medidiff prepare again.")
    return table


def select(table: pa.Table, split: str | None = None, where: Mapping[str, Any] | Any = None) -> pa.Table:
    """The rows of a split that meet a condition.

    Args:
        table: The manifest.
        split: train, val or holdout; None: all.
        where: {column: value, or a list of values; None: missing}, or a pyarrow expression.

    Raises:
        InputError: No such split or column, or a value that the column cannot hold.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if split is not None and split not in SPLITS:
        raise InputError(f"split {split!r}: must be one of {', '.join(SPLITS)}.")
    conditions = [] if split is None else [pc.field("split") == split]
    if isinstance(where, Mapping):
        for column, wanted in where.items():
            if column not in table.column_names:
                raise InputError(f"where {column}: no such column. There are: {', '.join(table.column_names)}.")
            many = isinstance(wanted, Sequence) and not isinstance(wanted, str)
            values = list(wanted) if many else [wanted]  # type: ignore[arg-type]
            try:
                allowed = pa.array(values, type=table.schema.field(column).type)
            except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
                raise InputError(f"where {column} = {wanted!r}: the column cannot hold that ({error}).") from error
            conditions.append(pc.field(column).isin(allowed))
    elif where is not None:
        conditions.append(where)
    for condition in conditions:
        table = table.filter(condition)
    return table


def rows_of(table: pa.Table) -> Iterator[ScanRow]:
    """Every row of a table as a `ScanRow`."""
    columns = [table.column(name).to_pylist() for name in table.column_names]
    for values in zip(*columns, strict=True):
        yield ScanRow.from_columns(dict(zip(table.column_names, values, strict=True)))


def table_hash(table: pa.Table) -> str:
    """SHA-256 of the rows without `NOT_CONTENT`: the same for the same scans, wherever they lay and however packed."""
    names = sorted(name for name in table.column_names if name not in NOT_CONTENT)
    columns = [table.column(name).to_pylist() for name in names]
    digest = hashlib.sha256(json.dumps(names).encode())
    for values in zip(*columns, strict=True):
        digest.update(json.dumps(values).encode() + b"\n")
    return digest.hexdigest()


def describe(table: pa.Table, attributes: Mapping[str, AttributeKind]) -> dict[str, dict[str, Any]]:
    """Kind and TRAIN range of every attribute: low and high (None where none is known), or the sorted values."""
    train = select(table, "train")
    described: dict[str, dict[str, Any]] = {}
    for name in sorted(attributes):
        known = [v for v in train.column(name).to_pylist() if v is not None and not _is_nan(v)]
        if attributes[name] == "continuous":
            ends = {"low": min(known, default=None), "high": max(known, default=None)}
            described[name] = {"kind": "continuous", **ends}
        else:
            described[name] = {"kind": "categorical", "values": sorted(set(known))}
    return described


def _is_nan(value: float | str) -> bool:
    return isinstance(value, float) and math.isnan(value)


__all__ = [
    "CORE",
    "NOT_CONTENT",
    "SPLITS",
    "AttributeKind",
    "ScanRow",
    "describe",
    "from_bytes",
    "make_table",
    "rows_of",
    "schema",
    "select",
    "table_hash",
    "to_bytes",
]
