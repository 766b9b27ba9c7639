"""The command `gateway`, and `python -m gateway`.

Signals are held before the imports of the command line take their second: a reload or a rotation of logs in that time
must not end the process that starts.
"""

from __future__ import annotations

from gateway import launch


def main() -> None:
    """Run the command line of this process."""
    launch.open_standard_descriptors()
    launch.hold_signals()
    launch.ends_soon()
    from gateway import cli
    from gateway.workers import confinement

    confinement.seal()  # also commands hold secrets, such as tokens and the values of `gateway secret set`

    cli.main(prog_name="gateway")


if __name__ == "__main__":
    main()
