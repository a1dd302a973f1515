"""`make demo`: a local cluster, the guide typed command by command under load, the load clients' reports.

python -m demo [PAGE]       ROLLBACK=1: the way back   KEEP=1: leave the mesh up
                            OLDER=1: from an older Linnet with an older Envoy, which `make images` builds
"""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from demo import older
from demo.guide import PAGE
from demo.play import ROOT, Failed, Played, environment, play
from demo.shell import Shell


def main() -> int:
    """Play the demo; 0 only if every step did what it says and no request failed."""
    title = "Back" if os.environ.get("ROLLBACK") else "Forward"
    page = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "linnet-demo"
    run = Path(os.environ.get("XDG_RUNTIME_DIR") or "/run") / "linnet-demo"
    if os.environ.get("OLDER") and (missing := older.missing()):
        _say(missing)
        return 1
    for folder in (home, run):
        folder.mkdir(parents=True, exist_ok=True)
    variables = environment(home, run)
    code = 1
    try:
        code = _play(variables, title, page)
    except (Failed, EOFError, OSError) as problem:
        _say(f"\nThe demo stopped: {problem}")
    except KeyboardInterrupt:
        _say("\nThe demo was interrupted.")
        code = 130
    finally:
        if os.environ.get("KEEP"):
            _say(_KEPT.format(home=home, run=run, bin=ROOT / ".venv" / "bin"))
        else:
            code = _take_down(variables) or code
    _say(_NEXT if code == 0 else "\nTo look at what is left: make demo KEEP=1")
    return code


def _play(variables: Mapping[str, str], title: str, page: Path) -> int:
    with Shell(variables, directory=str(ROOT)) as shell:
        if not shutil.which("kubectl"):
            _say("# no kubectl on this machine: linnet kubectl, a thin client, takes its place")
            shell.quiet('kubectl() { linnet kubectl "$@"; }')
        first = ["linnet local up", 'eval "$(linnet local env)"']
        instead: Mapping[str, str] = {}
        if os.environ.get("OLDER"):
            first += older.commands()
            instead = older.instead()
        for command in first:
            outcome = shell.type(command)
            if outcome.code:
                raise Failed(f"exit code {outcome.code}: {command}")
        return _report(play(shell, title, _say, page=page, instead=instead))


def _take_down(variables: Mapping[str, str]) -> int:
    """In a shell of its own: an interrupt may have ended the other one."""
    with Shell(variables, directory=str(ROOT)) as shell:
        return shell.type("linnet local down --purge").code


def _report(played: Played) -> int:
    _say("\n# What the load clients saw\n")
    _say(played.gateway.text.rstrip())
    for pod, report in sorted(played.callers.items()):
        _say(f"{pod}: {report.requests} requests, {report.failed} failed (service to service)")
        if report.failed:
            _say(report.text.rstrip())
    _say(f"\n{played.requests} requests in all, {played.failed} failed.")
    silent = not played.gateway.requests or not any(report.requests for report in played.callers.values())
    return 1 if played.failed or silent else 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


_KEPT = """
The mesh is still up. To play with it:
  export XDG_STATE_HOME={home} XDG_RUNTIME_DIR={run} PATH={bin}:$PATH
  eval "$(linnet local env)"
  istioctl proxy-status
And to take it down: linnet local down --purge
"""
_NEXT = """
What to try next:
  make demo ROLLBACK=1     the way back
  make demo KEEP=1         leave the mesh up and play with it
  make demo OLDER=1        from an older Linnet with an older Envoy (after make images)
  docs/canary-upgrade.md   the commands, to type yourself
"""

if __name__ == "__main__":
    sys.exit(main())
