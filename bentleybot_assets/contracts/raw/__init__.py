"""What each connection delivers, one module per connection, one class per stream.

Belongs here: the typed form of a record as delivered. Values are not judged here (a NaN close is kept as
evidence); the cleaned tables downstream judge them.
"""
