"""Parts of ModelServer: its rules, its pods, how they scale and how they are reached."""
