"""requirements/*.txt: what `make` and .ci/run install, each release with its hashes, and no name of a registry."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

import pytest
from meta.sources import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
BUILD = PYPROJECT["build-system"]["requires"]
COMPILE = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["mypyc"]["dependencies"]
PURPOSES = {
    "run": [*PROJECT["dependencies"], *BUILD],
    "load": [*PROJECT["dependencies"], *BUILD, *EXTRAS["load"]],
    "wheel": [*PROJECT["dependencies"], *BUILD, *COMPILE],
    "dev": [*PROJECT["dependencies"], *BUILD, *COMPILE, *(name for extra in EXTRAS.values() for name in extra)],
}
MAKEFILE = (ROOT / "Makefile").read_text()


def text(purpose: str) -> str:
    return (ROOT / f"requirements/{purpose}.txt").read_text()


def entries(purpose: str) -> dict[str, tuple[Requirement, frozenset[str]]]:
    """Name -> (the release and its marker, its hashes)."""
    found = {}
    for entry in re.split(r"\n(?=[a-z])", re.sub(r"(?m)^ *#.*\n", "", text(purpose)).strip()):
        requirement = Requirement(re.split(r"\s\\|\s--hash", entry)[0])
        hashes = frozenset(re.findall(r"--hash=(sha256:[0-9a-f]{64})(?![0-9a-f])", entry))
        found[canonicalize_name(requirement.name)] = (requirement, hashes)
    return found


@pytest.mark.parametrize("purpose", PURPOSES)
def test_each_release_is_exact_and_has_its_hashes(purpose: str) -> None:
    assert len(entries(purpose)) >= 30
    assert not [
        str(requirement)
        for requirement, hashes in entries(purpose).values()
        if not re.fullmatch(r"==[\w.]+", str(requirement.specifier)) or not hashes
    ]


@pytest.mark.parametrize("purpose", PURPOSES)
def test_the_lock_holds_what_the_project_asks_for(purpose: str) -> None:
    """Fails when pyproject.toml was changed and the lock was not: `make lock`."""
    locked = entries(purpose)
    for wanted in map(Requirement, PURPOSES[purpose]):
        requirement, _ = locked[canonicalize_name(wanted.name)]
        assert wanted.specifier.contains(str(requirement.specifier).removeprefix("==")), f"{wanted}: {requirement}"
        assert requirement.marker is None, "each Python and each platform needs it"


@pytest.mark.parametrize("purpose", sorted(set(PURPOSES) - {"dev"}))
def test_the_locks_agree(purpose: str) -> None:
    everything = entries("dev")
    for name, (requirement, hashes) in entries(purpose).items():
        assert (requirement.specifier, hashes) == (everything[name][0].specifier, everything[name][1])


def test_the_lock_of_make_run_is_light() -> None:
    assert not {"locust", "pytest", "mypy", "uv", "playwright", "gevent"} & set(entries("run"))


@pytest.mark.parametrize("purpose", PURPOSES)
def test_no_registry_is_named(purpose: str) -> None:
    assert "://" not in text(purpose)
    assert not re.search(r"(?m)^\s*(?:-i|--index|--extra-index|--find-links|--trusted-host)", text(purpose))


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_changed_lock_is_installed_again(purpose: str) -> None:
    stamp = ".installed" if purpose == "run" else f".installed-{purpose}"
    assert re.search(rf"(?m)^\$\(VENV\)/{stamp}: .*requirements/{purpose}\.txt", MAKEFILE)


def test_only_two_places_install_without_the_lock() -> None:
    """`LATEST=1`, and the peers, which are measured as they are offered today."""
    installs = re.findall(r"\$\((?:PIP_INSTALL|COMPILED_PIP)\) .*|\S+ -m pip (?:install|wheel) .*(?:\\\n.*)?", MAKEFILE)
    definitions = [line for line in installs if line.endswith("--no-input")]
    locked = re.compile("call LOCKED|--no-index|--require-hashes")
    free = [line for line in installs if not locked.search(line) and line not in definitions]
    assert len(definitions) == 2
    assert len(installs) >= 8
    assert [bool(re.search("--upgrade|-peers/", line)) for line in free] == [True, True], free


@pytest.mark.parametrize("place", ["Makefile", "grafana/Dockerfile", "docs/operations.md"])
def test_nothing_is_resolved_beside_the_lock(place: str) -> None:
    """pip refuses a lock with hashes when a newer release fits what another package wants with an extra."""
    locked = [line for line in (ROOT / place).read_text().splitlines() if "--require-hashes" in line]
    assert locked
    assert all("--no-deps" in line for line in locked)


def test_the_lock_is_complete() -> None:
    """Because pip does not look for what a locked release needs."""
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_image_is_installed_from_the_lock() -> None:
    dockerfile = (ROOT / "grafana/Dockerfile").read_text()
    installs = re.findall(r"pip install (.*?)(?= &&|\n)", dockerfile)
    assert len(installs) == 2
    assert "--require-hashes" in installs[0]
    assert "-r requirements/run.txt" in installs[0]
    assert "--no-deps" in installs[1]
    assert "--no-build-isolation" in installs[1]


def test_images_from_outside_are_pinned_by_digest() -> None:
    """Tags move. Ours is built here, from the Dockerfile."""
    texts = [(ROOT / "grafana" / name).read_text() for name in ("Dockerfile", "compose.yml")]
    named = [name for text in texts for name in re.findall(r"(?m)^\s*(?:FROM|image:) (\S+)", text)]
    foreign = [name for name in named if not name.startswith("breakwater-gateway:")]
    assert len(foreign) >= 3
    assert not [name for name in foreign if not re.fullmatch(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}", name)]
