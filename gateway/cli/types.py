"""Types that every command uses."""

from __future__ import annotations

from typing import Any

Json = Any
"""What a body of the admin API holds after parsing: the commands read it by the routes' documented shapes."""
