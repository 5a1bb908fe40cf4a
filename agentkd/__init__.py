"""Turn a strong LLM agent into a small one: collect, curate, train, measure."""

__version__ = "0.1.0"
