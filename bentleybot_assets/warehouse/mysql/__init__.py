"""The production warehouse on MySQL 8 or MariaDB.

Belongs here: tables, statements and bulk transfer. Does not belong here: reaching the server
(``bentleybot_assets.mysql``).
"""
