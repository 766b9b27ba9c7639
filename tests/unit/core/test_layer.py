from __future__ import annotations

import pytest
from unit.scene import exchange

from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, Layer, chain


def noting(name: str, path: list[str]) -> Layer:
    def layer(next_handler: Handler) -> Handler:
        async def handle(ex: Exchange) -> None:
            path.append(f"{name} in")
            try:
                await next_handler(ex)
            finally:
                path.append(f"{name} out")

        return handle

    return layer


async def test_the_first_layer_is_the_outermost() -> None:
    path: list[str] = []

    async def terminal(ex: Exchange) -> None:
        path.append("terminal")

    await chain(terminal, noting("outer", path), noting("inner", path))(exchange())
    assert path == ["outer in", "inner in", "terminal", "inner out", "outer out"]


async def test_an_error_passes_every_layer_on_its_way_out() -> None:
    path: list[str] = []

    async def terminal(ex: Exchange) -> None:
        raise ValueError("a defect")

    with pytest.raises(ValueError, match="a defect"):
        await chain(terminal, noting("outer", path), noting("inner", path))(exchange())
    assert path[-2:] == ["inner out", "outer out"]


def test_without_layers_the_terminal_stands_alone() -> None:
    async def terminal(ex: Exchange) -> None: ...

    assert chain(terminal) is terminal
