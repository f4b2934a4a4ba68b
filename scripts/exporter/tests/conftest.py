"""What the tests share: tiny checkpoints with random weights, made once for the whole run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # no test asks the hub

import torch  # noqa: E402

from fixture_checkpoints import ENCODERS, make_checkpoint  # noqa: E402
from labelstream_export.export import export  # noqa: E402
from labelstream_export.tasks import SEQUENCE_CLASSIFICATION  # noqa: E402

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A checkpoint folder for each architecture; not to be changed."""
    root = tmp_path_factory.mktemp("checkpoints")
    for architecture in ENCODERS:
        make_checkpoint(architecture, root / architecture)
    return {architecture: root / architecture for architecture in ENCODERS}


@pytest.fixture(scope="session")
def exported(
    checkpoints: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """A model folder for each architecture; not to be changed."""
    root = tmp_path_factory.mktemp("models")
    for architecture, checkpoint in checkpoints.items():
        export(checkpoint=str(checkpoint), task=SEQUENCE_CLASSIFICATION, output=root / architecture)
    return {architecture: root / architecture for architecture in checkpoints}
