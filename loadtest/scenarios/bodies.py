"""Large uploads and downloads at once, through a gateway that must not keep them."""

from __future__ import annotations

from load import pictures, promises
from load.findings import Findings
from load.scenario import Chart, Criterion, Scenario, Size
from load.users import Waiting
from load.variant import Variant
from load.wire import Answer
from work import Behaviour

__all__ = ["Mover"]

MEGABYTES = 10
SIZE = MEGABYTES << 20
BODY = bytes(SIZE)
UP, DOWN = "upload", "download"


class Mover(Waiting):
    """Every other user uploads, the others download, one body after the other."""

    def act(self, intended: float) -> None:
        if self.number % 2:
            self.timed(UP, intended, lambda: self.wire.ask("/answer", "POST", BODY))
        else:
            self.timed(DOWN, intended, self._download)

    def _download(self) -> Answer:
        answer = self.wire.ask(f"/bytes?n={SIZE}")
        if answer.length != SIZE:
            raise ConnectionResetError(f"{answer.length} bytes of {SIZE}")
        return answer


def variants(size: Size) -> tuple[Variant, ...]:
    """The rate is the number of bodies that are on their way at once."""
    users = max(2, int(size.rate))
    return (
        Variant("bodies", "Mover", users, size.seconds, users, {"max_concurrent": 100}, Behaviour(), patience=60.0),
    )


def peak(findings: Findings) -> float:
    values = [value for _, value in findings["bodies"].figure("rss")]
    return max(values) - values[0]


def pace(kind: str, findings: Findings) -> list[tuple[float, float]]:
    return [(at, count * MEGABYTES) for at, count in findings["bodies"].per_second("200", kind)]


def criteria(size: Size) -> tuple[Criterion, ...]:
    return (
        promises.all_good("bodies", UP),
        promises.all_good("bodies", DOWN),
        Criterion(
            "Bytes that the sidecar got, less those of the good uploads",
            "",
            lambda f: (f["bodies"].most("sidecar_received") / SIZE - uploads(f)) * MEGABYTES,
            "its own count, which may run ahead by the uploads that were under way at the last look",
            "MiB",
            at_least=-MEGABYTES * size.rate,
            at_most=MEGABYTES * size.rate,
        ),
        Criterion(
            "Growth of the memory at its peak",
            "",
            peak,
            "resident set of the worker, the largest of all looks less the first",
            "MiB",
            at_most=20,
        ),
    )


def uploads(findings: Findings) -> int:
    """Good ones of the whole run, the warm-up included."""
    return sum(second.good for second in findings["bodies"].record.kinds.get(UP, {}).values())


SCENARIO = Scenario(
    name="bodies",
    sentence="uploads and downloads of 10 MiB, eight at once",
    story="Four users upload bodies of 10 MiB and four download them, one after the other, as fast as it goes.",
    seconds=40,
    rate=8,
    variants=variants,
    criteria=criteria,
    charts=(
        Chart(
            "pace",
            "Bodies that came whole, at the second of their begin",
            "MiB/s",
            lambda f: {kind: pace(kind, f) for kind in (UP, DOWN)},
        ),
        pictures.memory("bodies"),
        pictures.figures("bodies", "Processor time", "share of a core", worker="cpu_worker", locust="cpu_locust"),
    ),
)
