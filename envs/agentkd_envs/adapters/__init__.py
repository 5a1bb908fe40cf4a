"""Environments in other projects' shapes: Gymnasium, TRL, and HTTP with AgentGym's verbs.

Each adapter is written over the `Env` seam alone and imports its library only when it is used.
"""
