"""The attack table: `agentkd sandbox check` runs a part of it, the test suite all of it."""

from agentkd_sandbox.conformance.attack import Attack
from agentkd_sandbox.conformance.escapes import ESCAPES
from agentkd_sandbox.conformance.kernel import KERNEL
from agentkd_sandbox.conformance.protocol import PROTOCOL
from agentkd_sandbox.conformance.resources import RESOURCES

ATTACKS: list[Attack] = [*RESOURCES, *ESCAPES, *KERNEL, *PROTOCOL]

__all__ = ["ATTACKS", "Attack"]
