"""Many runs of the command line without many starts of Python: a process that forks for each.

Reads one JSON line per run, `{"args": [...], "env": {...}, "output": PATH}`; prints its pid, then its exit
code (negative: the signal). Each run is a process of its own and can be killed like any other.
"""

import json
import os
import sys
from importlib import import_module

MODULES = (
    "linnet.cli.install",
    "linnet.cli.installation",
    "linnet.cli.uninstall",
    "linnet.install.lock",
    "linnet.objects.crd",
    "linnet.upgrade.gateways",
    "ruamel.yaml",
)


def main() -> None:
    """Serve standard input until it ends."""
    for name in MODULES:
        import_module(name)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _run(order)
        print(pid, flush=True)
        status = os.waitpid(pid, 0)[1]
        print(os.waitstatus_to_exitcode(status), flush=True)


def _run(order: dict[str, object]) -> None:
    from linnet.cli.__main__ import main as linnet

    args, env, output = order["args"], order["env"], order["output"]
    assert isinstance(args, list)
    assert isinstance(env, dict)
    os.environ.update(env)
    sys.argv = ["linnet", *args]
    target = os.open(str(output), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for number in (1, 2):
        os.dup2(target, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    code = 1
    try:
        linnet()
        code = 0
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
