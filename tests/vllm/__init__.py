"""The gateway in front of the real vLLM, on a machine with a GPU: `python -m tests.vllm FOLDER`; never in CI.

Needs an environment with vllm, torch, transformers and what the gateway needs; nothing is downloaded: the
model is trained here, in seconds, on this project's own pages.
"""
