"""Loggers by configuration: which there are, what a missing package costs, and MLflow and W&B by stand-ins."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from medidiff.errors import ConfigError
from medidiff.training import loggers
from medidiff.training.loggers import check_loggers, log_picture, make_loggers
from medidiff.training.watch_config import LoggingConfig, MlflowConfig, WandbConfig


def names(made: list[Any]) -> list[str]:
    return [type(logger).__name__ for logger in made]


def test_csv_and_tensorboard_are_the_default(tmp_path: Path) -> None:
    assert names(make_loggers(LoggingConfig(), tmp_path, "run")) == ["CSVLogger", "TensorBoardLogger"]
    assert make_loggers(LoggingConfig(csv=False, tensorboard=False), tmp_path, "run") == []


@pytest.mark.parametrize(("how", "package"), [
    (LoggingConfig(mlflow=MlflowConfig()), "pip install mlflow-skinny"),
    (LoggingConfig(wandb=WandbConfig()), "pip install wandb"),
])  # fmt: skip
def test_a_missing_package_is_named_with_its_command(
    how: LoggingConfig, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loggers, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=package):
        check_loggers(how)


class _Stand:
    """Takes the place of Lightning's logger, which needs the package."""

    made: list[dict[str, Any]]

    def __init__(self, *args: Any, **options: Any) -> None:
        self.options = {"args": args, **options}
        self.run_id = options.get("run_id") or "run-7"
        self.experiment = SimpleNamespace()
        type(self).made.append(self.options)


def test_mlflow_stays_in_the_folder_and_goes_on_after_a_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand = type("MLFlowLogger", (_Stand,), {"made": []})
    monkeypatch.setattr("lightning.pytorch.loggers.MLFlowLogger", stand)
    monkeypatch.setattr(loggers, "find_spec", lambda name: object())
    how = LoggingConfig(csv=False, tensorboard=False, mlflow=MlflowConfig(experiment="site"))
    make_loggers(how, tmp_path, "brain")
    make_loggers(how, tmp_path, "brain")
    first, second = stand.made
    assert first["tracking_uri"] == f"file:{tmp_path / 'mlruns'}"
    assert (first["args"], first["run_name"], first["run_id"]) == (("site",), "brain", None)
    assert second["run_id"] == "run-7"


def test_wandb_is_offline_unless_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand = type("WandbLogger", (_Stand,), {"made": []})
    monkeypatch.setattr("lightning.pytorch.loggers.WandbLogger", stand)
    monkeypatch.setattr(loggers, "find_spec", lambda name: object())
    make_loggers(LoggingConfig(csv=False, tensorboard=False, wandb=WandbConfig()), tmp_path, "brain")
    assert stand.made[0]["offline"] is True
    assert stand.made[0]["save_dir"] == tmp_path


def test_a_logger_that_cannot_start_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise ConnectionError("no answer from http://tracker:5000")

    monkeypatch.setattr("lightning.pytorch.loggers.MLFlowLogger", refuse)
    monkeypatch.setattr(loggers, "find_spec", lambda name: object())
    with pytest.raises(ConfigError, match=r"logging\.mlflow: cannot start \(ConnectionError: no answer from http"):
        make_loggers(LoggingConfig(mlflow=MlflowConfig()), tmp_path, "brain")


def test_the_real_package_is_not_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without `logging.mlflow` nothing of it is imported, installed or not."""
    broken = ModuleType("mlflow")
    broken.__getattr__ = lambda name: pytest.fail("mlflow was touched")  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "mlflow", broken)
    make_loggers(LoggingConfig(tensorboard=False), tmp_path, "run")


def test_pictures_reach_every_logger_in_its_own_way() -> None:
    seen: list[tuple[Any, ...]] = []
    board = SimpleNamespace(add_image=lambda *a, **k: seen.append(("board", *a, k)))
    flow = SimpleNamespace(log_image=lambda *a, **k: seen.append(("flow", *a, k)))
    several = [
        SimpleNamespace(experiment=board),
        SimpleNamespace(experiment=object(), log_image=lambda **k: seen.append(("wandb", k))),
        SimpleNamespace(experiment=flow, run_id="r"),
        SimpleNamespace(experiment=object()),  # csv
    ]
    several[1].log_image = lambda name, pictures, step: seen.append(("wandb", name, len(pictures), step))
    log_picture(several, "val", np.zeros((2, 2, 3), np.uint8), 9)
    assert [entry[0] for entry in seen] == ["board", "wandb", "flow"]
    assert seen[1] == ("wandb", "val", 1, 9)
    assert seen[2][-1] == {"key": "val", "step": 9}


@pytest.mark.parametrize("tree", [{"mlflow": {"uri": "x"}}, {"comet": {}}, {"tensorboard": "perhaps"}])
def test_unknown_keys_are_refused(tree: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        LoggingConfig.model_validate(tree)
