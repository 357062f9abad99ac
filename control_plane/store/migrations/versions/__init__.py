"""One migration a file, numbered; `migrating.HEAD` names the newest. A released one is never changed."""
