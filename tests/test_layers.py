"""The package keeps its layers: imports point one way, versions and CPUs stay in their files."""

from pathlib import Path

import pytest

from tests.support import layers

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
CORELIB = ROOT / "corelib"


def test_there_is_something_to_check():
    assert len(list(layers.imports_of(SOURCE))) > 20
    assert len(layers.c_sources(CORELIB)) > 5


@pytest.mark.parametrize(
    "law", [layers.upward_imports, layers.star_imports, layers.late_imports, layers.gates]
)
def test_imports(law):
    assert law(SOURCE) == []


@pytest.mark.parametrize(
    "law", [layers.versions_elsewhere, layers.cpus_elsewhere, layers.python_below_the_line]
)
def test_core(law):
    assert law(CORELIB) == []
