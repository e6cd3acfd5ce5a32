"""What the refusals of a MySQL server mean, in words that say what to mend.

Belongs here: error codes, what drivers say, remedies. Does not belong here: what is done about an error (``server``).
"""

from __future__ import annotations

import re

LOST = frozenset({2002, 2003, 2006, 2013, 2014, 2055, 1053, 1077, 1927, 3169})
"""The server is away, or a connection was lost: the statement may or may not have been carried out."""

CONTENDED = frozenset({1205, 1213})
"""Lock wait time-out and deadlock: the transaction was, or must be, rolled back and may be tried again."""

ROGUE = 2000
"""The server did what no honest one does; in MySQL's list this is the error that has no name."""

_CODE_IN_TEXT = re.compile(r"ERROR (\d{4}) \(")
"""How connectorx tells the server's code."""
_LOSS_IN_TEXT = re.compile(r"IoError|IO error|Could not connect")
"""How it tells that there is no server, or no more."""

_UNKNOWN_CLIENT = "A server that does not know the CA of ssl_cert ends the connection: see that this one does."
_TLS_REMEDIES = {
    "doesn't support it": "The server offers no TLS: switch it on there, or set ssl_mode to disabled.",
    "mismatch": "The server's certificate is for other names than MYSQL_HOST: set MYSQL_HOST to one of its names, or "
    "ssl_mode to verify_ca.",
    "certificate verify failed": "Set ssl_ca to the CA that signed the server's certificate, and see that the "
    "certificate has not expired.",
    "alert": _UNKNOWN_CLIENT,
    "": "Check ssl_mode, ssl_ca, ssl_cert and ssl_key with whoever runs the server.",
}
"""What is said of a connection that cannot be encrypted, and what to do about it."""

DISK_FULL = 1021
_NO_SPACE = re.compile(r"(errno:?|Errcode:) (28|135)\b")
"""How servers say that the disk is full, under many codes."""
_DISK_REMEDY = "The server's disk is full or failing: free some space, then run again. Nothing is half written."

NO_TLS = 2026
"""The connection cannot be encrypted as it should be."""
_DENIED = 1045

_REMEDIES: dict[frozenset[int], str] = {
    LOST: "Check that the server runs and is reached under MYSQL_HOST and MYSQL_PORT, and that its disk is not full, "
    "then run again: nothing is half written.",
    CONTENDED: "Another connection holds a lock: wait for it to end (SHOW PROCESSLIST), then run again.",
    frozenset({1045, 1698, 4151}): "Check MYSQL_USER and MYSQL_PASSWORD.",
    frozenset(
        {1044, 1049, 1142, 1143, 1227, 1370, 1410}
    ): "Run `bentleybot db upgrade`: it creates what is missing, or prints the GRANT that an administrator must give.",
    frozenset({1290, 1792, 1836, 3100}): "The server or this user may only read: use ones that may write.",
    frozenset({3, 14, 20, 1016, 1021, 1026, 1030, 1114, 1878, 3675}): _DISK_REMEDY,
    frozenset({1040, 1203, 1226}): "The server has no connection left: end some, or raise max_connections.",
    frozenset(
        {1054, 1146}
    ): "Materialise its asset first; if it is of none, run `bentleybot db upgrade`: that adds what is missing.",
    frozenset({1062}): "Two rows have one key; keys that differ in trailing blanks alone are one to MySQL. Mend what "
    "computes them. Nothing was changed.",
    frozenset({1048, 1264, 1265, 1366, 1406}): "A row does not fit the table: mend what computes it. Nothing was "
    "changed.",
    frozenset(
        {ROGUE}
    ): "It is not the server that it should be: check MYSQL_HOST, and set ssl_mode to verify_identity. "
    "Nothing was sent.",
    frozenset({1419}): "MLflow keeps a trigger, and a server with a binary log lets none be made by this user: an "
    "administrator must run SET GLOBAL log_bin_trust_function_creators = ON; `bentleybot db upgrade` and `bentleybot "
    "restore` alone need it.",
    frozenset({1050, 1060, 1061}): "An upgrade was cut short, which MySQL cannot undo: restore the backup that was "
    "made before it; in a new desk, drop this database. Then run `bentleybot db upgrade` again.",
    frozenset({3159}): "Set ssl_mode to required.",
}


class MySqlError(RuntimeError):
    """The server refused or cannot be reached, or how to reach it makes no sense. The message says what to mend.

    Attributes:
        code: MySQL's error code; 0 if there is none.
    """

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


def told_by(error: BaseException) -> tuple[int, str]:
    """The code of a driver's error, 0 if it has none, and what the server said."""
    code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    said = str(error.args[1] if len(error.args) > 1 else error)
    if not code and (found := _CODE_IN_TEXT.search(said)):
        code = int(found[1])
    elif not code and _LOSS_IN_TEXT.search(said):
        code = 2013
    # PyMySQL says of a refused certificate that it cannot connect. An EOF is a server that went away.
    return (NO_TLS if "[SSL" in said and "EOF occurred" not in said else code), said


def remedy_for(code: int, said: str, *, ssl_mode: str | None, shows_certificate: bool) -> str:
    """What to do about an error of a connection that is protected so."""
    if code == NO_TLS:
        return next(text for sign, text in _TLS_REMEDIES.items() if sign in said.lower())
    if _NO_SPACE.search(said):
        return _DISK_REMEDY
    remedy = next((text for codes, text in _REMEDIES.items() if code in codes), "Nothing was changed.")
    if code == _DENIED and ssl_mode == "disabled":
        remedy += " A server that requires TLS says the same: if this one does, set ssl_mode to required."
    elif code == _DENIED and ssl_mode and not shows_certificate:
        remedy += " If this account requires a client's certificate, set ssl_cert and ssl_key too."
    elif code in LOST and shows_certificate:
        remedy += f" {_UNKNOWN_CLIENT}"
    return remedy


def is_timed_out(error: BaseException) -> bool:
    """Whether an answer was waited for in vain; the driver says so in what is behind its error alone."""
    behind: BaseException | None = error
    while behind is not None:
        if isinstance(behind, TimeoutError):
            return True
        behind = behind.__cause__ or behind.__context__
    return False
