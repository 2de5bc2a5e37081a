"""The laws of who may import whom, read from the source without importing it.

Each function returns one line per breach, "file:line: what is wrong"; nothing where all is well.
"""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "ringlet"
# From the bottom up; those on one line do not know each other. A folder or module of the package
# that stands nowhere here is a breach: whoever adds a layer says where it belongs.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("_core", "version"),
    ("errors",),
    ("core",),
    ("generators", "sched"),
    ("channels", "sync"),
    ("io",),
    ("servers",),
    ("compat", "patch", "testing"),
    ("tools",),  # the command line starts the programs that compat and patch prepare
    ("__main__",),
)
RANKS = {name: rank for rank, names in enumerate(LAYERS) for name in names}
# `import ringlet` must stay cheap and free of surprises: its face shows nothing from above here.
FACE_SHOWS_BELOW = "io"
GATE = "sched/wait.py"
LATE_IMPORTS_ALLOWED = ("compat",)


@dataclass(frozen=True)
class Import:
    """One import statement's target, as an absolute module name."""

    where: str  # "path:line"
    importer: str
    target: str
    names: tuple[str, ...]
    late: bool  # inside a function


def imports_of(root: Path) -> Iterator[Import]:
    """Every import below `root`, the folder that holds the package."""
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        package = parts[:-1]
        importer = ".".join(package if parts[-1] == "__init__" else parts)
        tree = ast.parse(path.read_text(), str(path))
        late = {
            id(inner)
            for outer in ast.walk(tree)
            if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for inner in ast.walk(outer)
        }
        for node in ast.walk(tree):
            where = f"{path.relative_to(root)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(where, importer, alias.name, (), id(node) in late)
            elif isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else ()
                target = ".".join((*base, *filter(None, [node.module])))
                names = tuple(alias.name for alias in node.names)
                yield Import(where, importer, target, names, id(node) in late)


def layer_of(module: str) -> str:
    """The part of a module's name that LAYERS speaks of; "" for the package's own face."""
    return f"{module}.".split(".")[1]


def upward_imports(root: Path) -> list[str]:
    """Imports that do not point down, and modules that belong to no layer."""
    return [
        f"{found.where}: {found.importer} imports {target}: {why}"
        for found in imports_of(root)
        for target in _targets(found)
        if (why := _breach(layer_of(found.importer), layer_of(target)))
    ]


def _targets(found: Import) -> Iterator[str]:
    """The modules of the package that an import reaches."""
    if found.target == PACKAGE and found.names:
        for name in found.names:
            yield f"{PACKAGE}.{name}" if name in RANKS else PACKAGE
    elif found.target.split(".")[0] == PACKAGE:
        yield found.target


def _breach(importer: str, target: str) -> str:
    unplaced = [layer for layer in (importer, target) if layer and layer not in RANKS]
    if unplaced:
        return f"{unplaced[0]} stands in no layer"
    if importer == target:
        return ""
    if not target:
        return "only users import the package's face"
    if not importer:
        return "" if RANKS[target] < RANKS[FACE_SHOWS_BELOW] else "the face does not show it"
    return "" if RANKS[target] < RANKS[importer] else f"{target} is not below {importer}"


def star_imports(root: Path) -> list[str]:
    """`from x import *` hides what a module has."""
    return [f"{found.where}: star import" for found in imports_of(root) if "*" in found.names]


def late_imports(root: Path) -> list[str]:
    """Imports inside functions hide what a module needs."""
    return [
        f"{found.where}: {found.importer} imports {found.target} inside a function"
        for found in imports_of(root)
        if found.late and layer_of(found.importer) not in LATE_IMPORTS_ALLOWED
    ]


def gates(root: Path) -> list[str]:
    """Where Python code takes the core's way to give up control, other than in the one gate."""
    found = [
        f"{seen.where}: imports park from the core"
        for seen in imports_of(root)
        if seen.target == f"{PACKAGE}._core" and "park" in seen.names
    ]
    for path in sorted((root / PACKAGE).rglob("*.py")):
        if path.relative_to(root / PACKAGE).as_posix() == GATE:
            continue
        found += [
            f"{path.relative_to(root)}:{node.lineno}: uses the core's park"
            for node in ast.walk(ast.parse(path.read_text(), str(path)))
            if isinstance(node, ast.Attribute) and ast.unparse(node).endswith("_core.park")
        ]
    return found


# --- C ------------------------------------------------------------------------------------------

COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"", re.DOTALL)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)', re.MULTILINE)
VERSION = re.compile(r"\bPY_(VERSION_HEX|MAJOR_VERSION|MINOR_VERSION|MICRO_VERSION)\b")
CPU = re.compile(
    r"\b(__x86_64__|__aarch64__|__riscv\w*|__s390x?__|__powerpc\w*__|__arm__|__i386__)\b"
)
PYTHONLESS = re.compile(r"(switch/.*|stack|slab)\.[chS]$|switch/[^/]*$")


def c_sources(corelib: Path) -> list[Path]:
    """Every C source and header of the core; its tests have laws of their own."""
    return [
        path
        for path in sorted(corelib.rglob("*.[chS]"))
        if path.relative_to(corelib).parts[0] != "tests"
    ]


def versions_elsewhere(corelib: Path) -> list[str]:
    """CPython versions are known to pystate.c alone."""
    return _matches(corelib, VERSION, lambda name: name == "pystate.c")


def cpus_elsewhere(corelib: Path) -> list[str]:
    """CPUs are known to the files below switch/ alone."""
    return _matches(corelib, CPU, lambda name: name.startswith("switch/"))


def _matches(corelib: Path, pattern: re.Pattern[str], allowed: Callable[[str], bool]) -> list[str]:
    return [
        f"{path.relative_to(corelib)}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]}"
        for path in c_sources(corelib)
        if not allowed(path.relative_to(corelib).as_posix())
        for text in [COMMENT.sub(_blank, path.read_text())]
        for match in pattern.finditer(text)
    ]


def _blank(comment: re.Match[str]) -> str:
    return "\n" * comment[0].count("\n")


def python_below_the_line(corelib: Path) -> list[str]:
    """What switches stacks and hands out memory does not know Python, not even through a header."""
    return [
        f"{path.relative_to(corelib)}: includes Python.h by way of {' > '.join(way)}"
        for path in c_sources(corelib)
        if PYTHONLESS.search(path.relative_to(corelib).as_posix())
        and (way := _way_to_python(path, corelib, ()))
    ]


def _way_to_python(path: Path, corelib: Path, way: tuple[str, ...]) -> tuple[str, ...]:
    """The chain of includes that ends at Python.h; empty if there is none."""
    for kind, name in INCLUDE.findall(path.read_text()):
        if name == "Python.h":
            return (*way, path.name)
        nearby = next(
            (base / name for base in (path.parent, corelib) if (base / name).is_file()), None
        )
        if kind == '"' and nearby is not None and path.name not in way:
            found = _way_to_python(nearby, corelib, (*way, path.name))
            if found:
                return found
    return ()
