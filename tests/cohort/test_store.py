"""The store: exact round trip, boxes from the chunks they touch, nothing half-written, clear refusals."""

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medidiff.cohort.manifest import ScanRow
from medidiff.cohort.store import CHUNK, Store, content_hash, scan_id
from medidiff.errors import InputError, OutputError

RECIPE = {"spacing_mm": [1, 1, 1], "window": "percentile"}
SHAPE = (70, 50, 96)


def scan(shape: tuple[int, ...] = SHAPE, seed: int = 0) -> np.ndarray:
    data = np.random.default_rng(seed).standard_normal(shape).astype(np.float16)
    data[0, 0, 0] = -0.0
    return data


def row(name: str, image: np.ndarray, mask: np.ndarray | None = None, **more: Any) -> ScanRow:
    made = ScanRow(
        scan_id=scan_id(image, np.eye(4)),
        patient=name,
        split="train",
        modality="CT",
        shape=image.shape,  # type: ignore[arg-type]
        spacing_mm=(1.0, 1.0, 2.5),
        affine_ras=tuple(np.eye(4).ravel().tolist()),
        body_low=(0, 0, 0),
        body_high=image.shape,  # type: ignore[arg-type]
        intensity_scale=500.0,
        intensity_offset=-24.0,
        tau=0.01,
        foreground=0.5,
        content_hash=content_hash(image, mask),
        source=f"{name}/scan.nii.gz",
        bytes=1,
    )
    return replace(made, **more)


def finished(url: str | Path, rows: list[ScanRow], **kinds: Any) -> Store:
    store = Store.create(url, RECIPE)
    store.write_manifest(rows, attributes=kinds)
    return Store.open(url)


def test_round_trip_is_exact(tmp_path: Path) -> None:
    image, mask = scan(), (scan(seed=1) > 0).astype(np.uint8)
    wanted = row("a", image, mask, attributes={"age": 63.5, "sex": None})
    store = Store.create(tmp_path / "s", RECIPE)
    size = store.write_scan(wanted.scan_id, image, mask)
    store.write_manifest([wanted], {"age": "continuous", "sex": "categorical"}, {"seed": 3})
    store = pickle.loads(pickle.dumps(Store.open(tmp_path / "s")))  # noqa: S301
    assert store.read(wanted.scan_id).tobytes() == image.tobytes()
    assert store.read(wanted.scan_id, array="mask").tobytes() == mask.tobytes()
    assert store.scans() == [wanted]
    assert store.meta["coin"] == {"seed": 3}
    folder = tmp_path / "s" / "scans" / wanted.scan_id[:2] / wanted.scan_id
    assert size == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert len(list(folder.rglob("c/*/*/*"))) == 2  # one shard an array
    store.check_scan(wanted)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_box_is_the_slice(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    image = scan()
    folder = tmp_path_factory.getbasetemp() / "boxes"
    store, name = Store.create(folder, RECIPE), scan_id(image, np.eye(4))
    if not store.has_scan(name):
        store.write_scan(name, image)
    ends = [sorted((data.draw(st.integers(0, n)), data.draw(st.integers(0, n)))) for n in SHAPE]
    box = tuple(slice(a, b) for a, b in ends)
    assert np.array_equal(store.read(name, box), image[box])  # type: ignore[arg-type]


@pytest.mark.parametrize(("low", "chunks"), [((0, 0, 0), 1), ((10, 0, 0), 1), ((40, 0, 0), 2), ((40, 40, 30), 8)])
def test_only_the_chunks_it_touches_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, low: tuple[int, ...], chunks: int
) -> None:
    from zarr.storage import LocalStore

    image = scan((150, 100, 100))
    store, name = Store.create(tmp_path / "s", RECIPE), scan_id(image, np.eye(4))
    store.write_scan(name, image)
    asked: list[Any] = []
    get = LocalStore.get

    async def counted(self: Any, key: str, *args: Any, **more: Any) -> Any:
        asked.append((key, more.get("byte_range") or (args[1] if len(args) > 1 else None)))
        return await get(self, key, *args, **more)

    monkeypatch.setattr(LocalStore, "get", counted)
    box = tuple(slice(a, a + 24) for a in low)
    assert np.array_equal(store.read(name, box), image[box])  # type: ignore[arg-type]
    voxels = [byte_range for key, byte_range in asked if key.startswith("c/")]
    assert CHUNK == 48
    assert None not in voxels  # never the whole shard
    assert len(voxels) == 1 + chunks  # its index, and the chunks


def test_the_memory_of_this_process_is_a_store_too() -> None:
    image, url = scan((20, 30, 40)), "memory://medidiff-test-store"
    one = row("a", image)
    Store.create(url, RECIPE).write_scan(one.scan_id, image)
    store = finished(url, [one])
    assert np.array_equal(store.read(one.scan_id, (slice(3, 9), slice(0, 30), slice(5, 6))), image[3:9, :, 5:6])
    store.check_scan(store.scans()[0])


class Killed(BaseException):
    """Stands for a process that ends here."""


@pytest.mark.parametrize("written", [0, 1, 2, 3])
def test_a_killed_writer_leaves_nothing_that_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """Killed before it writes, after each file, and just before the rename; no clean-up runs."""
    import os
    import shutil

    image, mask = scan((20, 20, 20)), np.ones((20, 20, 20), np.uint8)
    name, store = scan_id(image, np.eye(4)), Store.create(tmp_path / "s", RECIPE)
    done: list[int] = []
    fsync = os.fsync

    def die(fd: int) -> None:
        fsync(fd)
        done.append(fd)
        if len(done) > written:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", die)
        patch.setattr(shutil, "rmtree", lambda *args, **more: None)
        with pytest.raises(Killed):
            store.write_scan(name, image, mask)
    assert not store.has_scan(name)
    with pytest.raises(InputError, match="no image of scan"):
        store.read(name)
    store.write_scan(name, image, mask)
    assert np.array_equal(store.read(name), image)


@pytest.mark.parametrize("written", [0, 1, 2, 3])
def test_a_killed_remote_writer_too(monkeypatch: pytest.MonkeyPatch, written: int) -> None:
    from medidiff.cohort.store_files import RemoteFiles

    image, mask = scan((20, 20, 20)), np.ones((20, 20, 20), np.uint8)
    name, store = scan_id(image, np.eye(4)), Store.create(f"memory://killed-{written}", RECIPE)
    write, done = RemoteFiles.write, []

    def die(self: RemoteFiles, path: str, content: bytes) -> None:
        if len(done) >= written:
            raise Killed
        done.append(path)
        write(self, path, content)

    with monkeypatch.context() as patch:
        patch.setattr(RemoteFiles, "write", die)
        with pytest.raises(Killed):
            store.write_scan(name, image, mask)
    assert not store.has_scan(name)
    with pytest.raises(InputError, match="no image of scan"):
        store.read(name)


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    image, store = scan((20, 20, 20)), Store.create(tmp_path / "s", RECIPE)

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match="No space left"):
            store.write_scan(scan_id(image, np.eye(4)), image)
    assert not [path for path in (tmp_path / "s" / "scans").rglob("*") if path.is_file()]


def test_the_same_scan_twice_is_one(tmp_path: Path) -> None:
    image, store = scan((20, 20, 20)), Store.create(tmp_path / "s", RECIPE)
    name = scan_id(image, np.eye(4))
    assert store.write_scan(name, image) == store.write_scan(name, image)
    assert [path.name for path in (tmp_path / "s" / "scans" / name[:2]).iterdir()] == [name]


def test_the_hash_is_of_the_content(tmp_path: Path) -> None:
    """Not of the order of the rows, the chunks, the codec, or where the files lay."""
    images = [scan((20, 30, 40), seed) for seed in range(4)]
    rows = [row(f"p{i}", image, attributes={"age": 20.0 + i}) for i, image in enumerate(images)]
    hashes = set()
    for number, (order, codec, chunk) in enumerate([((0, 1, 2, 3), ("lz4", 5), 48), ((3, 1, 0, 2), ("zstd", 1), 16)]):
        store = Store.create(tmp_path / f"s{number}", RECIPE, codec=codec)
        store.meta["chunk"] = chunk
        sizes = {i: store.write_scan(rows[i].scan_id, images[i]) for i in order}
        store.write_manifest(
            [replace(rows[i], bytes=sizes[i], source=f"{number}/{i}") for i in order], {"age": "continuous"}
        )
        store = Store.open(store.url)
        for one in store.scans():
            store.check_scan(one)
        hashes.add(store.content_hash)
    assert len(hashes) == 1
    other = finished(tmp_path / "other", [*rows[:3], replace(rows[3], split="val")], age="continuous")
    assert other.content_hash not in hashes
    assert content_hash(images[0]) != content_hash(images[0], np.zeros((20, 30, 40), np.uint8))


def test_scan_id_knows_values_not_types() -> None:
    data = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    assert scan_id(data, np.eye(4)) == scan_id(np.asfortranarray(data.astype(np.float64)), np.eye(4))
    assert scan_id(data, np.eye(4)) != scan_id(data.reshape(2, 4, 3), np.eye(4))
    assert scan_id(data, np.eye(4)) != scan_id(data, 2 * np.eye(4))


def test_queries(tmp_path: Path) -> None:
    images = [scan((8, 8, 8), seed) for seed in range(5)]
    ages = [20.0, 30.0, None, 50.0, 90.0]
    sexes = ["f", "m", "f", None, "d"]
    splits = ["train", "train", "train", "val", "holdout"]
    rows = [
        row(f"p{i}", image, split=splits[i], attributes={"age": ages[i], "sex": sexes[i]})
        for i, image in enumerate(images)
    ]
    store = finished(tmp_path / "s", rows, age="continuous", sex="categorical")
    import pyarrow.compute as pc

    def patients(*args: Any, **more: Any) -> list[str]:
        return sorted(one.patient for one in store.scans(*args, **more))

    assert patients() == [f"p{i}" for i in range(5)]
    assert patients("train") == ["p0", "p1", "p2"]
    assert patients(where={"sex": "f"}) == ["p0", "p2"]
    assert patients("train", {"sex": ["f", "m"], "age": [20, 30]}) == ["p0", "p1"]
    assert patients(where={"sex": None}) == ["p3"]
    assert patients(where=pc.field("age") > 25) == ["p1", "p3", "p4"]
    # ranges and values are those of train: holdout and val patients are never looked at
    assert store.attributes["age"] == {"kind": "continuous", "low": 20.0, "high": 30.0}
    assert store.attributes["sex"] == {"kind": "categorical", "values": ["f", "m"]}
    assert store.meta["counts"]["train"] == {"scans": 3, "patients": 3}
    with pytest.raises(InputError, match="no such column"):
        store.scans(where={"weight": 3})
    with pytest.raises(InputError, match="cannot hold"):
        store.scans(where={"age": "old"})
    with pytest.raises(InputError, match="must be one of"):
        store.scans("test")


def test_bad_scans_are_refused(tmp_path: Path) -> None:
    store, name = Store.create(tmp_path / "s", RECIPE), "0" * 16
    for image, match in [
        (np.zeros((4, 4), np.float16), "three axes"),
        (np.full((4, 4, 4), np.nan, np.float16), "finite"),
        (np.full((4, 4, 4), 1e6, np.float32), "finite in float16"),
    ]:
        with pytest.raises(InputError, match=match):
            store.write_scan(name, image)
    with pytest.raises(InputError, match="uint8 on the scan's grid"):
        store.write_scan(name, np.zeros((4, 4, 4), np.float16), np.zeros((4, 4, 5), np.uint8))
    with pytest.raises(InputError, match="16 hex digits"):
        store.write_scan("../../etc", np.zeros((4, 4, 4), np.float16))


def test_a_manifest_assigns_patients_once(tmp_path: Path) -> None:
    one, two = row("a", scan((8, 8, 8), 1)), row("a", scan((8, 8, 8), 2), split="holdout")
    store = Store.create(tmp_path / "s", RECIPE)
    with pytest.raises(InputError, match="two splits"):
        store.write_manifest([one, two])
    with pytest.raises(InputError, match="twice"):
        store.write_manifest([one, one])
    with pytest.raises(InputError, match="has a column of that name"):
        store.write_manifest([one], {"tau": "continuous"})
    with pytest.raises(InputError, match="does not fit"):
        store.write_manifest([replace(one, attributes={"age": "old"})], {"age": "continuous"})


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no store is there"):
        Store.open(tmp_path / "nowhere")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.doc").touch()
    with pytest.raises(InputError, match="other files"):
        Store.create(tmp_path / "full", RECIPE)
    store = Store.create(tmp_path / "s", RECIPE)
    with pytest.raises(InputError, match="not finished"):
        Store.open(tmp_path / "s")
    with pytest.raises(InputError, match="another recipe"):
        Store.create(tmp_path / "s", {"spacing_mm": [2, 2, 2]})
    store.write_manifest([])
    path = tmp_path / "s" / "store.json"
    meta = json.loads(path.read_text())
    path.write_text(json.dumps(meta | {"format_version": 2}))
    with pytest.raises(InputError, match="version 2"):
        Store.open(tmp_path / "s")
    path.write_text("{")
    with pytest.raises(InputError, match="damaged"):
        Store.open(tmp_path / "s")


def test_damage_is_found(tmp_path: Path) -> None:
    image = scan((60, 20, 20))
    one = row("a", image)
    Store.create(tmp_path / "s", RECIPE).write_scan(one.scan_id, image)
    finished(tmp_path / "s", [one])
    shard = tmp_path / "s" / "scans" / one.scan_id[:2] / one.scan_id / "image" / "c" / "0" / "0" / "0"
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged"):
        Store.open(tmp_path / "s").read(one.scan_id)
    shard.write_bytes(whole[:3000] + bytes([whole[3000] ^ 1]) + whole[3001:])
    with pytest.raises(InputError, match=r"differs from its hash|damaged"):
        Store.open(tmp_path / "s").check_scan(one)
    shard.unlink()
    with pytest.raises(InputError, match="are gone"):
        Store.open(tmp_path / "s").read(one.scan_id)
    manifest = tmp_path / "s" / "manifest.parquet"
    manifest.write_bytes(manifest.read_bytes()[:-20])
    with pytest.raises(InputError, match="do not belong together"):
        Store.open(tmp_path / "s")
    manifest.unlink()
    with pytest.raises(InputError, match="no manifest"):
        Store.open(tmp_path / "s")
