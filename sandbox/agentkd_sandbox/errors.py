"""Everything this library raises.

    SandboxError
    ├── BackendUnavailable      no isolation can be had here; says what to install
    │   ├── ImageMissing        the Docker image is not there; says how to build it
    │   └── PackageMissing      a profile's package cannot be imported in the sandbox
    ├── InfrastructureError     not the agent's doing: do not grade, retry
    │   ├── SandboxLost         the guest or its daemon died under a session
    │   └── PoolExhausted       guests keep dying; the pool gave up
    ├── SessionClosed           the session is over; says why
    ├── ForkRefused             the interpreter cannot be copied now; says why
    └── UsageError              a call that makes no sense: also a ValueError

What the agent's code does wrong is never raised: it is a `RunResult`.
"""


class SandboxError(Exception):
    """Base of all errors of this package."""


class BackendUnavailable(SandboxError):
    """No backend with the isolation that was asked for works on this machine."""


class ImageMissing(BackendUnavailable):
    """The daemon answers, but has no such image."""


class PackageMissing(BackendUnavailable):
    """A package of the profile is not importable inside the sandbox."""


class InfrastructureError(SandboxError):
    """Something outside the agent's code broke; the episode says nothing about the agent."""


class SandboxLost(InfrastructureError):
    """The guest process, its container or the daemon died while a session was open."""


class PoolExhausted(InfrastructureError):
    """New guests fail to start again and again."""


class SessionClosed(SandboxError):
    """The session was closed, adopted into another, or stopped for breaking the protocol."""


class ForkRefused(SandboxError):
    """The interpreter cannot be copied: it holds something that copies would share."""


class UsageError(SandboxError, ValueError):
    """An argument or a call order that cannot work."""
