"""The version of an installed package."""

from __future__ import annotations

import importlib.metadata


def installed_version(package: str) -> str:
    """Return the version of a package, or ``"not installed"`` for a source tree or a missing package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
