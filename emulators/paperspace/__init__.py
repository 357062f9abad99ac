"""The emulated Paperspace, API v1. docs/clouds/paperspace.md says what can be set and what is guessed."""
