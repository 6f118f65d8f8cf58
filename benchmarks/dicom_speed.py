"""A folder of 2000 slices, files to voxels in memory, beside dcm2niix: `python -m benchmarks.dicom_speed`.

Warm cache, the two in turn, every run in a process of its own. Prints medians, peak memory, and what bounds medidiff.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PIXELS = 512
TARGET = 3.0
_MEDIDIFF = """
import resource, sys, time
from pathlib import Path
begin = time.perf_counter()
from medidiff.io.dicom.choose import choose
from medidiff.io.dicom.read import read_candidate
from medidiff.io.dicom.scan import scan_dicom
imported = time.perf_counter()
candidate = choose(scan_dicom(Path(sys.argv[1])), None)
scanned = time.perf_counter()
volume = read_candidate(candidate).volume
end = time.perf_counter()
print(imported - begin, scanned - imported, end - scanned, volume.data.nbytes)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def main() -> None:
    """Make the folder, time both, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=None, help="where the slices are, made if absent, and stay")
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp(prefix="medidiff-speed-"))
    try:
        if len(list(folder.glob("*.dcm"))) != args.slices:
            make_series(folder, args.slices)
        report(folder, args.slices, args.repeats)
    finally:
        if args.folder is None:
            shutil.rmtree(folder)


def make_series(folder: Path, slices: int) -> None:
    """A CT series of int16 slices, noise over a slope, names in no order of space."""
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    noise = generator.integers(-1000, 2000, (8, PIXELS, PIXELS), dtype=np.int16)
    study, series, frame = (
        generate_uid(entropy_srcs=["medidiff-speed", part]) for part in ("study", "series", "frame")
    )
    for k, name in enumerate(generator.permutation(slices)):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["medidiff-speed", str(k)])
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = study, series, frame
        ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "CT", 1, k + 1
        ds.PatientName, ds.PatientID, ds.Manufacturer = "Speed^Test", "SPEED", "medidiff"
        ds.StudyDate, ds.StudyTime, ds.ImageType = "20200101", "120000", ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.PixelSpacing, ds.SliceThickness = [0.7, 0.7], 0.5
        ds.ImageOrientationPatient, ds.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [-180.0, -180.0, 0.5 * k]
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.Rows, ds.Columns = PIXELS, PIXELS
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = 1, -24, "HU"
        ds.PixelData = np.roll(noise[k % 8], k).tobytes()
        pydicom.dcmwrite(folder / f"{name:05d}.dcm", ds, enforce_file_format=True)


def report(folder: Path, slices: int, repeats: int) -> None:
    """Alternate the two and print."""
    for file in folder.iterdir():  # into the cache
        file.read_bytes()
    ours, theirs, reads = [], [], []
    for _ in range(repeats):
        ours.append(run_medidiff(folder))
        theirs.append(run_dcm2niix(folder))
        reads.append(read_bytes(folder))
    parts = [statistics.median(run[i] for run in ours) for i in range(4)]
    other = statistics.median(seconds for seconds, _ in theirs)
    print(f"{slices} slices of {PIXELS} x {PIXELS} int16, median of {repeats}, the two in turn, warm cache\n")
    print("| | seconds | peak memory, MiB |\n|---|---|---|")
    print(f"| medidiff, files to float32 | {parts[0]:.2f} | {max(run[4] for run in ours) / 2**20:.0f} |")
    print(f"| dcm2niix -z n -b n, files to NIfTI | {other:.2f} | {max(peak for _, peak in theirs) / 2**20:.0f} |")
    ratio = parts[0] / other
    print(
        f"\n{ratio:.2f} times dcm2niix's time; at most {TARGET:g}: {'holds' if ratio <= TARGET else 'DOES NOT HOLD'}."
    )
    print(
        f"Of medidiff's time: start and imports {parts[0] - parts[2] - parts[3]:.2f} s, headers {parts[2]:.2f} s "
        f"({1e3 * parts[2] / slices:.2f} ms a file), voxels {parts[3]:.2f} s. Only reading all bytes of the files: "
        f"{statistics.median(reads):.2f} s."
    )


def run_medidiff(folder: Path) -> tuple[float, float, float, float, float]:
    """Seconds in all, for imports, headers, voxels; peak bytes."""
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", _MEDIDIFF, str(folder)], capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - begin
    times, peak = done.stdout.splitlines()
    imports, headers, voxels, _ = map(float, times.split())
    return seconds, imports, headers, voxels, float(peak)


def run_dcm2niix(folder: Path) -> tuple[float, float]:
    """Seconds and peak bytes."""
    program = shutil.which("dcm2niix") or str(Path(sys.executable).with_name("dcm2niix"))
    with tempfile.TemporaryDirectory(dir=folder.parent) as output:
        begin = time.perf_counter()
        process = subprocess.Popen(
            [program, "-z", "n", "-b", "n", "-o", output, str(folder)], stdout=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"dcm2niix: exit {process.returncode}")
    return seconds, usage.ru_maxrss * 1024.0


def read_bytes(folder: Path) -> float:
    """Seconds for reading every byte, one file after the other."""
    begin = time.perf_counter()
    for file in folder.iterdir():
        file.read_bytes()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
