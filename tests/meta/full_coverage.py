"""What the unit and property tests alone have to run line by line and branch by branch, and what they left out.

    coverage json -o - | python tests/meta/full_coverage.py

prints each gap as `file:line` and fails when there is one. These are the modules that admit, count and frame: what is
wrong there is wrong for every request, and shows late.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

WHOLE = (
    "gateway/actions/auth.py",
    "gateway/actions/fields.py",
    "gateway/actions/governance.py",
    "gateway/actions/input.py",
    "gateway/actions/merge.py",
    "gateway/actions/multipart.py",
    "gateway/actions/overrides.py",
    "gateway/actions/pages.py",
    "gateway/actions/patience.py",
    "gateway/actions/redaction.py",
    "gateway/actions/sigv4.py",
    "gateway/actions/summaries.py",
    "gateway/actions/template.py",
    "gateway/actions/values.py",
    "gateway/actions/tokens.py",
    "gateway/actions/tool_list.py",
    "gateway/core/trn.py",
    "gateway/policy/backoff.py",
    "gateway/policy/balance.py",
    "gateway/policy/adaptive.py",
    "gateway/policy/breaker.py",
    "gateway/policy/breaker_rules.py",
    "gateway/policy/breaker_store.py",
    "gateway/policy/budget.py",
    "gateway/policy/capacity.py",
    "gateway/policy/causes.py",
    "gateway/policy/circuit.py",
    "gateway/policy/codel.py",
    "gateway/policy/ejection.py",
    "gateway/policy/estimated_queue.py",
    "gateway/policy/group.py",
    "gateway/policy/health.py",
    "gateway/policy/hedge.py",
    "gateway/policy/latency.py",
    "gateway/policy/learned.py",
    "gateway/policy/lessons.py",
    "gateway/policy/limiter.py",
    "gateway/policy/machine.py",
    "gateway/policy/member.py",
    "gateway/policy/overload.py",
    "gateway/policy/queue.py",
    "gateway/policy/rate.py",
    "gateway/policy/rate_store.py",
    "gateway/policy/retry_after.py",
    "gateway/policy/retry.py",
    "gateway/policy/store.py",
    "gateway/policy/stores.py",
    "gateway/policy/token_line.py",
    "gateway/policy/waiting_line.py",
    "gateway/policy/window.py",
    "gateway/proxy/layers/balance.py",
    "gateway/proxy/layers/adapt.py",
    "gateway/proxy/layers/break_circuit.py",
    "gateway/proxy/layers/count_attempts.py",
    "gateway/proxy/layers/deadline.py",
    "gateway/proxy/layers/fall_back.py",
    "gateway/proxy/layers/hedge.py",
    "gateway/proxy/layers/limit.py",
    "gateway/proxy/layers/limit_attempts.py",
    "gateway/proxy/layers/limit_rate.py",
    "gateway/proxy/layers/retry.py",
    "gateway/proxy/layers/retry_within_budget.py",
    "gateway/proxy/layers/shadow_limit.py",
    "gateway/proxy/layers/shed.py",
    "gateway/proxy/hedged_attempt.py",
    "gateway/proxy/json_member.py",
    "gateway/proxy/race.py",
    "gateway/proxy/ranks.py",
    "gateway/proxy/replay.py",
    "gateway/proxy/retries.py",
    "gateway/proxy/collect.py",
    "gateway/proxy/rewrite_body.py",
    "gateway/proxy/usage_reader.py",
    "gateway/proxy/usage_watch.py",
    "gateway/wire/buffers.py",
    "gateway/wire/event_reader.py",
    "gateway/wire/fields.py",
    "gateway/wire/grammar.py",
    "gateway/wire/h1/chunked.py",
    "gateway/wire/h1/head.py",
    "gateway/wire/h2/budget.py",
    "gateway/wire/h2/encoder.py",
    "gateway/wire/h2/frame_reader.py",
    "gateway/wire/h2/frames.py",
    "gateway/wire/h2/hpack.py",
    "gateway/wire/h2/huffman.py",
    "gateway/wire/retry_after_field.py",
)


def gaps(report: Mapping[str, Any]) -> Iterator[str]:
    """Of a report by `coverage json`, with branches; a module that was not measured is a gap as a whole."""
    for file in WHOLE:
        measured = report["files"].get(file)
        if measured is None:
            yield f"{file}: not measured"
            continue
        yield from (f"{file}:{line}: never run" for line in measured["missing_lines"])
        yield from (f"{file}:{begin}: never goes on {_to(end)}" for begin, end in measured["missing_branches"])


def _to(line: int) -> str:
    """Below 0 coverage means the way out of the function."""
    return f"to line {line}" if line > 0 else "to its end"


if __name__ == "__main__":
    found = list(gaps(json.load(sys.stdin)))
    sys.stdout.write("".join(f"{gap}\n" for gap in found))
    sys.exit(bool(found))
