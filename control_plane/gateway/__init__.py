"""The data plane: an OpenAI-compatible server in front of vLLM nodes."""
