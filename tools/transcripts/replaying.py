"""Replay one transcript: run its commands, compare what they print, say what differs."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from tools.transcripts.accepting import Accepted
from tools.transcripts.comparing import Bindings, match_block, normal, settled, without_version
from tools.transcripts.hooks import Served
from tools.transcripts.reading import Command, File, Transcript

_CONTEXT = "kubernetes-admin@kubernetes"
_NAMESPACE = re.compile(r"the current namespace is ([a-z0-9-]+)(?:, labelled ([a-z]+=[a-z]+))?")
_READING = re.compile(
    r"^kubectl (?:-n \S+ )?(?:get|describe|logs|auth|events|rollout (?:history|status))\b(?!.* -w)"
)
# kubectl walks a Go map; managers are sorted by the second in which they wrote
_UNORDERED = re.compile(r"^kubectl (?:label|annotate) .*--list\b|--show-managed-fields|managedFields")
_POLICY = re.compile(r"(?:webhookconfiguration|validatingadmissionpolic)\S* .*(?:created|configured|deleted)")
_GONE = "was refused - did you specify the right host or port?"
_TOO_SOON = "please wait before attempting to trigger another"
_LIMIT = 90.0  # seconds that one command may take
_PAUSE = 0.3  # seconds between two looks


class ClusterGone(RuntimeError):
    """The API server does not answer: nothing more can be compared."""


class Verdict(StrEnum):
    """What became of a command."""

    AGREED = "agreed"
    VERSION = "agreed but for kubectl's version"
    ACCEPTED = "differs, accepted"
    DIFFERS = "differs"


@dataclass(slots=True)
class Outcome:
    """One command with its verdict; `reason` for accepted ones, `shown` for those that differ."""

    command: Command
    verdict: Verdict
    reason: str = ""
    shown: str = ""


@dataclass(slots=True)
class Printed:
    """What a command did."""

    code: int
    stdout: str
    stderr: str


@dataclass(slots=True)
class Settings:
    """How to replay."""

    kubectl: str
    kubeconfig: Path
    hooks: Served
    accepted: Accepted
    patience: float  # seconds that a reading command may take to agree
    settle: float  # seconds until a webhook configuration acts
    outcomes: list[Outcome] = field(default_factory=list)


async def replay(transcript: Transcript, settings: Settings) -> list[Outcome]:
    """The outcome of every command, in order."""
    with tempfile.TemporaryDirectory(prefix="transcript-") as directory, closing(socket.socket()) as closed:
        closed.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        scenario = _Scenario(transcript, settings, Path(directory), closed.getsockname()[1])
        await scenario.prepare()
        outcomes = []
        for step in transcript.steps:
            if scenario.write(step):
                continue
            outcomes.append(await scenario.step(step))
            if _GONE in outcomes[-1].shown:
                raise ClusterGone(
                    f"{transcript.path.name}:{outcomes[-1].command.line}: no API server any more"
                )
        return outcomes


class _Scenario:
    """A transcript with its working directory."""

    def __init__(self, transcript: Transcript, settings: Settings, directory: Path, closed: int) -> None:
        self._transcript = transcript
        self._settings = settings
        self._work = directory / "work"
        self._bin = directory / "bin"
        self._home = directory / "home"
        self._tmp = directory / "tmp"
        for path in (self._work, self._bin, self._home, self._tmp):
            path.mkdir()
        self._kubeconfig = directory / "kubeconfig"
        self._substitutes = {
            "<hook-server>": settings.hooks.url,
            "<ca-bundle>": settings.hooks.ca_bundle,
            "<closed-port>": f"https://127.0.0.1:{closed}",
            "<closed-address>": f"127.0.0.1:{closed}",
        }
        self._bindings = Bindings()
        self._environment = {
            **{name: value for name, value in os.environ.items() if name in ("LANG", "LC_ALL")},
            "PATH": f"{self._bin}:{os.environ['PATH']}",
            "HOME": str(self._home),
            "TMPDIR": str(self._tmp),
            "KUBECONFIG": str(self._kubeconfig),
            "TERM": "dumb",
        }

    async def prepare(self) -> None:
        """kubectl, its configuration, and the namespace that the note speaks of."""
        found = shutil.which(self._settings.kubectl)
        if found is None:
            raise FileNotFoundError(f"no kubectl at {self._settings.kubectl!r}; name one with KUBECTL=")
        launcher = self._bin / "kubectl"
        launcher.write_text(f'#!/bin/bash\nexec -a kubectl "{found}" "$@"\n')  # it prints its own name
        launcher.chmod(0o755)
        shutil.copy(self._settings.kubeconfig, self._kubeconfig)
        current = (await self._run("kubectl config current-context")).stdout.strip()
        await self._run(f"kubectl config rename-context '{current}' '{_CONTEXT}'")
        noted = _NAMESPACE.search(self._transcript.note)
        if noted is None:
            return
        await self._run(f"kubectl create namespace {noted[1]}")
        if noted[2]:
            await self._run(f"kubectl label namespace {noted[1]} {noted[2]}")
        await self._run(f"kubectl config set-context --current --namespace={noted[1]}")
        await self._run("for n in $(seq 50); do kubectl get sa default && break; sleep 0.1; done")

    def write(self, step: Command | File) -> bool:
        """Put a manifest into the working directory; False for a command."""
        if not isinstance(step, File):
            return False
        (self._work / step.name).write_text(self._substituted(step.content))
        return True

    def _substituted(self, text: str) -> str:
        for placeholder, value in self._substitutes.items():
            text = text.replace(placeholder, value)
        return text

    async def step(self, step: Command | File) -> Outcome:
        """Run a command; reading ones again until they agree or patience ends."""
        assert isinstance(step, Command)
        until = time.monotonic() + self._settings.patience
        while True:
            printed = await self._run(self._substituted(step.text))
            outcome = self._judged(step, printed)
            again = _READING.match(step.text) or _TOO_SOON in printed.stderr
            if outcome.verdict is not Verdict.DIFFERS or time.monotonic() >= until or not again:
                break
            await asyncio.sleep(_PAUSE)
        if self._settings.settle and _POLICY.search(printed.stdout):
            await asyncio.sleep(self._settings.settle)
        if outcome.verdict is Verdict.DIFFERS:
            reason = self._settings.accepted.reason(self._transcript.path.name, step.text)
            if reason:
                return Outcome(step, Verdict.ACCEPTED, reason, outcome.shown)
        return outcome

    def _judged(self, step: Command, printed: Printed) -> Outcome:
        wanted = [normal(self._substituted(text)) for text in (step.stdout, step.stderr)]
        got = [normal(text) for text in (printed.stdout, printed.stderr)]
        if printed.code == step.code and self._matched(step.text, wanted, got):
            return Outcome(step, Verdict.AGREED)
        if printed.code == step.code and self._matched(
            step.text, [*map(settled, wanted)], [*map(settled, got)]
        ):
            return Outcome(step, Verdict.AGREED)
        plain_wanted, plain_got = [*map(without_version, wanted)], [*map(without_version, got)]
        if printed.code == step.code and self._matched(step.text, plain_wanted, plain_got):
            return Outcome(step, Verdict.VERSION)
        shown = _difference(step, printed, wanted, got, self._bindings)
        return Outcome(step, Verdict.DIFFERS, shown=shown)

    def _matched(self, command: str, wanted: list[list[str]], got: list[list[str]]) -> bool:
        bindings = self._bindings.copy()
        for want, have in zip(wanted, got, strict=True):
            bound = match_block(want, have, bindings, unordered=bool(_UNORDERED.search(command)))
            if bound is None:
                return False
            bindings = bound
        self._bindings = bindings
        return True

    async def _run(self, command: str) -> Printed:
        process = await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self._work,
            env=self._environment,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(_LIMIT):
                stdout, stderr = await process.communicate()
        except TimeoutError:
            os.killpg(process.pid, 9)
            stdout, stderr = await process.communicate()
            stderr += b"\n(took longer than the runner waits)"
        return Printed(
            process.returncode or 0, stdout.decode(errors="replace"), stderr.decode(errors="replace")
        )


def _difference(
    step: Command, printed: Printed, wanted: list[list[str]], got: list[list[str]], bindings: Bindings
) -> str:
    """Recorded (-) and actual (+) lines that have no partner."""
    lines = []
    if printed.code != step.code:
        lines.append(f"    exit code: recorded {step.code}, now {printed.code}")
    for name, want, have in zip(("stdout", "stderr"), wanted, got, strict=True):
        missing = [line for line in want if not any(match_block([line], [other], bindings) for other in have)]
        extra = [line for line in have if not any(match_block([other], [line], bindings) for other in want)]
        if missing or extra or match_block(want, have, bindings) is None:
            lines.append(f"    {name}:")
            lines += [f"    - {line}" for line in missing] + [f"    + {line}" for line in extra]
            if not missing and not extra:
                lines.append("    (the same lines in another order, or a placeholder that changed)")
    return "\n".join(lines)
