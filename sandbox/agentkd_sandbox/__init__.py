"""Run code that a model wrote: isolated per episode, in milliseconds."""
