"""`make demo`: a local cluster, the guide typed command by command under load, the load clients' reports."""

import os
import shutil
import sys
from pathlib import Path

from demo.play import ROOT, Failed, Played, environment, play
from demo.shell import Shell


def main() -> int:
    """Play the demo; 0 only if every step did what it says and no request failed."""
    back, keep = bool(os.environ.get("ROLLBACK")), bool(os.environ.get("KEEP"))
    home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "linnet-demo"
    run = Path(os.environ.get("XDG_RUNTIME_DIR") or "/run") / "linnet-demo"
    for folder in (home, run):
        folder.mkdir(parents=True, exist_ok=True)
    with Shell(environment(home, run), directory=str(ROOT)) as shell:
        if not shutil.which("kubectl"):
            _say("# no kubectl on this machine: linnet kubectl, a thin client, takes its place")
            shell.quiet('kubectl() { linnet kubectl "$@"; }')
        code = 1
        try:
            for command in ("linnet local up", 'eval "$(linnet local env)"'):
                outcome = shell.type(command)
                if outcome.code:
                    raise Failed(f"exit code {outcome.code}: {command}")
            played = play(shell, "Back" if back else "Forward", _say)
            code = _report(played)
        except Failed as problem:
            _say(f"\nThe demo stopped: {problem}")
        finally:
            if keep:
                _say(_KEPT.format(home=home, run=run, bin=ROOT / ".venv" / "bin"))
            else:
                shell.type("linnet local down --purge")
    _say(_NEXT if code == 0 else "\nTo look at what is left: make demo KEEP=1")
    return code


def _report(played: Played) -> int:
    _say("\n# What the load clients saw\n")
    _say(played.gateway.text.rstrip())
    for pod, report in sorted(played.callers.items()):
        _say(f"{pod}: {report.requests} requests, {report.failed} failed (service to service)")
    _say(f"\n{played.requests} requests in all, {played.failed} failed.")
    return 1 if played.failed or not played.requests else 0


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
  docs/canary-upgrade.md   the commands, to type yourself
"""

if __name__ == "__main__":
    sys.exit(main())
