"""A prepared store as a source of patches: scans stay on the disk, patients are drawn evenly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, overload

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from medidiff.cohort.body import body_frame
from medidiff.cohort.cases import AnyCase, Box, Triple
from medidiff.cohort.draws import Node, balanced_tree, draw_index
from medidiff.cohort.manifest import ScanRow, rows_of, select
from medidiff.cohort.run_holdout import RunCoin, store_has_coin
from medidiff.cohort.store import Store
from medidiff.errors import ConfigError, InputError
from medidiff.nets.embedding import OWN_NOISE

if TYPE_CHECKING:
    import pyarrow as pa

_LABELLED_SEED = 20261122
Where = dict[str, str | float | tuple[str | float | None, ...] | None]


class StoreSource(BaseModel):
    """Scans of a store that `medidiff prepare` made, of its train (or val) patients.

    A patient is drawn evenly, then one of his scans: a patient with ten scans counts as one. With `balance` a value of
    each attribute is drawn evenly first, see `draws.balanced_tree`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    type: Literal["store"] = "store"
    name: str
    """Value of the condition `kind`."""
    weight: float = Field(default=1.0, gt=0)
    """Share of the patches, relative to the other sources."""
    url: str
    """The store: a folder, relative to where the command runs, or an fsspec URL."""
    where: Where = Field(default_factory=dict)
    """Only scans with these values: {column: value, or a list of values}; null: the value is missing."""
    balance: tuple[str, ...] = ()
    """Attributes whose values are drawn evenly."""
    array: Literal["image", "mask"] = "image"
    """What patches are cut from: the scan, or its mask (-1 outside, 1 inside); scans without one are left out."""
    masks: tuple[Annotated[str, Field(pattern=r"^mask(:[1-9][0-9]*)?$")], ...] = ()
    """Masks that become further channels after the image: "mask" (any label) or "mask:2" (that label), -1 outside and 1
    inside. Of a scan without a label map they count as not observed."""
    own_noise: Literal["removed", "kept"] = "removed"
    """removed: the prior learns what the scans are without their own noise. kept: the noise is part of them; samples
    have it, and denoising leaves it."""
    label_patients: int | None = Field(default=None, ge=1)
    """Masks of only so many train patients are used, drawn once by a fixed seed; those of the others count as not
    observed. None: all."""
    label_share: float | None = Field(default=None, gt=0, lt=1)
    """With `label_patients`: share of the patches that is theirs. None: as for any patient, and few labels are hardly
    seen."""
    foreground: float = Field(default=0.9, ge=0, le=1)
    """Share of the patches whose centre lies in the body's bounding box; the others lie anywhere."""
    licence: str = "not stated"
    """Licence of the scans, copied into the prior's card."""

    @model_validator(mode="after")
    def _share_of_some(self) -> StoreSource:
        if self.label_share is not None and self.label_patients is None:
            raise ValueError("label_share: says how often patients with labels are drawn; give label_patients too")
        return self


@dataclass(frozen=True)
class StoreCase:
    """One scan of a store, read box by box. See `AnyCase`."""

    store: Store
    row: ScanRow
    kind: str
    foreground: float
    array: Literal["image", "mask"] = "image"
    masks: tuple[str, ...] = ()
    labelled: bool = True
    noise_kept: bool = False

    @property
    def name(self) -> str:
        """The scan's id."""
        return self.row.scan_id

    @property
    def patient(self) -> str:
        """Whose scan it is."""
        return self.row.patient

    @property
    def shape(self) -> Triple:
        """Voxels along x, y, z."""
        return self.row.shape

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel spacing."""
        return self.row.spacing_mm

    @property
    def tau(self) -> float:
        """Own white noise level that is not part of the target; a mask has none."""
        return 0.0 if self.noise_kept or self.array == "mask" else self.row.tau

    @property
    def body(self) -> tuple[Triple, Triple]:
        """The body's bounding box."""
        return self.row.body_low, self.row.body_high

    @property
    def conditions(self) -> Mapping[str, float | str | None]:
        """The scan's attributes, and its own noise where that is part of the target."""
        return {OWN_NOISE: self.row.tau, **self.row.attributes} if self.noise_kept else self.row.attributes

    def read(self, box: Box) -> np.ndarray:
        """Read the chunks that the box touches.

        Raises:
            InputError: The scan is missing or damaged.
        """
        data = self.store.read(self.row.scan_id, box, self.array)
        return data if self.array == "image" else np.where(data > 0, np.float16(1), np.float16(-1))

    def read_masks(self, box: Box) -> list[np.ndarray]:
        """Read the chunks of the label map that the box touches; empty where there is none, or it is not to be used."""
        if not self.masks or not self.labelled or not self.store.has_scan(self.row.scan_id, "mask"):
            return []
        labels = self.store.read(self.row.scan_id, box, "mask")
        found = [labels == int(name.partition(":")[2]) if ":" in name else labels > 0 for name in self.masks]
        return [np.where(inside, np.float16(1), np.float16(-1)) for inside in found]

    def frame(self) -> np.ndarray:
        """Affine (3, 4) from voxel to body coordinates."""
        return body_frame(np.array(self.row.affine_ras).reshape(4, 4), *self.body)


class StoreCases(Sequence[AnyCase]):
    """The scans of a source in one split: rows of a table, each a `StoreCase` when it is asked for.

    Args:
        source: The source.
        store: Its store.
        table: The scans' rows of the manifest.
    """

    def __init__(self, source: StoreSource, store: Store, table: pa.Table) -> None:
        self.source, self.store, self.table = source, store, table
        self._tree = self._tree_of(table)
        people = sorted(self.patients)
        chosen = np.random.default_rng(_LABELLED_SEED).permutation(len(people))[: source.label_patients]
        self.labelled = {people[i] for i in chosen.tolist()}
        """Patients whose masks are used."""
        self._trees = self._apart() if source.label_share is not None else None

    def __len__(self) -> int:
        return self.table.num_rows

    @overload
    def __getitem__(self, index: int) -> StoreCase: ...
    @overload
    def __getitem__(self, index: slice) -> list[StoreCase]: ...
    def __getitem__(self, index: int | slice) -> StoreCase | list[StoreCase]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(index)
        return self._case(next(rows_of(self.table.slice(place, 1))))

    def __iter__(self) -> Iterator[StoreCase]:
        return map(self._case, rows_of(self.table))

    def draw(self, rng: np.random.Generator) -> StoreCase:
        """One scan: values of the balanced attributes evenly, then a patient evenly, then one of his scans."""
        if self._trees is None:
            return self[draw_index(self._tree, rng)]
        share = self.source.label_share or 0.0
        tree, places = self._trees[0 if rng.random() < share else 1]
        return self[places[draw_index(tree, rng)]]

    @property
    def patients(self) -> set[str]:
        """Whose scans these are."""
        return set(self.table.column("patient").to_pylist())

    def _apart(self) -> tuple[tuple[Node, list[int]], ...] | None:
        """Scans of the patients whose masks are used, and of the others: each a tree and its scans' places; None where
        one of the two has none."""
        people = self.table.column("patient").to_pylist()
        groups = [[i for i, one in enumerate(people) if (one in self.labelled) == wanted] for wanted in (True, False)]
        if not all(groups):
            return None
        return tuple((self._tree_of(self.table.take(places)), places) for places in groups)

    def _tree_of(self, table: pa.Table) -> Node:
        balance = {name: table.column(name).to_pylist() for name in self.source.balance}
        return balanced_tree(table.column("patient").to_pylist(), balance)

    def _case(self, row: ScanRow) -> StoreCase:
        source = self.source
        return StoreCase(
            self.store, row, source.name, source.foreground, source.array, source.masks,
            row.patient in self.labelled, source.own_noise == "kept",
        )  # fmt: skip


def store_cases(source: StoreSource, split: str, coin: RunCoin | None = None) -> StoreCases:
    """The scans of a source that belong to `split`; none may be there for val.

    Args:
        source: The source.
        split: train or val.
        coin: Keeps train patients out of this run, where the store holds nobody out.

    Raises:
        ConfigError: split is neither train nor val, `balance` names what is no attribute, or a coin is asked for and
            a table has decided.
        InputError: There is no store, no such column, or no scan for train.
    """
    if split not in ("train", "val"):
        raise ConfigError(f"split {split}: training reads train and val only; holdout patients are never touched.")
    store = Store.open(source.url)
    unknown = [name for name in source.balance if name not in store.attributes]
    if unknown:
        known = ", ".join(store.attributes) or "none"
        raise ConfigError(f"source {source.name}: balance {unknown[0]}: not an attribute of the store ({known}).")
    if "split" in source.where:
        raise ConfigError(
            f"source {source.name}: where split: the split is not a choice; training reads train and val."
        )
    table = select(store.manifest, split, _lists(source.where))
    if coin is not None and not store_has_coin(store, source.name) and split == "train":
        table = _without(table, coin)
    if source.array == "mask":
        scans = table.column("scan_id").to_pylist()
        table = table.take([i for i, scan in enumerate(scans) if store.has_scan(scan, "mask")]) if scans else table
    if table.num_rows == 0 and split == "train":
        left = " and is left by the coin" if coin is not None else ""
        raise InputError(f"source {source.name}: no train scan of {source.url} meets {source.where or 'this'}{left}.")
    if split == "val":  # what is judged has its masks
        source = source.model_copy(update={"label_patients": None, "label_share": None})
    return StoreCases(source, store, table)


def _without(table: pa.Table, coin: RunCoin) -> pa.Table:
    import pyarrow as pa

    return table.filter(pa.array([not coin.keeps_out(p) for p in table.column("patient").to_pylist()], pa.bool_()))


def holdout_patients(source: StoreSource, coin: RunCoin | None = None) -> set[str]:
    """Patients of a source that an audit may hold against its train patients: holdout of the store, and of the coin."""
    store, where = Store.open(source.url), _lists(source.where)
    held = set(select(store.manifest, "holdout", where).column("patient").to_pylist())
    if coin is not None and not store_has_coin(store, source.name):
        held |= {one for one in select(store.manifest, "train", where).column("patient").to_pylist()
                 if coin.keeps_out(one)}  # fmt: skip
    return held


def _lists(where: Where) -> dict[str, Any]:
    return {column: list(value) if isinstance(value, tuple) else value for column, value in where.items()}


def condition_values_of(cases: StoreCases, name: str) -> list[float | str]:
    """What the scans say of an attribute, those without it left out; empty where it is none of the store's.

    `OWN_NOISE` is one wherever the noise is part of the scans.
    """
    if name not in cases.store.attributes:
        return cases.table.column("tau").to_pylist() if name == OWN_NOISE and cases.source.own_noise == "kept" else []
    return [value for value in cases.table.column(name).to_pylist() if value is not None and value == value]


__all__ = ["StoreCase", "StoreCases", "StoreSource", "condition_values_of", "holdout_patients", "store_cases"]
