"""What a patch has done, and what it could not reach, by name."""

from dataclasses import dataclass

__all__ = ("Left", "Report")


@dataclass(frozen=True)
class Left:
    """Something that goes on waiting as the standard library does, and blocks its thread."""

    name: str
    why: str

    def __str__(self) -> str:
        return f"{self.name}: {self.why}"


@dataclass(frozen=True)
class Report:
    """What a patch has done; or, of a dry run, what it would do. Names are as in the program."""

    #: The modules that were asked for, and those that they need.
    modules: tuple[str, ...] = ()
    #: The names of the standard library that are replaced.
    names: tuple[str, ...] = ()
    #: Where else references to those were, and are replaced, too.
    references: tuple[str, ...] = ()
    #: Locks, queues and thread locals from before that are replaced.
    objects: tuple[str, ...] = ()
    #: What could not be reached.
    left: tuple[Left, ...] = ()

    def __str__(self) -> str:
        lines = [f"patched: {', '.join(self.modules) or 'nothing'}"]
        for title, names in (
            ("replaced", self.names),
            ("references that others had", self.references),
            ("objects from before", self.objects),
            ("left as they were", tuple(map(str, self.left))),
        ):
            if names:
                lines += [f"{title}:", *(f"  {name}" for name in names)]
        return "\n".join(lines)

    def __add__(self, other: "Report") -> "Report":
        return Report(
            (*self.modules, *other.modules),
            (*self.names, *other.names),
            (*self.references, *other.references),
            (*self.objects, *other.objects),
            (*self.left, *other.left),
        )
