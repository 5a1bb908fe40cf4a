"""Protocols: published evaluation set-ups, by name."""

from agentkd.protocols.preset import Protocol, protocol, protocol_envs, protocol_names

__all__ = ["Protocol", "protocol", "protocol_envs", "protocol_names"]
