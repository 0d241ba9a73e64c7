"""One whole notebook on containers, as a user starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import docker
import msgspec
import pytest

from perflab.measure.results import read_results

PROFILES = Path(__file__).parent / "fixtures" / "profiles.toml"

NOTEBOOKS = ("01_database", "03_cache", "04_api")
IMAGES = ("PERFLAB_POSTGRES_IMAGE", "PERFLAB_REDIS_IMAGE")

pytestmark = [pytest.mark.docker, pytest.mark.slow]


@pytest.mark.timeout(600)
def test_whole_notebooks_run_on_containers(docker_images: None, tmp_path: Path) -> None:
    run = tmp_path / "run"
    perflab = str(Path(sys.executable).with_name("perflab"))
    options = ["--profile", "smoke", "--services", "docker", "--out", str(run)]
    with subprocess.Popen(
        [perflab, "run", *NOTEBOOKS, *options],
        env={**os.environ, "PERFLAB_PROFILES": str(PROFILES)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        output, _ = process.communicate()
    assert process.returncode == 0, output
    image = os.environ["PERFLAB_POSTGRES_IMAGE"]
    assert f"postgres: docker (image {image} in Docker" in output

    versions = "PostgreSQL {}.", ", Redis {}."
    for name in NOTEBOOKS:
        results = read_results(run / "results" / f"{name}.json")
        assert {result.origin.rung for result in results} == {"docker"}
        (version,) = {result.origin.server_version for result in results}
        for variable, form in zip(IMAGES, versions, strict=True):
            assert form.format(os.environ[variable].rpartition(":")[2]) in version
        book = json.loads((run / "notebooks" / f"{name}.ipynb").read_text())
        code = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
        assert all(cell["execution_count"] for cell in code)
        assert not [o for cell in code for o in cell["outputs"] if o["output_type"] == "error"]
    environment = msgspec.json.decode((run / "environment.json").read_bytes())
    assert {facts["rung"] for facts in environment["servers"].values()} == {"docker"}
    assert set(environment["servers"]) == {"postgres", "redis", "edge"}
    assert environment["servers"]["redis"]["version"].startswith(
        os.environ["PERFLAB_REDIS_IMAGE"].rpartition(":")[2]
    )
    client = docker.from_env()
    named = {"name": f"perflab-{process.pid}-"}
    left = [*client.containers.list(all=True, filters=named), *client.volumes.list(filters=named)]
    client.close()
    assert [thing.name for thing in left if "-kept-" not in thing.name] == []
