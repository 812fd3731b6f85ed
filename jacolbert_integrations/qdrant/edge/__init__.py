"""Qdrant Edge, the server's engine inside this process, behind the methods of ``QdrantClient`` that a store calls.

May import: ``errors``, ``stores`` and ``..stages``, qdrant-client's models, and qdrant-edge-py (the extra ``edge``).
Begin with ``client.py``; ``process.py`` runs the same client in a process of its own.
"""
