"""Airbyte sources: how data enters, in the Airbyte protocol.

Each package here is one source that runs alone (``python -m bentleybot_assets.connectors.market spec``),
could be published to any Airbyte server and knows nothing of Dagster, warehouses or settings. Its streams are
declared by the contracts of its raw tables, the only thing it imports from this project.
"""
