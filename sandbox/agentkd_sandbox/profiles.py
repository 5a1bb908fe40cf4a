"""Profiles: what the fork server imports before any episode, so that episodes share it.

Preloaded memory is what a fork costs, so a profile holds what its tasks use and no more. For the
process backend the packages come from the host's own environment: only the packages of the profile,
with what they require, are shown to the sandbox, read-only.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from agentkd_sandbox.errors import PackageMissing, UsageError

SITE = "/opt/agentkd/site"
"""Where the sandbox sees the profile's packages."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A set of packages."""

    name: str
    packages: tuple[str, ...] = ()
    """Distributions, as pip names them."""
    preload: tuple[str, ...] = ()
    """Modules to import before the first episode."""

    @property
    def remedy(self) -> str:
        """What to do if it cannot be loaded."""
        names = ",".join(self.packages)
        return (
            f"For Docker, build an image with it: agentkd sandbox build --packages {names}; "
            f"for the process backend: pip install {' '.join(self.packages)}"
        )


PROFILES = {
    "plain": Profile("plain"),
    "numpy": Profile("numpy", ("numpy",), ("numpy", "numpy.random", "numpy.linalg", "numpy.fft")),
    "math": Profile(
        "math",
        ("numpy", "sympy"),
        ("numpy", "numpy.random", "numpy.linalg", "numpy.fft", "sympy"),
    ),
}


def find_profile(profile: str | Profile) -> Profile:
    """Look a profile up by name."""
    if isinstance(profile, Profile):
        return profile
    if profile not in PROFILES:
        raise UsageError(f"no profile {profile!r}; there are {', '.join(PROFILES)}")
    return PROFILES[profile]


def host_packages(profile: Profile) -> list[tuple[Path, str]]:
    """(path on the host, path in the sandbox) of the profile's packages and their requirements."""
    found: dict[str, Path] = {}
    queue, seen = list(profile.packages), set()
    while queue:
        name = re.sub(r"[-_.]+", "-", queue.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            raise PackageMissing(
                f"profile {profile.name!r} needs {name}, which {sys.prefix} does not have. "
                f"{profile.remedy}"
            ) from None
        for file in distribution.files or ():
            top = file.parts[0]
            if top not in ("..", "/", "__pycache__"):
                found[top] = Path(str(distribution.locate_file(top)))
        for requirement in distribution.requires or ():
            if "extra ==" not in requirement:
                match = re.match(r"[A-Za-z0-9._-]+", requirement)
                if match and ";" not in requirement:
                    queue.append(match.group())
    return [(path, f"{SITE}/{top}") for top, path in sorted(found.items()) if path.exists()]
