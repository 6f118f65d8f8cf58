"""The files of a store: a folder, or any URL that fsspec knows; what is written appears whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from medidiff.errors import InputError, OutputError
from medidiff.io.atomic import atomic_open


class Files(Protocol):
    """What a store asks of the place it lies in; paths are relative, with forward slashes."""

    def read(self, path: str) -> bytes:
        """The bytes of a file; FileNotFoundError where there is none."""
        ...

    def exists(self, path: str) -> bool:
        """Whether a file is there."""
        ...

    def write(self, path: str, content: bytes) -> None:
        """Write one file, whole or not at all."""
        ...

    def write_folder(self, path: str, files: Mapping[str, bytes], last: str) -> None:
        """Write a folder of files so that `last` is there only when all others are; replaces what was there."""
        ...

    def empty(self) -> bool:
        """Whether nothing lies here yet."""
        ...

    def zarr(self, path: str) -> Any:
        """A zarr store for reading."""
        ...


class LocalFiles:
    """A folder on this machine.

    Args:
        root: The folder; made on the first write.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, path: str) -> bytes:
        """See `Files`."""
        return (self.root / path).read_bytes()

    def exists(self, path: str) -> bool:
        """See `Files`."""
        return (self.root / path).is_file()

    def write(self, path: str, content: bytes) -> None:
        """See `Files`; fsynced and renamed."""
        target = self.root / path
        _make(target.parent)
        with atomic_open(target) as file:
            file.write(content)

    def write_folder(self, path: str, files: Mapping[str, bytes], last: str) -> None:
        """See `Files`: written and fsynced under another name, then renamed, whatever `last` is."""
        target = self.root / path
        partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
        try:
            for name, content in files.items():
                _make((partial / name).parent)
                with open(partial / name, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            try:
                partial.rename(target)
            except OSError:  # the scan is there already, perhaps just written by another process
                if not target.is_dir():
                    raise
                shutil.rmtree(target, ignore_errors=True)
                partial.rename(target)
        except OSError as error:
            raise OutputError(
                f"{target}: cannot be written ({error.strerror or error}). Free space or check."
            ) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def empty(self) -> bool:
        """See `Files`."""
        return not self.root.exists() or not any(self.root.iterdir())

    def zarr(self, path: str) -> Any:
        """See `Files`."""
        from zarr.storage import LocalStore

        return LocalStore(self.root / path, read_only=True)


class RemoteFiles:
    """A place that fsspec reaches: `s3://bucket/cohort`, `memory://cohort`.

    Args:
        url: With its scheme.

    Raises:
        InputError: No such scheme, or the package that serves it is not installed.
    """

    def __init__(self, url: str) -> None:
        import fsspec

        self.url = url.rstrip("/")
        try:
            self.fs, self.root = fsspec.core.url_to_fs(self.url)
        except (ValueError, ImportError) as error:
            raise InputError(f"store {url}: cannot be reached ({error}).") from error

    def read(self, path: str) -> bytes:
        """See `Files`."""
        return self.fs.cat_file(f"{self.root}/{path}")

    def exists(self, path: str) -> bool:
        """See `Files`."""
        return bool(self.fs.isfile(f"{self.root}/{path}"))

    def write(self, path: str, content: bytes) -> None:
        """See `Files`: an object of an object store appears whole."""
        try:
            self.fs.makedirs(f"{self.root}/{path}".rsplit("/", 1)[0], exist_ok=True)
            self.fs.pipe_file(f"{self.root}/{path}", content)
        except OSError as error:
            raise OutputError(f"{self.url}/{path}: cannot be written ({error.strerror or error}).") from error

    def write_folder(self, path: str, files: Mapping[str, bytes], last: str) -> None:
        """See `Files`: `last` is removed first and written last."""
        if self.exists(f"{path}/{last}"):
            self.fs.rm_file(f"{self.root}/{path}/{last}")
        for name in (*(name for name in files if name != last), last):
            self.write(f"{path}/{name}", files[name])

    def empty(self) -> bool:
        """See `Files`."""
        return not self.fs.exists(self.root) or not self.fs.ls(self.root)

    def zarr(self, path: str) -> Any:
        """See `Files`."""
        from zarr.storage import FsspecStore

        return FsspecStore.from_url(f"{self.url}/{path}", read_only=True)


def open_files(url: str | Path) -> LocalFiles | RemoteFiles:
    """The place a URL or path names; nothing is read yet."""
    text = str(url)
    if "://" not in text:
        return LocalFiles(Path(text).expanduser())
    if text.startswith("file://"):
        return LocalFiles(Path(text.removeprefix("file://")))
    return RemoteFiles(text)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror}). Choose another folder.") from error


__all__ = ["Files", "LocalFiles", "RemoteFiles", "open_files"]
