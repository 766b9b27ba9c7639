"""What a run has measured, as it is kept in a file, and the figures that follow from it."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path

from loadtest.peers.target import REFERENCE


@dataclass(frozen=True)
class Sample:
    """One case on one target in one round. ``error`` says why there are no figures; else it is empty."""

    case: str
    target: str
    round: int
    figures: dict[str, float] = field(default_factory=dict)
    error: str = ""


@dataclass
class Record:
    """A whole run."""

    measured: str
    """Date in UTC."""
    commit: str
    machine: dict[str, str]
    load: float
    """Of the machine, before the run."""
    rounds: int
    seconds: int
    versions: dict[str, str]
    missing: dict[str, str]
    """Targets that could not be measured, and why."""
    differences: dict[str, list[str]]
    """What a target does not do of the work that all should do."""
    samples: list[Sample] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """One sample a line, so that two runs can be compared by eye."""
        path.parent.mkdir(parents=True, exist_ok=True)
        fields = asdict(self)
        samples = ",\n  ".join(json.dumps(_rounded(sample)) for sample in fields.pop("samples"))
        path.write_text(json.dumps(fields, indent=1)[:-2] + f',\n "samples": [\n  {samples}\n ]\n}}\n')

    @classmethod
    def load_from(cls, path: Path) -> Record:
        fields = json.loads(path.read_text())
        return cls(**fields | {"samples": [Sample(**sample) for sample in fields["samples"]]})

    def targets(self) -> list[str]:
        """In the order in which they were measured."""
        return list(dict.fromkeys(sample.target for sample in self.samples))

    def figure(self, case: str, target: str, name: str) -> float | None:
        """The median of the rounds; None when there is none."""
        found = list(self._rounds(case, target, name).values())
        return statistics.median(found) if found else None

    def ratio(self, case: str, target: str, name: str, to: str = REFERENCE) -> float | None:
        """The median of the ratios within each round: the machine was the same for both. None when there is none."""
        base = self._rounds(case, to, name)
        found = [value / base[number] for number, value in self._rounds(case, target, name).items() if base.get(number)]
        return statistics.median(found) if found else None

    def spread(self, case: str, target: str, name: str) -> tuple[float, float] | None:
        """The least and the greatest of the rounds."""
        found = self._rounds(case, target, name).values()
        return (min(found), max(found)) if found else None

    def errors(self) -> list[Sample]:
        return [sample for sample in self.samples if sample.error]

    def _rounds(self, case: str, target: str, name: str) -> dict[int, float]:
        return {
            sample.round: sample.figures[name]
            for sample in self.samples
            if (sample.case, sample.target) == (case, target) and name in sample.figures
        }


def _rounded(sample: dict[str, object]) -> dict[str, object]:
    figures = sample["figures"]
    assert isinstance(figures, dict)
    return sample | {"figures": {name: round(value, 3) for name, value in figures.items()}}
