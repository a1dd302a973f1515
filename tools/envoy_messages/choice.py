"""The smallest set of descriptors that our messages need, and names for all in it (pure)."""

from collections.abc import Iterable, Iterator, Mapping

from tools.envoy_messages.descriptors import Enum, File, Files, Message, definitions, indexed
from tools.envoy_messages.roots import ROOTS


def reachable(index: Mapping[str, tuple[File, Message | Enum]], roots: Iterable[str]) -> set[str]:
    """Full names of everything that a message reaches by its fields, and what surrounds a nested type."""
    seen: set[str] = set()
    waiting = list(roots)
    while waiting:
        full = waiting.pop()
        if full in seen:
            continue
        seen.add(full)
        definition = index[full][1]
        if isinstance(definition, Message):
            waiting += [field.type_name[1:] for field in definition.field if field.type_name]
        outer = full.rpartition(".")[0]
        if outer in index:
            waiting.append(outer)
    return seen


def _pruned(definition: Message, full: str, wanted: set[str]) -> Message:
    """A message without options and without nested types that nobody reaches."""
    kept = Message()
    kept.CopyFrom(definition)
    kept.options.Clear()
    if definition.options.map_entry:
        kept.options.map_entry = True
    for field in kept.field:
        field.options.Clear()
    for oneof in kept.oneof_decl:
        oneof.options.Clear()
    nested = [n for n in definition.nested_type if f"{full}.{n.name}" in wanted]
    del kept.nested_type[:]
    kept.nested_type.extend(_pruned(n, f"{full}.{n.name}", wanted) for n in nested)
    enums = [e for e in definition.enum_type if f"{full}.{e.name}" in wanted]
    del kept.enum_type[:]
    kept.enum_type.extend(_plain(e) for e in enums)
    return kept


def _plain(enum: Enum) -> Enum:
    kept = Enum()
    kept.CopyFrom(enum)
    kept.options.Clear()
    for value in kept.value:
        value.options.Clear()
    return kept


def _types_of(definition: Message) -> Iterator[str]:
    for field in definition.field:
        if field.type_name:
            yield field.type_name[1:]
    for nested in definition.nested_type:
        yield from _types_of(nested)


def closure(files: Iterable[File], roots: Iterable[str]) -> Files:
    """The smallest self-contained set of files with the roots, in order of dependency."""
    index = indexed(files)
    wanted = reachable(index, roots)
    used: dict[str, File] = {}
    for full in wanted:
        used.setdefault(index[full][0].name, index[full][0])
    slim: dict[str, File] = {}
    for name, file in used.items():
        copy = File(name=name, package=file.package, syntax="proto3")
        for definition in file.message_type:
            if f"{file.package}.{definition.name}" in wanted:
                copy.message_type.append(_pruned(definition, f"{file.package}.{definition.name}", wanted))
        copy.enum_type.extend(_plain(e) for e in file.enum_type if f"{file.package}.{e.name}" in wanted)
        needs = {index[full][0].name for definition in copy.message_type for full in _types_of(definition)}
        copy.dependency.extend(sorted(needs - {name}))
        slim[name] = copy
    ordered: dict[str, File] = {}

    def place(name: str) -> None:
        if name not in ordered:
            for dependency in slim[name].dependency:
                place(dependency)
            ordered[name] = slim[name]

    for name in sorted(slim):
        place(name)
    return Files(file=ordered.values())


def _camel(full: str) -> str:
    """A name made of a whole package: `envoy.type.matcher.v3.X` -> `TypeMatcherX`."""
    parts = [part for part in full.split(".") if part not in {"envoy", "v3", "extensions", "config"}]
    return "".join(word[:1].upper() + word[1:] for part in parts for word in part.split("_"))


def names(files: Files) -> dict[str, str]:
    """Our name -> full name of each top-level message and enum; short where that is unique."""
    taken = dict(ROOTS)
    mine = set(ROOTS.values())
    rest: dict[str, list[str]] = {}
    for file in files.file:
        for definition in definitions(file):
            full = f"{file.package}.{definition.name}"
            if full not in mine:
                rest.setdefault(definition.name, []).append(full)
    for short, fulls in rest.items():
        for full in fulls:
            alone = len(fulls) == 1 and short not in ROOTS
            preferred = full.startswith(("google.protobuf.", "envoy.config.core.v3."))
            name = short if alone or (preferred and short not in ROOTS) else _camel(full)
            if name in taken:
                raise ValueError(f"{full} and {taken[name]} would both be called {name}: name one in ROOTS")
            taken[name] = full
    return dict(sorted(taken.items()))
