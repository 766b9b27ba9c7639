from __future__ import annotations

from pathlib import Path

from gateway.config import installation, values
from gateway.config.records import Document
from gateway.core.address import Address

HERE = (Address("127.0.0.1", 8080), Address("::1", 8080))


def test_the_name_stays_over_restarts_and_in_each_worker() -> None:
    name = installation.pseudonym(Path("/etc/gateway.yaml"), HERE)
    assert name == installation.pseudonym(Path("/etc/gateway.yaml"), HERE[::-1])
    assert values.pseudonym(name) == name
    assert name.startswith("breakwater-")


def test_each_installation_has_its_own() -> None:
    config = Path("/etc/gateway.yaml")
    names = {
        installation.pseudonym(config, HERE),
        installation.pseudonym(config, HERE[:1]),
        installation.pseudonym(Path("/etc/other.yaml"), HERE),
        installation.passing(),
        installation.passing(),
    }
    assert len(names) == 5


def test_it_tells_nothing_of_what_it_is_made_of() -> None:
    assert "8080" not in installation.pseudonym(Path("/etc/8080.yaml"), HERE)


def test_a_name_that_the_operator_gave_is_kept() -> None:
    config = Path("gateway.yaml")
    assert installation.named(Document(via="edge-1"), config).via == "edge-1"
    assert installation.named(Document(), config).via == installation.pseudonym(
        config, [one.address for one in Document().listen]
    )


def test_only_a_name_of_the_file_counts_as_written() -> None:
    config = Path("gateway.yaml")
    assert installation.written(installation.named(Document(via="edge-1"), config), config) == "edge-1"
    assert installation.written(installation.named(Document(), config), config) == ""
