"""Calls of chat models: one question, one answer, and everything that can go wrong between them."""

from agentkd.calls.cache import CallCache
from agentkd.calls.caller import Caller, ChatClient, Patience
from agentkd.calls.ledger import Budget, CallRole, Ledger, Spent
from agentkd.calls.prices import Price, Prices
from agentkd.calls.request import Candidate, ChatAnswer, ChatRequest

__all__ = [
    "Budget",
    "CallCache",
    "CallRole",
    "Caller",
    "Candidate",
    "ChatAnswer",
    "ChatClient",
    "ChatRequest",
    "Ledger",
    "Patience",
    "Price",
    "Prices",
    "Spent",
]
