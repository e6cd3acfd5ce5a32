"""The ``news`` source: articles and social posts, invented (``sample``) or from configured feeds (``feeds``)."""
