"""`make soak`: CYCLES=10 RATE=500 SEED=1 FAULTS=0 GRACE=15 LIFE=0; exit code 1 when anything was lost."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import msgspec

from soak.cycle import Failed
from soak.soaking import Plan, Soaked, soak
from soak.verdict import added, table


def main() -> int:
    """Soak, and say what the load clients counted."""
    try:
        plan = _plan()
    except msgspec.ValidationError as error:
        _say(f"soak: {error}; CYCLES, SEED and GRACE are whole numbers, RATE and LIFE numbers, FAULTS 0 or 1")
        return 2
    home = Path(tempfile.mkdtemp(prefix="ls-"))  # short: sockets have paths of at most 107 bytes
    try:
        soaked = soak(plan, home / "s", home / "r", _say)
    except (Failed, TimeoutError) as problem:
        _say(f"\nThe soak stopped: {problem}")
        return 1
    finally:
        shutil.rmtree(home, ignore_errors=True)
    _say(told(soaked))
    return 1 if soaked.bad else 0


def _plan() -> Plan:
    given = {name: os.environ.get(name.upper(), "") for name in Plan.__struct_fields__}
    return msgspec.convert({name: value for name, value in given.items() if value}, Plan, strict=False)


def told(soaked: Soaked) -> str:
    """The result for people."""
    counts = added(soaked.reports.values())
    requests = sum(held["requests"] for held in counts.values())
    rate = requests / soaked.seconds
    lines = [
        f"\n# {len(soaked.reports)} load clients in {soaked.seconds:.0f} s, {rate:.0f} requests a second\n",
        table(counts),
        *(fault.line for fault in soaked.faults),
        *(one.line for one in soaked.failures),
        *(f"{pod} gave no report" for pod in soaked.silent),
    ]
    lost = sum(not one.excuse for one in soaked.failures)
    lines.append(
        f"\n{len(soaked.failures)} failures, {len(soaked.failures) - lost} of them excused, {lost} lost."
    )
    return "\n".join(lines)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
