"""The demo from an older Linnet with an older Envoy: what is put into the catalogue, and what installs it."""

from collections.abc import Mapping

from tools.images.building import is_built, place, versions

from demo.play import ROOT

OLDER = versions()[0]
OLDER_ENVOY = "1.38"
ENVOY_FOLDER = ROOT / "build" / "envoy" / OLDER_ENVOY
IMAGE = f"linnet/proxyv2:{OLDER.version}-envoy-{OLDER_ENVOY}"
ISTIOCTL = place(OLDER) / "bin" / "istioctl"


def missing() -> str:
    """What has to be built first; empty when all is there."""
    if is_built(OLDER) and ENVOY_FOLDER.is_dir():
        return ""
    return f"Linnet {OLDER.version} or Envoy {OLDER_ENVOY} is not built: make images"


def commands() -> list[str]:
    """Put both into the image catalogue of the cluster that runs."""
    return [
        f"linnet local images add envoy:{OLDER_ENVOY} --from {ENVOY_FOLDER}",
        f"linnet local images add linnet:{OLDER.version} --from {place(OLDER)}",
    ]


def install(revision: str) -> str:
    """The older version's own command, with the older Envoy for sidecars and gateways."""
    return f"{ISTIOCTL} install --set revision={revision} --set values.global.proxy.image={IMAGE} -y"


def instead() -> Mapping[str, str]:
    """The guide's first command is typed for the older version."""
    return {"istioctl install --set revision=1-0-0 -y": install("1-0-0")}
