"""Requests to the nodes and their answers to the clients; streams go on where a node dies."""
