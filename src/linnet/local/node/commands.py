"""The process of a container (pure): arguments, user, capabilities from pod, image and environment."""

from collections.abc import Sequence

from linnet.local.node import images
from linnet.local.node.capabilities import DEFAULT, NAMES, WITHHELD
from linnet.local.node.container_spec import Container
from linnet.local.node.environment import Missing, expand_all
from linnet.local.node.images import Image
from linnet.local.node.runtime import Command, Mount
from linnet.local.node.spec import Pod


def command(
    pod: Pod,
    container: Container,
    image: Image,
    env: tuple[tuple[str, str], ...],
    mounts: tuple[Mount, ...],
) -> Command:
    """What is started for a container.

    Raises:
        Missing: nothing to run, or a user that the pod forbids; in the words of the kubelet.
    """
    variables = dict(env)
    argv = images.argv(image, expand_all(container.command, variables), expand_all(container.args, variables))
    if not argv:
        raise Missing(f'no command specified: image "{container.image}" brings none, so set command')
    own, shared = container.security_context, pod.spec.security_context
    uid = shared.run_as_user if own.run_as_user is None else own.run_as_user
    gid = shared.run_as_group if own.run_as_group is None else own.run_as_group
    non_root = shared.run_as_non_root if own.run_as_non_root is None else own.run_as_non_root
    if non_root and uid == 0:
        raise Missing(
            f'container\'s runAsUser breaks non-root policy (pod: "{pod.label}", container: {container.name})'
        )
    of_volumes = () if shared.fs_group is None else (shared.fs_group,)
    return Command(
        argv=argv,
        env=env,
        cwd=container.working_dir or "/",
        uid=uid,
        gid=gid,
        groups=(*of_volumes, *shared.supplemental_groups),
        capabilities=capabilities(container),
        mounts=mounts,
        read_only_root=own.read_only_root_filesystem,
        tty=container.tty,
    )


def capabilities(container: Container) -> tuple[str, ...] | None:
    """The capabilities that a container keeps; None: the default set.

    Source: Kubernetes, securityContext.capabilities: drop first, then add; ALL means every one.
    """
    security = container.security_context
    if security.privileged:
        return NAMES
    change = security.capabilities
    if change is None or not (change.add or change.drop):
        return None
    dropped = {name.removeprefix("CAP_") for name in change.drop}
    added = {name.removeprefix("CAP_") for name in change.add}
    base = NAMES if "ALL" in added else DEFAULT
    kept = (
        [name for name in base if "ALL" not in dropped and name not in dropped]
        if "ALL" not in added
        else base
    )
    return tuple(dict.fromkeys((*kept, *(name for name in NAMES if name in added))))


def withheld(container: Container) -> str:
    """Which of the rights that a container asks for no container gets, in words; empty: none."""
    security = container.security_context
    lost = sorted(WITHHELD.intersection(capabilities(container) or ()))
    if not lost:
        return ""
    asked = "privileged: true" if security.privileged else "capabilities.add"
    return (
        f"{asked}: the local cluster gives no container rights over this machine; it starts without"
        f" {', '.join(lost)}"
    )


def start_failure(error: OSError, argv: Sequence[str]) -> str:
    """Why a program could not be started, in the words of container engines."""
    program = argv[0] if argv else ""
    if isinstance(error, FileNotFoundError):
        missing = f"stat {program}: no such file or directory"
        reason = missing if "/" in program else "executable file not found in $PATH"
        why = f'exec: "{program}": {reason}'
    elif isinstance(error, PermissionError):
        why = f'exec: "{program}": permission denied'
    else:
        why = error.strerror or str(error)
    return f"unable to start container process: {why}: unknown"
