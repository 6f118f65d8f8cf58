"""DICOM in and out: a tree of mixed files to volumes with their place in space, and volumes to derived series."""
