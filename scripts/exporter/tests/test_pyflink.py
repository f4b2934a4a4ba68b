"""The PyFlink recipe of docs/sql.md as it stands, in Flink's own distribution, which PyPI has."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import bootstrap

REPOSITORY = bootstrap.REPOSITORY
JOB = REPOSITORY / "job/target/labelstream-job.jar"
LIB = REPOSITORY / "job/target/labelstream-lib.tar.gz"


@pytest.fixture(scope="module")
def pyflink() -> Path:
    """The folder of an environment with PyFlink."""
    for artefact in JOB, LIB:
        if not artefact.exists():
            pytest.skip(f"{artefact} is not there: mvn package makes it")
    if not (3, 9) <= sys.version_info[:2] <= (3, 12):
        pytest.skip(
            f"PyFlink 2.2 has no build for Python {sys.version_info[0]}.{sys.version_info[1]}"
        )
    folder = REPOSITORY / ".labelstream/pyflink"
    try:
        bootstrap.ensure_environment(folder, [bootstrap.HERE / "requirements-pyflink.txt"])
    except SystemExit as failure:
        pytest.skip(f"PyFlink could not be installed here: {failure}")
    return folder


def distribution(environment: Path, home: Path) -> Path:
    """PyFlink's Flink, with the Labelstream bundle in its lib/."""
    (flink,) = environment.glob("lib/python*/site-packages/pyflink")
    (home / "lib").mkdir(parents=True)
    for name in ("bin", "conf", "opt", "plugins", "log"):
        if (flink / name).exists():
            (home / name).symlink_to(flink / name)
    for jar in flink.glob("lib/*"):
        (home / "lib" / jar.name).symlink_to(jar)
    with tarfile.open(LIB) as bundle:
        bundle.extractall(home / "lib", filter="data")
    return home


def test_the_recipe_labels_texts(pyflink: Path, tmp_path: Path) -> None:
    (recipe,) = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs/sql.md").read_text(), re.S)
    script = tmp_path / "recipe.py"
    script.write_text(recipe.replace("file:///path/to/labelstream-job.jar", JOB.as_uri()))
    run = subprocess.run(
        [pyflink / "bin" / "python", script],
        cwd=REPOSITORY,
        env={**os.environ, "FLINK_HOME": str(distribution(pyflink, tmp_path / "flink"))},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-4000:]
    labels = dict(
        re.findall(r"\| +(What a wonderful film|Terrible service) \| +(\w+) \|", run.stdout)
    )
    assert labels == {"What a wonderful film": "POSITIVE", "Terrible service": "NEGATIVE"}, (
        run.stdout
    )
