"""Sets of synthetic scans: made in shards, resumed after anything, told in a manifest, and verified."""
