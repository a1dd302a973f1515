"""Build every version of versions.toml that is not built yet. Exit code 1: one is missing."""

import sys

from tools.images.building import NotBuilt, build, is_built, place, versions


def main() -> int:
    """Build what is missing."""
    code = 0
    for version in versions():
        try:
            target = place(version) if is_built(version) else build(version)
            print(f"linnet:{version.version} is in {target}")
        except NotBuilt as problem:
            print(f"images: {problem}", file=sys.stderr)
            code = 1
    if code == 0:
        print("to have one in the catalogue: linnet local images add linnet:VERSION --from DIR")
    return code


if __name__ == "__main__":
    sys.exit(main())
