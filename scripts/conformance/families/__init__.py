"""The families, by model_type: each file offers some in FAMILIES."""

from importlib import import_module
from pathlib import Path

_FILES = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
FAMILIES = {name: family for file in _FILES for name, family in import_module(f"families.{file}").FAMILIES.items()}
