"""Policies: what chooses the next message."""

from agentkd.policies.base import Actor, Conversation, EpisodeContext, Policy, Reply
from agentkd.policies.expert import ExpertPolicy
from agentkd.policies.random_admissible import RandomPolicy
from agentkd.policies.scripted import ScriptedPolicy

__all__ = [
    "Actor",
    "Conversation",
    "EpisodeContext",
    "ExpertPolicy",
    "Policy",
    "RandomPolicy",
    "Reply",
    "ScriptedPolicy",
]
