"""The smallest run: 20 thousand weights, 12 steps, two procedural volumes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml


@pytest.fixture(scope="session")
def tiny_config() -> Callable[..., Path]:
    """`tiny_config(folder, steps=12, **parts)` writes a configuration into `folder`, whose output is `folder`/out."""

    def write(folder: Path, steps: int = 12, **parts: Any) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        config: dict[str, Any] = {
            "name": "tiny",
            "output": str(folder / "out"),
            "seed": 3,
            "threads": 1,
            "precision": "float32",
            "checkpoint_minutes": 100,
            "log_every": 4,
            "validate_every": 6,
            "watch": {"distance": False},
            "data": {
                "root": str(folder),
                "cache": str(folder / "cache"),
                "patch": [8, 8, 8],
                "sources": [{"type": "procedural", "volumes": 2, "size": 16, "seed": 1}],
            },
            "network": {"widths": [8, 8], "blocks": [1, 1], "embedding": 8},
            "optimiser": {"batch": 2, "steps": steps, "warmup": 2},
        }
        path = folder / "tiny.yaml"
        path.write_text(yaml.safe_dump(config | parts))
        return path

    return write
